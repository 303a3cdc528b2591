namespace RaftKit.Chaos;

/// <summary>Who is in whose hand. A narrow fault has a member to itself, a wide one all of them. Never more at a time than the quorum bears.</summary>
internal sealed class Victims(Subject subject, int members)
{
    private readonly Lock _lock = new();
    private readonly HashSet<int> _held = [];
    private bool _wideWaits;

    /// <summary>Takes whom the fault may strike, the first one first; null if that must wait.</summary>
    public IReadOnlyList<MemberProcess>? Take(bool wide, Random random)
    {
        lock (_lock)
        {
            var free = subject.Members.Where(m => m.TakesPart && !_held.Contains(m.Id)).OrderBy(_ => random.Next()).ToList();
            // Sometimes the leader, whom it hurts most.
            if (free.Find(m => m.Leads) is { } leader && random.Next(5) < 2)
            {
                free.Remove(leader);
                free.Insert(0, leader);
            }

            if (wide)
            {
                // Others let go, and take nobody new meanwhile.
                _wideWaits = free.Count < members;
                return _wideWaits ? null : Hold(free);
            }

            return _wideWaits || free.Count - 1 <= members / 2 ? null : Hold([free[0]]);
        }
    }

    public void Release(IReadOnlyList<MemberProcess> victims)
    {
        lock (_lock)
            _held.ExceptWith(victims.Select(v => v.Id));
    }

    private List<MemberProcess> Hold(List<MemberProcess> victims)
    {
        _held.UnionWith(victims.Select(v => v.Id));
        return victims;
    }
}
