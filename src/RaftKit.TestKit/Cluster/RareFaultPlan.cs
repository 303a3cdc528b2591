using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;

namespace RaftKit.TestKit;

/// <summary>
/// Faults that are aimed: between two effects of a turn, at a stage of a snapshot, at a start, at one type of message or one link, at a
/// whole quorum, and the partition in which only one hears everybody. A part of the seeds have a few of them beside what <see
/// cref="FaultPlan"/> does, drawn by a stream of their own.
/// </summary>
internal sealed class RareFaultPlan
{
    /// <summary>How long a process may be stopped.</summary>
    public static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(60);

    private readonly SimulatedWorld _world;
    private readonly FaultPlan _faults;
    private readonly SimulatedRandom _random;
    private readonly SimulatedRandom _crashes;
    private readonly List<Action> _menu = [];
    private readonly bool _crashesSnapshots;
    private readonly bool _installsSlowly;
    private int _snapshotCrashes;

    public RareFaultPlan(SimulatedWorld world, FaultPlan faults)
    {
        (_world, _faults) = (world, faults);
        _random = world.Random.Split("rare faults");
        _crashes = world.Random.Split("crashes amid snapshots");
        IsActive = _random.Chance(0.4);
        if (!IsActive)
            return;
        Offer(0.4, CutBetweenEffects);
        Offer(0.3, StrikeQuorum);
        Offer(0.3, StrikeStart);
        Offer(0.4, Star);
        Offer(0.4, FailNextCall);
        Offer(0.3, () => Storm(onType: true));
        Offer(0.3, () => Storm(onType: false));
        _crashesSnapshots = _random.Chance(0.4);
        _installsSlowly = _random.Chance(0.3);
        if (_random.Chance(0.4))
            world.Network.CorruptChunks = (world.Random.Split("corrupt chunks"), _random.Between(0.02, 0.3));
    }

    public bool IsActive { get; }

    public void Begin()
    {
        if (_menu.Count > 0)
            Next();
    }

    /// <summary>All faults end.</summary>
    public void Heal()
    {
        _world.Network.CorruptChunks = null;
        foreach (var run in _world.Everybody.Select(m => m.Run).OfType<SimulatedRun>())
            run.SnapshotLane.Slowness = TimeSpan.Zero;
    }

    /// <summary>The process is up: whatever it does with snapshots is counted, and may be its end.</summary>
    public void Went(SimulatedMember member, SimulatedRun run) => run.SnapshotLane.Executing = job =>
    {
        SnapshotStages.Begins(_world.Faults.Coverage, run, job);
        if (SnapshotStages.Of(job) is not { } stage)
            return;
        // There are many pieces of each, and one end.
        if (_crashesSnapshots && stage is MenuItem.SnapshotCrashSending or MenuItem.SnapshotCrashRestoring)
            KillBeforeHeard(member, run, stage);
        else if (_crashesSnapshots)
            StopSoon(member, stage is MenuItem.SnapshotCrashTaking or MenuItem.SnapshotCrashReceiving ? 0.04 : 0.15);
        if (_installsSlowly && stage == MenuItem.SnapshotCrashCompleting && !_faults.IsHealed)
            run.SnapshotLane.Slowness = _crashes.Between(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(900));
    };

    /// <summary>A leader's snapshot is in the machines, and the log is about to begin behind it.</summary>
    public void Restored(SimulatedMember member, SimulatedRun run)
    {
        run.SnapshotLane.Slowness = TimeSpan.Zero;
        if (_crashesSnapshots)
            StopSoon(member, 0.3);
    }

    /// <summary>
    /// What is read of a small snapshot is in memory, so that there is no I/O to end at: the process ends between the lane's work and the
    /// loop's hearing of it.
    /// </summary>
    private void KillBeforeHeard(SimulatedMember member, SimulatedRun run, MenuItem stage)
    {
        if (_faults.IsHealed || _faults.IsHeld || _snapshotCrashes == 8
            || !_crashes.Chance(stage == MenuItem.SnapshotCrashRestoring ? 0.3 : 0.1))
            return;
        _snapshotCrashes++;
        var power = _crashes.Chance(0.5);
        run.Process.After(_crashes.Between(TimeSpan.Zero, TimeSpan.FromMicroseconds(30)), () =>
        {
            if (member.Run != run || _faults.IsHealed || _faults.IsHeld || (stage == MenuItem.SnapshotCrashRestoring && !run.IsInstalling))
                return;
            _world.Faults.Coverage.Struck(stage);
            _faults.Strike(member, power);
        });
    }

    private void StopSoon(SimulatedMember member, double chance)
    {
        if (_faults.IsHealed || _faults.IsHeld || member.Disk.IsOff || _snapshotCrashes == 8 || !_crashes.Chance(chance))
            return;
        _snapshotCrashes++;
        member.PowerGoesAtStop = _crashes.Chance(0.5);
        member.Disk.StopIn(_crashes.Chance(0.6) ? 1 : _crashes.Between(1, 3));
    }

    private void Offer(double chance, Action strike)
    {
        if (_random.Chance(chance))
            _menu.Add(strike);
    }

    private void Next() => _world.Scheduler.After(_random.Between(TimeSpan.FromMilliseconds(200), TimeSpan.FromSeconds(3)), () =>
    {
        if (_faults.IsHealed)
            return;
        if (!_faults.IsHeld)
            _random.Pick(_menu)();
        Next();
    });

    private void CutBetweenEffects()
    {
        var leads = _random.Chance(0.5);
        var up = _world.Members.Where(m => m.Run is { HasStarted: true } && (!leads || m.Loop!.Core is { Role: RaftRole.Leader })).ToList();
        if (up.Count == 0)
            return;
        var member = _random.Pick(up);
        member.PowerGoesAtStop = false;
        member.Run!.CutAfter(_random.Between(1, 12));
    }

    /// <summary>The next call of one kind fails, whenever it comes: rare ones as often as those that are made all the time.</summary>
    private void FailNextCall()
    {
        var started = _world.Members.Where(m => m.WasStarted && !m.IsRetired).ToList();
        if (started.Count == 0)
            return;
        var (member, call) = (_random.Pick(started), _random.Pick(Enum.GetValues<DiskCall>()));
        member.Injected = "i/o";
        member.Disk.FailNext(call, noSpace: call is DiskCall.Create or DiskCall.Write && _random.Chance(0.5));
    }

    private void StrikeQuorum()
    {
        var up = _world.Members.Where(m => m.IsUp && !m.IsAsleep).ToList();
        var (power, quorum) = (_random.Chance(0.5), (_world.Members.Count / 2) + 1);
        // All is another fault.
        if (up.Count < quorum || quorum == _world.Members.Count)
            return;
        _random.Shuffle(up);
        _world.Faults.Coverage.Struck(power ? MenuItem.PowerCutQuorum : MenuItem.KillQuorum);
        foreach (var member in up.Take(quorum))
            _faults.Strike(member, power);
    }

    /// <summary>Whoever starts does not come far.</summary>
    private void StrikeStart()
    {
        var started = _world.Members.Where(m => m.WasStarted && !m.IsRetired && !m.IsAsleep).ToList();
        if (started.Count == 0)
            return;
        var member = _random.Pick(started);
        if (member.IsUp)
            _faults.Strike(member, _random.Chance(0.5), restart: false);
        _world.Scheduler.After(_random.Between(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(200)), () =>
        {
            if (_faults.IsHealed || member.IsUp || member.IsRetired)
                return;
            if (!_faults.IsHeld)
            {
                member.PowerGoesAtStop = _random.Chance(0.5);
                member.Disk.StopIn(_random.Between(1, 30));
            }
            member.Start();
        });
    }

    /// <summary>
    /// All hear one member, and nobody else. If another one leads, the one goes on hearing from it and so refuses every pre-vote, while no
    /// quorum hears from it: whoever leads must notice.
    /// </summary>
    private void Star()
    {
        if (_world.Members.Count < 3)
            return;
        var leader = _world.Members.FirstOrDefault(m => m.Loop?.Core is { Role: RaftRole.Leader })?.Id ?? MemberId.None;
        var middle = _random.Pick(_world.Ids.Where(id => id != leader).ToList());
        _world.Trace.Event(MemberId.None, $"partition: all hear only {middle}, {leader} leads");
        _world.Network.Block(from a in _world.Ids from b in _world.Ids where a != b && a != middle && b != middle select (a, b));
        _world.Faults.Coverage.Struck(_world.Members.Count == 5 && !leader.IsNone ? MenuItem.PartitionStarOfFive : MenuItem.PartitionStar);
        Later(_random.Between(TimeSpan.FromMilliseconds(300), TimeSpan.FromSeconds(4)), () => _world.Network.Block([]));
    }

    private void Storm(bool onType)
    {
        var weather = NetworkWeather.Focused(_random, _world.Ids, onType);
        _world.Trace.Event(MemberId.None, onType ? "the weather turns against one type of message" : "the weather turns against one link");
        _world.Faults.Coverage.Struck(onType ? MenuItem.StormOfOneKind : MenuItem.StormOverOneLink);
        _world.Network.Weather = weather;
        Later(_random.Between(TimeSpan.FromMilliseconds(200), TimeSpan.FromSeconds(4)), () =>
        {
            if (_world.Network.Weather == weather)
                _world.Network.Weather = NetworkWeather.Calm;
        });
    }

    private void Later(TimeSpan after, Action what) => _world.Scheduler.After(after, () =>
    {
        if (!_faults.IsHealed)
            what();
    });
}
