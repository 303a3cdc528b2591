namespace RaftKit.TestKit;

/// <summary>
/// In a part of the seeds disks fail for a while, call after call (<see cref="FailingDisk"/>): those of a minority, so that every committed
/// entry keeps an intact copy, and of some observers. Whoever stops of it is started again, and again, until the disk goes on, is replaced,
/// or all faults end.
/// </summary>
internal sealed class FailingDiskPlan
{
    private const int MostWaits = 100;

    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    private readonly SimulatedWorld _world;
    private readonly FaultPlan _faults;
    private readonly DamagePlan _damage;
    private readonly SimulatedRandom _random;
    private readonly HashSet<SimulatedMember> _failed = [];
    private bool _wasUp;
    private int _periods;
    private bool _misreads;

    public FailingDiskPlan(SimulatedWorld world, FaultPlan faults, DamagePlan damage)
    {
        (_world, _faults, _damage) = (world, faults, damage);
        _random = world.Random.Split("failing disks");
        damage.Mended = (member, wasMissing) =>
        {
            if (_failed.Remove(member) && wasMissing)
                _world.Faults.Coverage.Struck(MenuItem.FailingDiskRepaired);
        };
    }

    public void Begin()
    {
        if (_random.Chance(0.3))
            Later(_random.Between(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(5)));
    }

    /// <summary>A process ends.</summary>
    public void Down(SimulatedRun run) => _wasUp = run.HasStarted;

    /// <summary>A loop ended by itself, or could not start: that of the process that was heard of last.</summary>
    public void Ended(SimulatedMember member, Exception? failure)
    {
        if (failure is not IOException || member.Disk.Failing is null)
            return;
        _world.Faults.Coverage.Struck(_wasUp ? MenuItem.FailingDiskEndsRun : MenuItem.FailingDiskEndsStart);
    }

    private void Later(TimeSpan after, int waited = 0) => _world.Scheduler.After(after, () =>
    {
        if (_faults.IsHealed)
            return;
        if (waited == 0)
            _misreads = _random.Chance(0.7);
        var started = _world.Members.Where(m => m.WasStarted && !m.IsRetired && !m.Disk.IsOff).ToList();
        if (_faults.IsHeld || started.Count == 0)
        {
            Later(Poll);
            return;
        }
        _random.Shuffle(started);
        var victims = started.Take(_random.Between(1, Math.Max(1, (_world.Members.Count - 1) / 2))).ToList();
        var misreads = _misreads && _damage.MayMisread(victims);
        // It may take a while until nobody else is damaged, or away. Where members come and go, reads are never wrong.
        if (_misreads && !misreads && waited < MostWaits)
        {
            Later(Poll, waited + 1);
            return;
        }
        if (victims.Count > 1)
            _world.Faults.Coverage.Struck(MenuItem.FailingDisksOfSeveral);
        var lasts = _random.Between(TimeSpan.FromMilliseconds(500), TimeSpan.FromSeconds(5));
        _periods++;
        foreach (var victim in victims)
            Strike(victim, misreads, lasts);
        foreach (var observer in _world.Observers)
        {
            if (!_random.Chance(0.4) || observer.Disk.IsOff || !_damage.MayMisreadOf(observer))
                continue;
            _world.Faults.Coverage.Struck(MenuItem.FailingDiskOfObserver);
            Strike(observer, misreads: true, lasts);
        }
        Later(lasts + _random.Between(TimeSpan.FromMilliseconds(500), TimeSpan.FromSeconds(8)));
    });

    private void Strike(SimulatedMember victim, bool misreads, TimeSpan lasts)
    {
        var failing = new FailingDisk(
            _random.Split($"period {_periods} of {victim.Id}"), _world.Faults.Coverage, misreads);
        _world.Trace.Event(victim.Id, $"has a disk that fails for {lasts.TotalMilliseconds:F0} ms");
        victim.Injected = "i/o";
        victim.Disk.Failing = failing;
        _failed.Add(victim);
        _world.Scheduler.After(lasts, () =>
        {
            // Replaced since, or mended with all others.
            if (victim.Disk.Failing != failing)
                return;
            victim.Disk.Failing = null;
            _world.Trace.Event(victim.Id, "has a disk that works again");
        });
    }
}
