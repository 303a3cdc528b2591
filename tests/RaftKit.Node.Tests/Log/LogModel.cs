using RaftKit.Consensus;
using RaftKit.Node.Log;

namespace RaftKit.Node.Tests.Log;

/// <summary>What a log must say after some batches: the plain truth that a real one is compared with.</summary>
internal sealed class LogModel
{
    public Term Term { get; private set; }

    public MemberId Vote { get; private set; }

    public LogIndex First { get; private set; } = new(1);

    public List<Entry> Entries { get; private init; } = [];

    public Dictionary<MemberId, PeerBoot> Boots { get; private init; } = [];

    public LogIndex Next => First + Entries.Count;

    public LogModel Copy() => new() { Term = Term, Vote = Vote, First = First, Entries = [.. Entries], Boots = new(Boots) };

    public void Apply(LogBatch batch)
    {
        Term = batch.Term;
        Vote = batch.Vote;
        if (batch.ResetTo is { } mark)
        {
            Entries.Clear();
            First = mark.Index.Next;
        }
        if (batch.TruncateFrom is { } from)
            Entries.RemoveRange((int)(from - First), (int)(Next - from));
        Entries.AddRange(batch.Entries);
        foreach (var boot in batch.PeerBoots)
            Boots[boot.Member] = boot;
    }

    /// <summary>
    /// Why this recovered log is neither this model nor one of which something rotted that is not forgotten; null when it is. Term and vote
    /// are the same whatever cannot be read, the entries are some of the model's first ones, and the log counts as ending no earlier.
    /// </summary>
    public string? Forgets(RecoveredLog log)
    {
        if (log.RottenEnd is not { } rotten)
            return Differs(log);
        if (log.Term != Term || log.Vote != Vote)
            return $"term {log.Term} vote {log.Vote}, not term {Term} vote {Vote}";
        if (Entries.Count > 0 && !rotten.Reaches(new LogEnd(Next.Previous, Entries[^1].Term)))
            return $"it counts as ending at {rotten}, the log ended at {Next.Previous}/{Entries[^1].Term}";
        var behind = log.Snapshot?.Index ?? First.Previous;
        if (log.Entries.Count > 0 && log.Entries[0].Index != behind.Next)
            return $"its first entry is {log.Entries[0].Index}, behind {behind}";
        foreach (var entry in log.Entries)
        {
            if (entry.Index >= Next || !Same(entry, Entries[(int)(entry.Index - First)]))
                return $"entry {entry.Index} of term {entry.Term} is not the one that was written";
        }
        return null;
    }

    /// <summary>Why this recovered log is not this model; null when it is. What a snapshot covers need not be there.</summary>
    public string? Differs(RecoveredLog log)
    {
        var (term, vote, expected) = (Term, Vote, Entries);
        if (log.Snapshot is { } snapshot)
        {
            var at = (int)(snapshot.Index - First);
            if (Next.Previous < snapshot.Index || (at >= 0 && Entries[at].Term != snapshot.Term))
            {
                // The snapshot was installed, the log not yet told: it starts anew behind it.
                expected = [];
                if (snapshot.Term > term)
                    (term, vote) = (snapshot.Term, MemberId.None);
            }
            expected = [.. expected.Where(entry => entry.Index > snapshot.Index)];
        }

        if (log.Term != term || log.Vote != vote)
            return $"term {log.Term} vote {log.Vote}, not term {term} vote {vote}";
        if (!log.PeerBoots.OrderBy(boot => boot.Member).SequenceEqual(Boots.Values.OrderBy(boot => boot.Member)))
            return "other boots";
        if (expected.Count != log.Entries.Count)
            return $"{log.Entries.Count} entries after {log.Snapshot?.Index}, not {expected.Count}";
        for (var i = 0; i < expected.Count; i++)
        {
            if (!Same(expected[i], log.Entries[i]))
                return $"entry {log.Entries[i].Index} of term {log.Entries[i].Term} is not entry {expected[i].Index} of term {expected[i].Term}";
        }
        return null;
    }

    public static bool Same(Entry a, Entry b) =>
        a.Term == b.Term && a.Index == b.Index && a.Kind == b.Kind && a.Stamp == b.Stamp && a.Payload.Span.SequenceEqual(b.Payload.Span);
}
