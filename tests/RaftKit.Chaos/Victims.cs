using RaftKit.Chaos.Faults;

namespace RaftKit.Chaos;

/// <summary>
/// Who is in whose hand. A narrow fault has a process to itself, a wide one all of them. Never more members at a time than the quorum
/// bears, and never two whose disks are damaged: every committed entry keeps an intact copy. Observers come on top: the quorum does not
/// need them.
/// </summary>
internal sealed class Victims(Subject subject, int members)
{
    private readonly Lock _lock = new();
    private readonly HashSet<int> _held = [];
    private int? _damaged;
    private bool _wideWaits;

    /// <summary>Takes whom the fault may strike, the first one first; null if that must wait.</summary>
    public IReadOnlyList<MemberProcess>? Take(Fault fault, Random random)
    {
        lock (_lock)
        {
            var free = subject.Members.Where(m => m.TakesPart && !_held.Contains(m.Id)).OrderBy(_ => random.Next()).ToList();
            if (fault.Wide)
            {
                // Others let go, and take nobody new meanwhile.
                _wideWaits = _held.Count > 0 || free.Count(m => !m.IsObserver) < members;
                return _wideWaits ? null : Hold([.. free.Where(m => !m.IsObserver), .. free.Where(m => m.IsObserver)]);
            }

            if (_wideWaits || (fault.Damages && _damaged is not null))
                return null;
            Prefer(free, m => m.Leads, random);
            Prefer(free, m => free.Exists(observer => observer.IsObserver && observer.Source == m.Id), random);
            var mayStrikeMembers = free.Count(m => !m.IsObserver) - 1 > members / 2;
            if (free.Find(m => m.IsObserver || mayStrikeMembers) is not { } victim)
                return null;
            if (fault.Damages)
                _damaged = victim.Id;
            return Hold([victim]);
        }
    }

    public void Release(IReadOnlyList<MemberProcess> victims)
    {
        lock (_lock)
        {
            _held.ExceptWith(victims.Select(v => v.Id));
            if (_damaged is { } damaged && victims.Any(v => v.Id == damaged))
                _damaged = null;
        }
    }

    // Sometimes those whom it hurts most: the leader, and whoever feeds an observer.
    private static void Prefer(List<MemberProcess> free, Predicate<MemberProcess> whom, Random random)
    {
        if (random.Next(5) < 2 && free.Find(whom) is { } first)
        {
            free.Remove(first);
            free.Insert(0, first);
        }
    }

    private List<MemberProcess> Hold(List<MemberProcess> victims)
    {
        _held.UnionWith(victims.Select(v => v.Id));
        return victims;
    }
}
