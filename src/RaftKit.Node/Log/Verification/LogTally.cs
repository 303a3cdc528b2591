using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>What the log says so far, while its records pass by: all that a report needs, and no entry's payload.</summary>
internal sealed class LogTally
{
    // Where each term's entries begin: a log of millions of entries has a handful.
    private readonly List<(LogIndex From, Term Term)> _terms = [];

    public Term Term { get; private set; }

    public MemberId Vote { get; private set; }

    public LogIndex First { get; private set; } = new(1);

    public LogIndex Next { get; private set; } = new(1);

    public long Records { get; private set; }

    /// <summary>The term of the last entry; zero when there is none.</summary>
    public Term LastTerm => _terms.Count == 0 ? Term.Zero : _terms[^1].Term;

    /// <summary>What a segment's header says holds where the records before it are not known.</summary>
    public void Start(SegmentHeader header)
    {
        (Term, Vote) = (header.Term, header.Vote);
        Restart(header.NextIndex);
    }

    /// <summary>Goes on behind entries that could not be read.</summary>
    public void SkipTo(SegmentHeader header)
    {
        (Term, Vote, Next) = (header.Term, header.Vote, header.NextIndex);
        _terms.RemoveAll(run => run.From >= Next);
    }

    /// <summary>As at a start: a log that does not reach the snapshot, or has another entry there, counts no more (Raft 7).</summary>
    public void GoOnBehind(SnapshotMark snapshot)
    {
        var agrees = Next > snapshot.Index
            && (snapshot.Index < First || _terms.FindLast(run => run.From <= snapshot.Index).Term == snapshot.Term);
        if (agrees)
            return;
        if (Term < snapshot.Term)
            (Term, Vote) = (snapshot.Term, MemberId.None);
        Restart(snapshot.Index.Next);
    }

    private void Restart(LogIndex next)
    {
        First = Next = next;
        _terms.Clear();
    }

    /// <exception cref="MessagePackSerializationException">It does not follow from what was before it.</exception>
    public void Take(RecordKind kind, ref MessagePackReader body)
    {
        Records++;
        switch (kind)
        {
            case RecordKind.SegmentHeader:
                RecordReader.Header(ref body);
                break;
            case RecordKind.HardState:
                (Term, Vote) = (new Term(body.ReadInt64()), new MemberId(body.ReadInt32()));
                break;
            case RecordKind.Entry:
                var entry = RecordReader.Entry(ref body);
                if (entry.Index != Next)
                    throw new MessagePackSerializationException($"entry {entry.Index} stands where entry {Next} should");
                if (_terms.Count == 0 || _terms[^1].Term != entry.Term)
                    _terms.Add((Next, entry.Term));
                Next = Next.Next;
                break;
            case RecordKind.Truncate:
                Truncate(new LogIndex(body.ReadInt64()));
                break;
            case RecordKind.Reset:
                Restart(RecordReader.Mark(ref body).Index.Next);
                break;
            case RecordKind.PeerBoot:
                RecordReader.Boot(ref body);
                break;
            case RecordKind.RottenEnd:
                RecordReader.End(ref body);
                break;
        }
    }

    private void Truncate(LogIndex from)
    {
        if (from < First)
        {
            Restart(from);
            return;
        }
        Next = LogIndex.Min(Next, from);
        _terms.RemoveAll(run => run.From >= Next);
    }
}
