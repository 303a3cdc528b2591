namespace RaftKit.Consensus;

/// <summary>
/// The memberships in the log that may still matter: the newest committed one, and those after it. A membership holds from the
/// moment it is appended (Raft 6; applying it at commit was etcd's bug 7280), so one that is cut must give way to the one before it.
/// </summary>
internal sealed class MembershipHistory
{
    private readonly List<(LogIndex Index, Membership Membership)> _all = [];

    public MembershipHistory(RestoredState restored, IReadOnlyList<Entry> found)
    {
        LogIndex start = restored.Snapshot?.Index ?? LogIndex.Zero;
        if (restored.MembershipIndex <= start)
            _all.Add((restored.MembershipIndex, restored.Membership));
        else
            _all.Add((start, restored.Snapshot?.Membership ?? restored.Initial));
        foreach (var entry in found)
        {
            if (entry.Index > start)
                Append(entry);
        }
        Invariant.Holds(
            Index == restored.MembershipIndex && Current.Equals(restored.Membership),
            $"restored with membership {restored.Membership} at {restored.MembershipIndex}, but the log's newest is {Current} at {Index}");
    }

    public Membership Current => _all[^1].Membership;

    public LogIndex Index => _all[^1].Index;

    /// <summary>
    /// The one before <see cref="Current"/>, which is committed: a leader lets no change start before. Null when it is not known.
    /// </summary>
    public Membership? Previous => _all.Count > 1 ? _all[^2].Membership : null;

    public void Append(in Entry entry)
    {
        Invariant.Holds(
            MembershipCodec.TryDecode(entry.Payload.Span, out var membership),
            $"entry {entry.Index} holds a membership that cannot be read");
        Invariant.Holds(entry.Index > Index, $"membership at {entry.Index} appended after the one at {Index}");
        _all.Add((entry.Index, membership!));
    }

    public void CutFrom(LogIndex from)
    {
        while (Index >= from)
        {
            Invariant.Holds(_all.Count > 1, $"the committed membership at {Index} would be cut from {from} on");
            _all.RemoveAt(_all.Count - 1);
        }
    }

    /// <summary>Nothing up to there can be cut any more: keeps only the newest of those.</summary>
    public void Forget(LogIndex commit)
    {
        while (_all.Count > 1 && _all[1].Index <= commit)
            _all.RemoveAt(0);
    }

    public void Reset(SnapshotMark snapshot)
    {
        _all.Clear();
        _all.Add((snapshot.Index, snapshot.Membership));
    }
}
