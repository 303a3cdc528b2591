using RaftKit.Consensus;

namespace RaftKit.Consensus.Tests.Harness;

/// <summary>
/// One member's disk: what is durable, and the writes on their way to it. A crash keeps a prefix of those, as a real disk may, without
/// anybody having been told.
/// </summary>
internal sealed class TestDisk : IEntryReader
{
    private readonly List<Entry> _log = [];
    private readonly List<Entry> _rotten = [];

    public Term Term { get; private set; }

    public MemberId Vote { get; private set; }

    public SnapshotMark? Snapshot { get; private set; }

    /// <summary>The state that the snapshot holds.</summary>
    public IReadOnlyList<string> SnapshotState { get; private set; } = [];

    public Queue<Write> Writes { get; } = new();

    /// <summary>
    /// Where the log ended before some of it rotted; null while nothing did, and once the log is at least as up to date again.
    /// </summary>
    public LogEnd? RottenEnd { get; private set; }

    /// <summary>
    /// What rotted and is still missed. It was acknowledged, and counts as if it were held: its disk votes as one that has it.
    /// </summary>
    public IReadOnlyList<Entry> Rotten => _rotten;

    private LogEnd End => new(Last, _log.Count > 0 ? _log[^1].Term : Snapshot?.Term ?? Term.Zero);

    public IReadOnlyList<Entry> Log => _log;

    public LogIndex Last => _log.Count > 0 ? _log[^1].Index : Snapshot?.Index ?? LogIndex.Zero;

    public Entry? At(LogIndex index)
    {
        if (_log.Count == 0 || index < _log[0].Index || index > _log[^1].Index)
            return null;
        return _log[(int)(index - _log[0].Index)];
    }

    /// <summary>The oldest write is done.</summary>
    public Write CompleteOne()
    {
        var write = Writes.Dequeue();
        if (write.Request is { } request)
        {
            if (write.TruncateFrom is { } from)
                _log.RemoveAll(e => e.Index >= from);
            foreach (var entry in write.Append)
            {
                Assert.True(_log.Count == 0 || entry.Index == Last.Next, $"appended {entry.Index} after {Last}");
                _log.Add(entry);
            }
            (Term, Vote) = (request.Term, request.Vote);
            Assert.Equal(request.LastIndex, Last);
            NoteRepair();
        }
        return write;
    }

    public void TakeSnapshot(SnapshotMark mark, IReadOnlyList<string> state, LogIndex firstKept)
    {
        (Snapshot, SnapshotState) = (mark, [.. state]);
        _log.RemoveAll(e => e.Index < firstKept);
    }

    /// <summary>What is on its way to the disk is older than the snapshot: it is written first, then the log starts over.</summary>
    public void Install(SnapshotMark mark, IReadOnlyList<string> state)
    {
        (Snapshot, SnapshotState) = (mark, [.. state]);
        _log.Clear();
        NoteRepair();
    }

    /// <summary>The entries from there on cannot be read any more; from zero: nor can the snapshot.</summary>
    public void Rot(LogIndex from)
    {
        RottenEnd ??= End;
        _rotten.AddRange(_log.Where(e => e.Index >= from));
        _log.RemoveAll(e => e.Index >= from);
        if (from == LogIndex.Zero)
            (Snapshot, SnapshotState) = (null, []);
    }

    private void NoteRepair()
    {
        if (RottenEnd is { } rotten && End.Reaches(rotten))
        {
            RottenEnd = null;
            _rotten.Clear();
        }
    }

    public void Crash(int kept)
    {
        while (kept-- > 0 && Writes.Count > 0)
            CompleteOne();
        Writes.Clear();
    }

    /// <summary>A disk that holds this already, however it came to.</summary>
    public static TestDisk Holding(Term term, MemberId vote, IEnumerable<Entry> log)
    {
        var disk = new TestDisk { Term = term, Vote = vote };
        disk._log.AddRange(log);
        return disk;
    }

    /// <summary>What is durable now, as a backup of the disk would keep it.</summary>
    public TestDisk Copy()
    {
        var copy = new TestDisk { Term = Term, Vote = Vote, Snapshot = Snapshot, SnapshotState = [.. SnapshotState] };
        copy._log.AddRange(_log);
        return copy;
    }

    public RestoredState Restore(Membership initial)
    {
        Membership membership = Snapshot?.Membership ?? initial;
        LogIndex at = Snapshot?.Index ?? LogIndex.Zero;
        foreach (var entry in _log)
        {
            if (entry.Kind == EntryKind.Membership && entry.Index > at)
                (membership, at) = (MembershipCodec.Decode(entry.Payload.Span), entry.Index);
        }
        return new RestoredState(Term, Vote, membership, at, Snapshot, [.. _log]) { Initial = initial, RottenEnd = RottenEnd };
    }

    public void Read(LogIndex from, LogIndex last, int maxBytes, List<Entry> into)
    {
        int start = into.Count;
        for (var index = from; index <= last; index = index.Next)
        {
            var entry = At(index) ?? throw new InvalidOperationException($"entry {index} is not on the disk");
            maxBytes -= entry.Weight;
            if (maxBytes < 0 && into.Count > start)
                return;
            into.Add(entry);
        }
    }

    /// <summary>One turn's durable part, and the messages that wait for it.</summary>
    internal sealed record Write(PersistRequest? Request, LogIndex? TruncateFrom, IReadOnlyList<Entry> Append, List<Message> Held);
}
