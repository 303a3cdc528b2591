using System.Diagnostics;
using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;

namespace RaftKit.TestKit;

/// <summary>
/// One simulation, wholly drawn from its seed: a cluster, applications, faults, then healing and convergence, everything checked.
/// </summary>
internal sealed class SeedRun
{
    private const long FewestEvents = 1200;

    // A change that was asked for last may have to wait for a newcomer to catch up, and for one that was given up to be taken back.
    private static readonly TimeSpan Reconfiguring = TimeSpan.FromSeconds(60);

    private readonly ulong _seed;
    private readonly SimulatedWorld _world;
    private readonly SafetyChecker _checker;
    private readonly TreeOracle _oracle;
    private readonly Workload _workload;
    private readonly FaultPlan _faults;
    private readonly RareFaultPlan _rare;
    private readonly DamagePlan _damage;
    private readonly FailingDiskPlan _failing;
    private readonly LostQuorumPlan _lost;
    private readonly ChurnPlan? _churn;
    private readonly LevelChecker _levels;
    private readonly LevelPlan _rolling;
    private readonly NewerBuildPlan _newer;
    private readonly TimeSpan _trouble;
    private readonly List<(TimeSpan Lasts, MenuItem Item, SimulatedRandom When)> _pauses = [];

    /// <param name="seed">Draws everything.</param>
    /// <param name="trace">Gets every event.</param>
    /// <param name="atLeast">How long the trouble lasts at the least, before it heals; otherwise as the seed draws it.</param>
    public SeedRun(ulong seed, TextWriter? trace = null, TimeSpan atLeast = default)
    {
        _seed = seed;
        var random = new SimulatedRandom(seed).Split("layout");
        // Small messages and chunks, so that entries of two terms travel apart (figure 8) and snapshots arrive in pieces.
        var sizes = new SimulatedRandom(seed).Split("sizes");
        var churn = new SimulatedRandom(seed).Split("churns");
        _trouble = random.Between(TimeSpan.FromSeconds(6), TimeSpan.FromSeconds(14));
        var usual = _trouble;
        var pauses = new SimulatedRandom(seed).Split("long pauses");
        if (pauses.Chance(0.06))
        {
            var when = new SimulatedRandom(seed).Split("long pauses when");
            atLeast = Pauses(TimeSpan.FromSeconds(30), RareFaultPlan.LongestPause, MenuItem.PauseLong, when, atLeast);
        }
        pauses = new SimulatedRandom(seed).Split("pauses of many seconds");
        if (pauses.Chance(0.06))
            atLeast = Pauses(TimeSpan.FromSeconds(8), TimeSpan.FromSeconds(30), MenuItem.PauseOfManySeconds, pauses, atLeast);
        _trouble = atLeast > usual ? atLeast : usual;
        var founders = random.Pick([1, 2, 3, 3, 3, 3, 4, 5, 5, 6, 7]);
        var churns = churn.Chance(0.3);
        _world = new SimulatedWorld(new SimulatedWorldOptions
        {
            Seed = seed,
            Members = churns ? Math.Max(founders, churn.Between(3, 7)) : founders,
            Founders = founders,
            Observers = Observers(new SimulatedRandom(seed).Split("observers")),
            SameMachine = random.Chance(0.6),
            Log = new RaftKit.Node.Log.SegmentedLogOptions { SegmentBytes = random.Between(64, 256) << 10,
                FirstSegmentBytes = random.Between(16, 64) << 10, PrepareBytes = 16 << 10 },
            SnapshotEveryEntries = random.Chance(0.7) ? random.Between(20, 400) : 100_000,
            MaxAppendBytes = sizes.Chance(0.5) ? 1 << sizes.Between(5, 12) : 1 << 20,
            SnapshotChunkBytes = sizes.Chance(0.5) ? 1 << sizes.Between(9, 14) : 1 << 20,
            KeepEntries = random.Between(0, 60),
            KeepMemoryBytes = KeepMemoryBytes(new SimulatedRandom(seed).Split("memory")),
            SessionTimeout = random.Between(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(4)),
            Inbox = Inbox(new SimulatedRandom(seed).Split("inbox")),
            VoterPromise = VoterPromise(new SimulatedRandom(seed).Split("leases")),
            ExpireOnRefusedConnection = new SimulatedRandom(seed).Split("refused connections").Chance(0.4),
            RefusesOnTheWay = new SimulatedRandom(seed).Split("refused on the way").Chance(0.5),
            ClockDrift = 0.05,
        })
        {
            Application = NewApplication,
        };
        _world.Trace.Output = trace;
        _checker = new SafetyChecker(_world);
        _oracle = new TreeOracle(_world);
        _workload = new Workload(_world, _oracle) { Pace = _trouble / usual };
        _faults = new FaultPlan(_world);
        _rare = new RareFaultPlan(_world, _faults);
        _damage = new DamagePlan(_world, _checker, _faults);
        _failing = new FailingDiskPlan(_world, _faults, _damage);
        _churn = churns ? new ChurnPlan(_world, _checker, _faults) : null;
        _levels = new LevelChecker(_world);
        _lost = new LostQuorumPlan(_world, _checker, _levels, _oracle, _workload, _faults);
        _rolling = new LevelPlan(_world, _faults, _levels);
        _newer = new NewerBuildPlan(_world, _faults);
        _faults.ObserverWiped = _checker.Wiped;
        _world.MemberUp = MemberUp;
        _world.StoppedAtIo = _faults.StoppedAtIo;
        _world.Ended = (member, failure) =>
        {
            _failing.Ended(member, failure);
            if (failure is FeatureLevelUnsupportedException)
            {
                _levels.Refused(member);
                _rolling.Refused(member);
            }
            else if (failure is not null || !_rolling.Stopped(member))
            {
                if (failure is DirectoryRolledBackException)
                    _lost.Refused(member);
                _damage.Ended(member, failure);
            }
        };
        _world.MemberDown = (_, run) =>
        {
            _failing.Down(run);
            CountAmidJoint(run);
        };
        _world.MayRefuseLevel = _levels.MayRefuse;
        _world.Telling = _lost.Telling;
        _world.AfterTurn = (member, run, inputs) =>
        {
            _lost.Look(member);
            _checker.AfterTurn(member, run, inputs);
            _levels.AfterTurn(member, run);
            _damage.Went(member);
            _world.Faults.StallHandedOver += run.NewStalls();
        };
        _workload.BeginGuests();
        foreach (var member in _world.Members.Take(founders))
        {
            _world.Scheduler.After(random.Between(TimeSpan.Zero, TimeSpan.FromMilliseconds(300)), () =>
            {
                if (!member.IsUp)
                    member.Start();
            });
        }
        StartObservers(_world.Random.Split("observers"));
    }

    /// <summary>Draws a pause.</summary>
    /// <returns>How long the trouble must last for it to end within.</returns>
    private TimeSpan Pauses(TimeSpan shortest, TimeSpan longest, MenuItem item, SimulatedRandom random, TimeSpan atLeast)
    {
        var lasts = random.Between(shortest, longest);
        _pauses.Add((lasts, item, random));
        var needed = lasts + TimeSpan.FromSeconds(10);
        return atLeast > needed ? atLeast : needed;
    }

    private static int Observers(SimulatedRandom random) => random.Chance(0.35) ? random.Between(1, 3) : 0;

    private void StartObservers(SimulatedRandom random)
    {
        foreach (var observer in _world.Observers)
        {
            _world.Scheduler.After(random.Between(TimeSpan.Zero, TimeSpan.FromSeconds(3)), () =>
            {
                if (!observer.IsUp)
                    observer.Start();
            });
        }
    }

    public SimulatedWorld World => _world;

    /// <summary>See <see cref="SimulatedWorld.JudgedBy"/>.</summary>
    public IReadOnlyCollection<int> JudgedBy
    {
        init => _world.JudgedBy = value;
    }

    /// <summary>What clients did and were told; empty until the run has converged.</summary>
    public IReadOnlyList<HistoryOperation> History { get; private set; } = [];

    public SeedResult Run()
    {
        var clock = Stopwatch.StartNew();
        // A young cluster forms in peace: what happens to one that is not formed yet is drawn by one seed in three.
        _world.Scheduler.After(_world.Random.Split("begin").Chance(0.3) ? TimeSpan.Zero : TimeSpan.FromSeconds(1), _faults.Begin);
        if (_churn is null)
        {
            _damage.Begin();
            _lost.Begin();
        }
        else
        {
            _churn.Begin();
            _churn.Changed = () => _world.Faults.Coverage.Struck(MenuItem.MembersChangedAmidDamage, _damage.IsMending ? 1 : 0);
            _damage.BeginAmidChurn(_churn);
            _lost.BeginAmidChurn(_churn);
        }
        _damage.BeginObservers();
        _damage.BeginBadSectors(ofMembers: _churn is null);
        _damage.BeginRotThatIsMet();
        _damage.BeginOldCopiesOfObservers();
        _failing.Begin();
        _rolling.Begin();
        _newer.Begin();
        _rare.Begin();
        foreach (var (lasts, item, when) in _pauses)
            _world.Scheduler.After(
                when.Between(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(5)), () => _faults.PauseForLong(lasts, item, when));
        _world.RunUntil(_trouble);
        if (_world.Violation is null)
            Converge();
        return new SeedResult
        {
            Seed = _seed,
            Violation = _world.Violation,
            Trace = _world.Violation is null ? [] : [.. _world.Trace.Last],
            At = _world.Scheduler.Now,
            Hash = _world.Trace.Hash,
            Members = _world.Members.Count,
            Events = _world.Trace.Inputs,
            SimulatedTime = _world.Scheduler.Now,
            WallTime = clock.Elapsed,
            CheckTime = CheckTime,
            HistoryUndecided = HistoryUndecided,
            WritesAcknowledged = _workload.Log.WritesAcknowledged,
            LeaderChanges = _checker.LeaderChanges,
            SessionsExpired = _oracle.SessionsExpired,
            WatchEvents = _workload.WatchEvents,
            EventsFoundByJumps = _workload.EventsFoundByJumps,
            Elections = _workload.Elections,
            GuestConnections = _workload.GuestConnections,
            ReadsByLease = _workload.ReadsByLease,
            ReadsBehind = _workload.ReadsBehind,
            ReadsTooStale = _workload.ReadsTooStale,
            SnapshotsInstalled = SnapshotsInstalled,
            Faults = _world.Faults,
        };
    }

    // In half of the seeds nearly all that peers lack is read from the disk.
    private static long KeepMemoryBytes(SimulatedRandom memory) => memory.Chance(0.5) ? memory.Between(0, 2048) : 16L << 20;

    private void CountAmidJoint(SimulatedRun run)
    {
        if (run.Loop.Core is not { Membership.IsJoint: true } core)
            return;
        _world.Faults.Coverage.Struck(MenuItem.CrashAmidJoint);
        if (core.Role == RaftRole.Leader)
            _world.Faults.Coverage.Struck(MenuItem.CrashOfLeaderAmidJoint);
    }

    private long SnapshotsInstalled { get; set; }

    private TimeSpan CheckTime { get; set; }

    private string HistoryUndecided { get; set; } = "";

    private void Converge()
    {
        _rolling.Heal();
        _faults.Heal();
        _rare.Heal();
        var electionTimeout = _world.Options.TickInterval * _world.Options.ElectionTicks * _world.Everybody.Max(m => m.TickSkew);
        if (!Within(10 * electionTimeout, () => HasOneLeader))
        {
            _world.Violate(
                $"liveness: no leader within 10 election timeouts of {electionTimeout.TotalMilliseconds:F0} ms after all faults ended: {Describe()}");
            return;
        }
        var acknowledged = _workload.Log.WritesAcknowledged;
        if (!Within(TimeSpan.FromSeconds(10), () => _workload.Log.WritesAcknowledged > acknowledged))
        {
            _world.Violate($"liveness: no write was acknowledged within 10 s after all faults ended: {Describe()}");
            return;
        }
        if (_churn is not null)
        {
            _churn.Settle();
            if (!Within(Reconfiguring, () => _churn.IsSettled))
            {
                _world.Violate(
                    $"liveness: the members were not those wanted within {Reconfiguring.TotalSeconds:0} s after all faults ended: {Describe()}");
                return;
            }
            _churn.SwitchOffStrangers();
        }
        // Where members come and go, one that is named and was never set up keeps everything at its level.
        if (_churn is null && !Within(TimeSpan.FromSeconds(10), _rolling.Finish))
        {
            _world.Violate(
                $"liveness: the newest level was not finalised within 10 s after all faults ended, though everybody supports it: {Describe()}");
            return;
        }
        if (new StalledLeader(_world, () => _workload.Log.WritesAcknowledged, Within).Run(electionTimeout) is { } stalled)
        {
            _world.Violate($"{stalled}: {Describe()}");
            return;
        }
        // Two lonely members make few events in the time of others.
        Within(TimeSpan.FromSeconds(60), () => _world.Trace.Inputs >= FewestEvents);
        _workload.Stopped = true;
        foreach (var member in Expected)
            if (member is { Run.Application: SimulatedZnodes application } && (member.Id.IsObserver || _checker.MayCount(member.Id)))
                _workload.OpenIdle(member.Run.Process, application.Sessions);
        _world.RunUntil(_world.Scheduler.Now + (2 * Workload.IdleTimeout));
        // What was asked for before the faults ended may have been taken up after them.
        if (_churn is not null)
        {
            Within(Reconfiguring, () => _churn.IsSettled);
            _churn.SwitchOffStrangers();
        }
        _workload.CheckKeptAlive();
        if (!Within(TimeSpan.FromSeconds(20), () => HaveConverged))
        {
            _world.Violate($"liveness: the members did not converge within 20 s after all faults ended: {Describe()}");
            return;
        }
        _checker.CheckConverged();
        _levels.CheckRefusals();
        var history = _workload.Log.Finish();
        History = history;
        var checking = Stopwatch.StartNew();
        var result = LinearizabilityChecker.Check(
            new UnknownOutcomes(_oracle.WritesOf, _workload.Violate).Resolve(history), _oracle.Ends, maxSteps: 200_000);
        CheckTime = checking.Elapsed;
        if (!result.Holds)
            _world.Violate($"linearizability: {result.Explanation}");
        HistoryUndecided = result.Decided ? "" : result.Explanation;
    }

    private bool Within(TimeSpan limit, Func<bool> condition) =>
        _world.RunUntil(_world.Scheduler.Now + limit, condition) || _world.Violation is not null;

    private bool HasOneLeader
    {
        get
        {
            var leaders = 0;
            var newest = _world.Members.Where(m => _checker.MayCount(m.Id)).Select(
                m => m.Loop?.Core?.Term ?? Term.Zero).DefaultIfEmpty().Max();
            foreach (var member in _world.Members)
            {
                if (member.Loop?.Core is { Role: RaftRole.Leader, HasCommittedInTerm: true } core && core.Term == newest)
                    leaders++;
            }
            return leaders == 1;
        }
    }

    private bool HaveConverged
    {
        get
        {
            var applied = LogIndex.Zero;
            foreach (var member in Expected)
            {
                if (member.Loop?.Core is not { } core || core.Applied < _checker.Committed || core.Commit != core.LastIndex
                    || core.RottenEnd is not null)
                    return false;
                if (applied != LogIndex.Zero && core.Applied != applied)
                    return false;
                applied = core.Applied;
            }
            return true;
        }
    }

    // Where members come and go, those who are up in the end: strangers were switched off.
    private IEnumerable<SimulatedMember> Expected =>
        (_churn is null ? _world.Members : _world.Members.Where(m => m.IsUp)).Concat(_world.Observers);

    // Leases hold elections up: half of the seeds are without them.
    private static TimeSpan VoterPromise(SimulatedRandom random) =>
        random.Chance(0.5) ? TimeSpan.Zero : random.Between(TimeSpan.FromMilliseconds(60), TimeSpan.FromMilliseconds(200));

    // One seed in four has so little room that busy members refuse calls and drop what peers send.
    private static InboxLimits Inbox(SimulatedRandom random) => random.Chance(0.75)
        ? InboxLimits.Default
        : new InboxLimits { MaxCalls = random.Between(3, 8), MaxBulk = random.Between(1, 6), MaxBulkBytes = 1 << random.Between(8, 20),
            MaxUrgent = random.Between(4, 64) };

    private string Describe() => string.Join("; ", _world.Everybody.Select(m => m.Loop?.Core is { } core
        ? $"member {m.Id}#{m.Loop.Incarnation} {core.Role} of term {core.Term}, leader {core.Leader}, last {core.LastIndex}/{core.LastTerm}, commit {core.Commit}, applied {core.Applied}{(core.RottenEnd is { } rotten ? $", ended at {rotten} before rot" : "")}, {core.Membership}"
        : $"member {m.Id} {(m.IsUp ? "has no identity" : "is down")}"));

    private SimulatedApplication NewApplication(SimulatedRun run, SimulatedMember member) =>
        new SimulatedZnodes(_world, run, member, _oracle, (from, to) =>
        {
            // A start reads its own snapshot back; only a leader's jumps over what was there.
            if (!run.HasStarted)
                return;
            SnapshotsInstalled++;
            SnapshotStages.Restored(_world.Faults.Coverage, run);
            _rare.Restored(member, run);
            if (member.Id.IsObserver)
                _world.Faults.ObserverSnapshot++;
            _workload.Jumped(run.Process, from, to);
        });

    private void MemberUp(SimulatedMember member, SimulatedRun run)
    {
        _checker.Started(member, run);
        _levels.Started(member);
        _damage.Went(member);
        _rare.Went(member, run);
        if (!_workload.Stopped)
            _workload.Begin(run.Process, ((SimulatedZnodes)run.Application).Sessions);
    }

}

/// <summary>What came of a seed.</summary>
internal sealed record SeedResult
{
    public required ulong Seed { get; init; }

    public required string? Violation { get; init; }

    public required IReadOnlyList<string> Trace { get; init; }

    public required TimeSpan At { get; init; }

    public required ulong Hash { get; init; }

    public required int Members { get; init; }

    public required long Events { get; init; }

    public required TimeSpan SimulatedTime { get; init; }

    public required TimeSpan WallTime { get; init; }

    /// <summary>The part of the wall time that went into judging the history.</summary>
    public TimeSpan CheckTime { get; init; }

    /// <summary>Why the history was not judged to its end: it proves nothing then. Empty if it was.</summary>
    public string HistoryUndecided { get; init; } = "";

    public required long WritesAcknowledged { get; init; }

    public required long LeaderChanges { get; init; }

    public required long SessionsExpired { get; init; }

    public required long WatchEvents { get; init; }

    /// <summary>Those of them that came of comparing the states before and after a snapshot.</summary>
    public long EventsFoundByJumps { get; init; }

    public required long Elections { get; init; }

    /// <summary>How often clients on machines of their own connected through a member.</summary>
    public long GuestConnections { get; init; }

    /// <summary>Linearizable reads that rested on a leader's lease.</summary>
    public long ReadsByLease { get; init; }

    /// <summary>Reads that were allowed to be behind by a bound...</summary>
    public long ReadsBehind { get; init; }

    /// <summary>...and those that were refused, because nobody could say that it was kept.</summary>
    public long ReadsTooStale { get; init; }

    public required long SnapshotsInstalled { get; init; }

    public required FaultCounters Faults { get; init; }

    /// <summary>The simulator itself failed.</summary>
    public static SeedResult Crashed(ulong seed, Exception failure) => new()
    {
        Seed = seed, Violation = $"the simulator failed: {failure}", Trace = [], At = default, Hash = 0, Members = 0, Events = 0,
        SimulatedTime = default,
        WallTime = default, WritesAcknowledged = 0, LeaderChanges = 0, SessionsExpired = 0, WatchEvents = 0, Elections = 0,
        SnapshotsInstalled = 0,
        Faults = new FaultCounters(),
    };
}
