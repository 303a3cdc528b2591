using RaftKit.Consensus;
using RaftKit.Node.Log;

namespace RaftKit.TestKit;

/// <summary>
/// What a member's disk surely holds, by the disk's own account: a batch counts from the moment in which everything that its writing
/// touched is synced, whatever the node believes. What is not synced is kept apart until it is, or is lost.
/// </summary>
internal sealed class DurableLog
{
    private readonly List<(Term Term, ulong Hash)> _entries = [];
    private readonly List<LogBatch> _unsynced = [];

    private readonly Dictionary<Term, MemberId> _votes = [];
    private readonly Dictionary<Term, LogIndex> _held = [];

    public Term Term { get; private set; }

    public MemberId Vote { get; private set; }

    /// <summary>Everything up to here is in a snapshot.</summary>
    public LogIndex Base { get; private set; }

    public LogIndex Last => Base + _entries.Count;

    /// <summary>Whether a vote for the member in the term was ever synced: a later term's may have followed in the same sync.</summary>
    public bool Voted(Term term, MemberId candidate) => _votes.GetValueOrDefault(term) == candidate;

    /// <summary>The last entry that it held in the term. A later term's batch, which shared its sync, may have cut it since.</summary>
    public LogIndex HeldIn(Term term) => _held.GetValueOrDefault(term);

    /// <summary>
    /// From here on, what is synced may be found cut: a batch that cuts it was written, and may have reached the disk without a sync.
    /// </summary>
    public LogIndex MayBeCutFrom { get; private set; } = Never;

    /// <summary>As it is now, to be held against what is there later.</summary>
    public DurableLog Copy()
    {
        var copy = new DurableLog { Term = Term, Vote = Vote, Base = Base };
        copy._entries.AddRange(_entries);
        return copy;
    }

    private static LogIndex Never => new(long.MaxValue);

    public void Attempt(LogBatch batch)
    {
        if (batch.TruncateFrom is { } from)
            MayBeCutFrom = LogIndex.Min(MayBeCutFrom, from);
        if (batch.ResetTo is not null)
            MayBeCutFrom = LogIndex.Zero;
    }

    public void Write(LogBatch batch) => _unsynced.Add(batch);

    public void Synced()
    {
        MayBeCutFrom = Never;
        foreach (var batch in _unsynced)
            Apply(batch);
        _unsynced.Clear();
    }

    /// <summary>Whether it holds this entry, or a snapshot that covers it.</summary>
    public bool Holds(LogIndex index, Term term) =>
        index <= Base || (index <= Last && _entries[(int)(index - Base) - 1].Term == term);

    /// <summary>The term of the entry as it was written last, synced or not; null if it is not there, or not known.</summary>
    public Term? TermWritten(LogIndex index)
    {
        for (var i = _unsynced.Count - 1; i >= 0; i--)
        {
            var batch = _unsynced[i];
            if (batch.Entries.Count > 0 && index >= batch.Entries[0].Index && index <= batch.Entries[^1].Index)
                return batch.Entries[(int)(index - batch.Entries[0].Index)].Term;
            if (batch.TruncateFrom <= index)
                return null;
            if (batch.ResetTo is { } snapshot)
                return snapshot.Index == index ? snapshot.Term : null;
        }
        return index == LogIndex.Zero ? Term.Zero : TermAt(index);
    }

    public Term? TermAt(LogIndex index) => index > Base && index <= Last ? _entries[(int)(index - Base) - 1].Term : null;

    /// <summary>Starts over from what a start found on the disk, which was synced before the start ended.</summary>
    public void Restart(Term term, MemberId vote, LogIndex before, IReadOnlyList<Entry> entries)
    {
        MayBeCutFrom = Never;
        _unsynced.Clear();
        _entries.Clear();
        (Term, Vote, Base) = (term, vote, before);
        _votes[term] = vote;
        foreach (var entry in entries)
            _entries.Add((entry.Term, HashOf(entry)));
        NoteHeld();
    }

    public static ulong HashOf(in Entry entry)
    {
        var hash = new StableHash();
        hash.Add(entry.Stamp);
        hash.Add((long)entry.Kind);
        hash.Add(entry.Payload.Span);
        return hash.Value;
    }

    private void Apply(LogBatch batch)
    {
        (Term, Vote) = (batch.Term, batch.Vote);
        _votes[Term] = Vote;
        if (batch.ResetTo is { } snapshot)
        {
            Base = snapshot.Index;
            _entries.Clear();
        }
        if (batch.TruncateFrom is { } from && from <= Last)
        {
            var kept = (int)Math.Max(0, from - Base - 1);
            _entries.RemoveRange(kept, _entries.Count - kept);
        }
        foreach (var entry in batch.Entries)
            _entries.Add((entry.Term, HashOf(entry)));
        NoteHeld();
    }

    private void NoteHeld() => _held[Term] = LogIndex.Max(HeldIn(Term), Last);
}
