using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Znodes;

namespace RaftKit.TestKit;

/// <summary>How a simulated cluster is laid out.</summary>
public sealed record SimulatedClusterOptions
{
    /// <summary>Decides everything that is left to chance. The same seed runs the same way, in every process.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>How many members there are, 1 to 7.</summary>
    public int Members { get; init; } = 3;

    /// <summary>How many observers there are beside them, 0 to 1000: numbers from 256 on.</summary>
    public int Observers { get; init; }

    /// <summary>How many of them, from the first, form the cluster; the others are only started by name, and join once <see cref="IQuorumMembership"/> added them. 0: all.</summary>
    public int Founders { get; init; }

    /// <summary>Makes your own state machines for one start of a member; called again whenever it starts. Null: none.</summary>
    public Func<MemberId, IReadOnlyList<IStateMachine>>? StateMachines { get; init; }

    /// <summary>Which levels of which features one start of a member supports, as its build; called again whenever it starts. Null: none but RaftKit's own. What no process could declare is refused at that start.</summary>
    public Func<MemberId, IReadOnlyDictionary<string, FeatureRange>>? Features { get; init; }

    /// <summary>How long sessions survive silence when they do not ask for a time of their own.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>A snapshot is taken after this many entries; small, so that tests see them.</summary>
    public long SnapshotEveryEntries { get; init; } = 500;

    /// <summary>How often the nodes look at the time; all their timers are multiples of it.</summary>
    internal TimeSpan TickInterval { get; init; } = TimeSpan.FromMilliseconds(5);

    /// <summary>Whether all members are processes of one machine, on which a process's death can be proven to others.</summary>
    public bool SameMachine { get; init; } = true;
}

/// <summary>
/// A whole cluster in one thread, running RaftKit's shipped code (consensus, log, codec, sessions, recipes) and yours over a simulated disk, network and clock, in
/// simulated time: days pass in seconds, and a failure happens again with its seed. Raft's invariants and the equality of all trees are checked after every event;
/// a broken one is thrown as <see cref="SimulationFailedException"/> from whatever runs the simulation. Not thread-safe; nothing happens outside
/// <see cref="RunFor"/>, <see cref="RunUntil"/> and <see cref="Run{T}"/>.
/// </summary>
public sealed class SimulatedCluster
{
    private readonly SimulatedWorld _world;
    private readonly SafetyChecker _checker;
    private readonly LevelChecker _levels;
    private readonly Dictionary<MemberId, Exception> _failures = [];
    private readonly ulong _seed;

    /// <summary>Lays out a cluster; nobody is started.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There are not 1 to 7 members, or more than 1000 observers.</exception>
    public SimulatedCluster(SimulatedClusterOptions? options = null)
    {
        options ??= new SimulatedClusterOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Members, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.Members, 7, nameof(options));
        ArgumentOutOfRangeException.ThrowIfNegative(options.Observers, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.Observers, MemberId.GreatestObserver - MemberId.GreatestMember, nameof(options));
        _seed = options.Seed;
        TreeOracle oracle = null!;
        _world = new SimulatedWorld(new SimulatedWorldOptions
        {
            Seed = options.Seed,
            Members = options.Members,
            Observers = options.Observers,
            Founders = options.Founders == 0 ? options.Members : options.Founders,
            SameMachine = options.SameMachine,
            TickInterval = options.TickInterval,
            SessionTimeout = options.SessionTimeout,
            SnapshotEveryEntries = options.SnapshotEveryEntries,
            KeepEntries = options.SnapshotEveryEntries / 10,
            Log = new RaftKit.Node.Log.SegmentedLogOptions { SegmentBytes = 256 << 10, FirstSegmentBytes = 64 << 10, PrepareBytes = 16 << 10 },
        })
        {
            Application = (run, member) => new SimulatedZnodes(_world!, run, member, oracle, (_, _) => { }, options.StateMachines?.Invoke(member.Id) ?? []),
        };
        oracle = new TreeOracle(_world);
        _checker = new SafetyChecker(_world);
        _levels = new LevelChecker(_world);
        if (options.Features is { } features)
            _world.BuildOf = id => Declared(id, features(id));
        _world.MemberUp = (member, run) =>
        {
            _checker.Started(member, run);
            _levels.Started(member);
        };
        _world.AfterTurn = (member, run, inputs) =>
        {
            _checker.AfterTurn(member, run, inputs);
            _levels.AfterTurn(member, run);
        };
        _world.MayRefuseLevel = _levels.MayRefuse;
        _world.Ended = (member, failure) =>
        {
            if (failure is not null)
                _failures[member.Id] = failure;
        };
    }

    /// <summary>Since the simulation began.</summary>
    public TimeSpan Now => _world.Scheduler.Now;

    /// <summary>Every member, up or not.</summary>
    public IReadOnlyList<MemberId> Members => _world.Ids;

    /// <summary>Every observer, up or not. Whatever can be done to a member can be done to one.</summary>
    public IReadOnlyList<MemberId> Observers => [.. _world.Observers.Select(o => o.Id)];

    /// <summary>The member that leads the newest term and is ready for work; nobody if none does.</summary>
    public MemberId Leader => Members
        .Select(id => StatusOf(id))
        .Where(s => s is { Role: RaftRole.Leader, Ready: true })
        .OrderByDescending(s => s!.Term)
        .FirstOrDefault()?.Self ?? MemberId.None;

    /// <summary>Why a member's node stopped by itself, last; null if it did not. A build that does not support a level that is finalised does.</summary>
    public Exception? FailureOf(MemberId member) => _failures.GetValueOrDefault(member);

    /// <summary>What a member knows of the quorum; null while it is down.</summary>
    public NodeStatus? StatusOf(MemberId member) => _world[member].Loop?.Status;

    internal SimulatedMember MemberOf(MemberId member) => _world[member];

    /// <summary>A member's own copy of the state.</summary>
    internal IZnodeView ViewOf(MemberId member) => new SimulatedHost(UpOrThrow(member)).Sessions.View;

    /// <summary>Which life of its own a member knows of; 0 while it is down or has none.</summary>
    internal int IncarnationOf(MemberId member) => _world[member].Loop?.Incarnation ?? 0;

    /// <summary>Starts everybody who is down: the founders, the observers, and whoever was started by name before.</summary>
    public void StartAll()
    {
        foreach (var member in _world.Everybody)
        {
            if (!member.IsUp && (member.Id.IsObserver || member.Id.Value <= _world.Options.Founders || member.WasStarted))
                member.Start();
        }
    }

    /// <summary>Starts a member that is down, on the disk that it left.</summary>
    /// <exception cref="InvalidOperationException">It is up.</exception>
    public void Start(MemberId member) => _world[member].Start();

    /// <summary>Starts a member that is down with another configuration: it knows of itself and of these. For one that joins a cluster that runs.</summary>
    /// <param name="member">Who.</param>
    /// <param name="seeds">Members to ask.</param>
    /// <exception cref="InvalidOperationException">It is up.</exception>
    public void Start(MemberId member, params IReadOnlyList<MemberId> seeds)
    {
        _world[member].Seeds = seeds;
        _world[member].Start();
    }

    /// <summary>Ends a member's process without warning (SIGKILL). What it wrote stays.</summary>
    public void Kill(MemberId member)
    {
        _world.Faults.Kill++;
        _world[member].Kill();
    }

    /// <summary>Makes everything that a member asks of its disk take longer, by half of this time to all of it, each time; <see cref="TimeSpan.Zero"/> ends it.</summary>
    public void SlowDisk(MemberId member, TimeSpan atMost) => _world[member].Slowness = atMost;

    /// <summary>Cuts a member's power: what was not synced is kept, dropped or torn, sector by sector, and files that were not synced with their directory may be gone.</summary>
    public void PowerCut(MemberId member)
    {
        _world.Faults.PowerCut++;
        _world[member].PowerCut();
    }

    /// <summary>
    /// Lets one call to a member's disk fail with an I/O error and have no effect, whatever it asks: the member stops itself if that call mattered, and may be
    /// started again. It may be down: the calls of its next start count.
    /// </summary>
    /// <param name="member">Whose disk.</param>
    /// <param name="call">Which call, counted from the next one, which is 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The call is not positive.</exception>
    public void FailIo(MemberId member, int call = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(call);
        _world[member].Injected = "i/o";
        _world[member].Disk.FailIn(call);
    }

    /// <summary>Whether a call that <see cref="FailIo"/> named has not been made yet.</summary>
    public bool IoFailsSoon(MemberId member) => _world[member].Disk.FailsSoon;

    /// <summary>Empties the disk of a member that is down: it forgets everything, and joins under a new incarnation when it is started.</summary>
    /// <exception cref="InvalidOperationException">It is up.</exception>
    public void Wipe(MemberId member)
    {
        var wiped = _world[member];
        if (wiped.IsUp)
            throw new InvalidOperationException($"Member {member} is up. Kill it first.");
        _world.Faults.Wipe++;
        wiped.Disk.Wipe();
        wiped.Damage = DiskDamage.None;
        _checker.Wiped(wiped);
    }

    /// <summary>Puts an older copy in the place of what the disk of a member that is down holds.</summary>
    /// <param name="member">Whose.</param>
    /// <param name="copy">What is put back.</param>
    /// <param name="incarnation">Which life the copy is of.</param>
    internal void PutBack(MemberId member, SimulatedDisk copy, int incarnation = 1)
    {
        _world.Faults.OldCopy++;
        _world[member].Disk.Restore(copy);
        _world[member].Damage = DiskDamage.OldCopy;
        _checker.RolledBack(_world[member], incarnation);
    }

    /// <summary>
    /// Makes one member the whole quorum, as <c>QuorumRecovery.ForceNewQuorum</c> does with a real directory, while everybody is down. All other members must be wiped before they can join again; an observer only if it holds more than the survivor did.
    /// </summary>
    /// <param name="member">The survivor.</param>
    /// <returns>The zxid of the epoch break.</returns>
    /// <exception cref="InvalidOperationException">Somebody is up.</exception>
    public long ForceNewQuorum(MemberId member)
    {
        if (_world.Everybody.FirstOrDefault(m => m.IsUp) is { } running)
            throw new InvalidOperationException($"Member {running.Id} is up. Kill it first.");
        using var directory = LostQuorum.Open(_world[member].Disk, _world.Options.Log);
        _checker.QuorumForced(directory.LastIndex);
        _levels.QuorumForced(directory.LastIndex);
        foreach (var other in _world.Everybody.Where(m => m.Id != member && m.WasStarted))
            other.Damage = DiskDamage.OldCopy;
        return directory.Force();
    }

    /// <summary>Stops a member's process (SIGSTOP) until <see cref="Resume"/>.</summary>
    public void Pause(MemberId member) => UpOrThrow(member).Process.Pause();

    /// <summary>Lets a stopped process go on (SIGCONT).</summary>
    public void Resume(MemberId member) => UpOrThrow(member).Process.Resume();

    /// <summary>Lets members hear only those of their own group; who is in no group hears nobody.</summary>
    public void Partition(params IReadOnlyList<MemberId>[] groups)
    {
        _world.Network.Block(
            from a in _world.Everybody.Select(m => m.Id)
            from b in _world.Everybody.Select(m => m.Id)
            where a != b && !groups.Any(g => g.Contains(a) && g.Contains(b))
            select (a, b));
    }

    /// <summary>Lets everybody hear one member only, and that one everybody.</summary>
    internal void Star(MemberId middle) => _world.Network.Block(
        from a in _world.Everybody.Select(m => m.Id)
        from b in _world.Everybody.Select(m => m.Id)
        where a != b && a != middle && b != middle
        select (a, b));

    /// <summary>Ends every partition.</summary>
    public void Heal() => _world.Network.Block([]);

    /// <summary>Makes the network drop, delay, duplicate and reorder messages, each as likely as given (at most a half), until it is called again.</summary>
    public void Disturb(double drop = 0, double delay = 0, double duplicate = 0, double reorder = 0) =>
        _world.Network.Weather = new NetworkWeather { Drop = drop, Delay = delay, Duplicate = duplicate, Reorder = reorder };

    /// <summary>Lets simulated time pass.</summary>
    /// <exception cref="SimulationFailedException">An invariant was broken.</exception>
    public void RunFor(TimeSpan time)
    {
        _world.RunUntil(Now + time);
        ThrowIfViolated();
    }

    /// <summary>Lets simulated time pass until the condition holds.</summary>
    /// <returns>Whether it came to hold within the time.</returns>
    /// <exception cref="SimulationFailedException">An invariant was broken.</exception>
    public bool RunUntil(Func<bool> condition, TimeSpan within)
    {
        ArgumentNullException.ThrowIfNull(condition);
        var held = _world.RunUntil(Now + within, condition);
        ThrowIfViolated();
        return held;
    }

    /// <summary>Starts client code in a member's process; it runs while time passes, and ends with that process. Await only what belongs to the simulation in it.</summary>
    /// <exception cref="InvalidOperationException">The member is down.</exception>
    public Task<T> Begin<T>(MemberId member, Func<SimulatedHost, Task<T>> client)
    {
        ArgumentNullException.ThrowIfNull(client);
        var run = UpOrThrow(member);
        Task<T> task = null!;
        run.Process.Context.Run(() => task = client(new SimulatedHost(run)));
        return task;
    }

    /// <summary>Runs client code in a member's process until it is done.</summary>
    /// <param name="member">Where.</param>
    /// <param name="client">What.</param>
    /// <param name="within">The simulated time that it may take; null: 30 s.</param>
    /// <exception cref="TimeoutException">It did not end within the time, or its process ended.</exception>
    /// <exception cref="SimulationFailedException">An invariant was broken.</exception>
    public T Run<T>(MemberId member, Func<SimulatedHost, Task<T>> client, TimeSpan? within = null)
    {
        var limit = within ?? TimeSpan.FromSeconds(30);
        var task = Begin(member, client);
        if (!RunUntil(() => task.IsCompleted, limit))
            throw new TimeoutException($"The client code in member {member} did not end within {limit} of simulated time.");
        return task.GetAwaiter().GetResult();
    }

    // As RaftKitOptions.Supports takes them: a range that no process could declare would be simulated to no purpose.
    private static FeatureRanges Declared(MemberId member, IReadOnlyDictionary<string, FeatureRange> features)
    {
        ArgumentNullException.ThrowIfNull(features);
        foreach (var (feature, range) in features.OrderBy(f => f.Key, StringComparer.Ordinal))
        {
            var wrong = FeatureRanges.CheckName(feature);
            if (wrong is null && feature == FeatureRanges.Library)
                wrong = $"'{feature}' is the library's own feature.";
            if (wrong is null && (range.Min < 1 || range.Max < range.Min || range.Max > FeatureRanges.GreatestLevel))
                wrong = $"Levels {range} of '{feature}' cannot be: they are from 1 to {FeatureRanges.GreatestLevel}, the lowest first.";
            if (wrong is not null)
                throw new ArgumentException($"{nameof(SimulatedClusterOptions)}.{nameof(SimulatedClusterOptions.Features)} for member {member}: {wrong}");
        }
        if (features.Count >= FeatureRanges.Most)
            throw new ArgumentException($"{nameof(SimulatedClusterOptions)}.{nameof(SimulatedClusterOptions.Features)} for member {member}: {features.Count} features are more than {FeatureRanges.Most - 1}.");
        return new FeatureRanges(features);
    }

    private SimulatedRun UpOrThrow(MemberId member) =>
        _world[member].Run ?? throw new InvalidOperationException($"Member {member} is down. Start it first.");

    private void ThrowIfViolated()
    {
        if (_world.Violation is { } violation)
            throw new SimulationFailedException($"Seed {_seed}, at {Now.TotalMilliseconds:F3} ms: {violation}\n{string.Join('\n', _world.Trace.Last)}");
    }
}

/// <summary>What client code finds in its process.</summary>
public sealed class SimulatedHost
{
    private readonly SimulatedRun _run;

    internal SimulatedHost(SimulatedRun run) => _run = run;

    /// <summary>The process's time: give it to everything that waits.</summary>
    public TimeProvider Time => _run.Process.Time;

    /// <summary>Opens sessions that live in this process, as the one from DI does.</summary>
    public IZnodeSessions Sessions => ((SimulatedZnodes)_run.Application).Sessions;

    /// <summary>The door to the membership, as the one from DI is.</summary>
    public IQuorumMembership Membership => ((SimulatedZnodes)_run.Application).Membership;

    /// <summary>The door to the feature levels, as the one from DI is.</summary>
    public IFeatureLevels Levels => ((SimulatedZnodes)_run.Application).Levels;

    /// <summary>The door to one of your own state machines, as the one from DI is.</summary>
    /// <typeparam name="TMachine">Its type; this member must have one such machine.</typeparam>
    public IReplicated<TMachine> Replicated<TMachine>()
        where TMachine : class, IStateMachine =>
        new Replicated<TMachine>(_run.Application.Machines.OfType<TMachine>().Single(), _run, TaskCreationOptions.None);

    /// <summary>Proposes a command to a state machine, exactly once, and returns its result when it is applied on this member.</summary>
    /// <exception cref="NotAppliedException">It was surely not applied.</exception>
    /// <exception cref="OutcomeUnknownException">Nobody here can tell.</exception>
    public Task<ReadOnlyMemory<byte>> ProposeAsync(string machine, ReadOnlyMemory<byte> command)
    {
        var result = new ProposalResult();
        _run.Post(new NodeInput.Propose(machine, command, result));
        return result.Task;
    }

    /// <summary>Completes when everything acknowledged to anybody before is applied on this member: a read of it is then linearizable. False: ask again.</summary>
    public Task<bool> ReadBarrierAsync()
    {
        var result = new BarrierResult();
        _run.Post(new NodeInput.Read(result));
        return result.Task;
    }

    private sealed class ProposalResult : IProposalCallback
    {
        private readonly TaskCompletionSource<ReadOnlyMemory<byte>> _done = new();

        public Task<ReadOnlyMemory<byte>> Task => _done.Task;

        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result) => _done.TrySetResult(result.ToArray());

        public void Failed(ProposalFailure failure, string reason) => _done.TrySetException(
            failure == ProposalFailure.NotApplied ? new NotAppliedException(reason) : new OutcomeUnknownException(reason));
    }

    private sealed class BarrierResult : IReadCallback
    {
        private readonly TaskCompletionSource<bool> _done = new();

        public Task<bool> Task => _done.Task;

        public void Ready() => _done.TrySetResult(true);

        public void Failed(string reason) => _done.TrySetResult(false);
    }
}

/// <summary>An invariant was broken in a simulation. The message has the seed, the time, the invariant and the last events.</summary>
public sealed class SimulationFailedException(string message) : Exception(message);
