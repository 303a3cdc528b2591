using RaftKit.Consensus;

namespace RaftKit.Node.Log;

/// <summary>What the log says so far, while its records are read at recovery: term and vote, peers' boots, and the entries that still count.</summary>
internal sealed class LogState
{
    private readonly SortedDictionary<MemberId, PeerBoot> _boots = [];

    public Term Term { get; set; }

    public MemberId Vote { get; set; }

    /// <summary>The entries that still count, contiguous, from <see cref="First"/> on.</summary>
    public List<Entry> Entries { get; } = [];

    /// <summary>Where each stands; of those in the durable part only.</summary>
    public List<EntryPlace> Places { get; } = [];

    public LogIndex First { get; private set; } = new(1);

    public LogIndex Next => First + Entries.Count;

    public IReadOnlyList<PeerBoot> Boots => [.. _boots.Values];

    public void Remember(PeerBoot boot) => _boots[boot.Member] = boot;

    /// <summary>Starts from the oldest segment's header: what was before it is gone.</summary>
    public void Start(SegmentHeader header)
    {
        Term = header.Term;
        Vote = header.Vote;
        foreach (var boot in header.PeerBoots)
            Remember(boot);
        Restart(header.NextIndex);
    }

    public void Truncate(LogIndex from)
    {
        if (from < First)
        {
            Restart(from);
            return;
        }
        var kept = (int)Math.Min(from - First, Entries.Count);
        Entries.RemoveRange(kept, Entries.Count - kept);
        if (kept < Places.Count)
            Places.RemoveRange(kept, Places.Count - kept);
    }

    public void Restart(LogIndex next)
    {
        Entries.Clear();
        Places.Clear();
        First = next;
    }
}
