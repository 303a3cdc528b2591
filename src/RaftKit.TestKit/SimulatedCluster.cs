using System.Runtime.CompilerServices;
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

    /// <summary>
    /// How many of them, from the first, form the cluster; the others are only started by name, and join once <see
    /// cref="IQuorumMembership"/> added them. 0: all.
    /// </summary>
    public int Founders { get; init; }

    /// <summary>Makes your own state machines for one start of a member; called again whenever it starts. Null: none.</summary>
    public Func<MemberId, IReadOnlyList<IStateMachine>>? StateMachines { get; init; }

    /// <summary>
    /// Which levels of which features one start of a member supports, as its build; called again whenever it starts. Null: none but
    /// RaftKit's own. What no process could declare is refused at that start.
    /// </summary>
    public Func<MemberId, IReadOnlyDictionary<string, FeatureRange>>? Features { get; init; }

    /// <summary>How long sessions survive silence when they do not ask for a time of their own.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>A snapshot is taken after this many entries, at least 1; small, so that tests see them.</summary>
    public long SnapshotEveryEntries { get; init; } = 500;

    /// <summary>How often the nodes look at the time; all their timers are multiples of it.</summary>
    internal TimeSpan TickInterval { get; init; } = TimeSpan.FromMilliseconds(5);

    /// <summary>Whether all members are processes of one machine, on which a process's death can be proven to others.</summary>
    public bool SameMachine { get; init; } = true;
}

/// <summary>
/// A whole cluster in one thread, running RaftKit's shipped code (consensus, log, codec, sessions, recipes) and yours over a simulated
/// disk, network and clock, in simulated time: days pass in seconds, and a failure happens again with its seed. Raft's invariants and the
/// equality of all trees are checked after every event; a broken one is thrown as <see cref="SimulationFailedException"/> from whatever
/// runs the simulation. Not thread-safe; nothing happens outside <see cref="RunFor"/>, <see cref="RunUntil"/> and <see cref="Run{T}"/>.
/// </summary>
public sealed class SimulatedCluster
{
    private const int MostObservers = MemberId.GreatestObserver - MemberId.GreatestMember;

    private readonly SimulatedWorld _world;
    private readonly SafetyChecker _checker;
    private readonly LevelChecker _levels;
    private readonly MachineOracle _machines;
    private readonly Dictionary<MemberId, Exception> _failures = [];
    private readonly ulong _seed;

    /// <summary>Lays out a cluster; nobody is started.</summary>
    /// <exception cref="ArgumentOutOfRangeException">
    /// There are not 1 to 7 members, or more than 1000 observers, or another option is out of its range.
    /// </exception>
    public SimulatedCluster(SimulatedClusterOptions? options = null)
    {
        options ??= new SimulatedClusterOptions();
        Require(options.Members is >= 1 and <= 7, nameof(options.Members), options.Members, "1 to 7");
        Require(options.Observers is >= 0 and <= MostObservers, nameof(options.Observers), options.Observers, $"0 to {MostObservers}");
        Require(options.Founders >= 0 && options.Founders <= options.Members, nameof(options.Founders), options.Founders,
            $"0 (all) to {options.Members}, which is how many members there are");
        Require(options.SnapshotEveryEntries >= 1, nameof(options.SnapshotEveryEntries), options.SnapshotEveryEntries, "at least 1");
        Require(options.SessionTimeout > TimeSpan.Zero, nameof(options.SessionTimeout), options.SessionTimeout, "more than no time");
        _seed = options.Seed;
        TreeOracle oracle = null!;
        // Those of the start that is under way.
        IReadOnlyList<IStateMachine> machines = [];
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
            Log = new RaftKit.Node.Log.SegmentedLogOptions { SegmentBytes = 256 << 10, FirstSegmentBytes = 64 << 10,
                PrepareBytes = 16 << 10 },
        })
        {
            Application = (run, member) => new SimulatedZnodes(_world!, run, member, oracle, (_, _) => { }, machines, _machines),
        };
        oracle = new TreeOracle(_world);
        _machines = new MachineOracle(_world);
        _world.Starting = member => machines = options.StateMachines is { } make ? Made(member.Id, make(member.Id)) : [];
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

    /// <summary>
    /// Why a member's node stopped by itself, last; null if it did not. A build that does not support a level that is finalised does.
    /// </summary>
    /// <exception cref="ArgumentException">There is no such member; every call that names one says so.</exception>
    public Exception? FailureOf(MemberId member) => _failures.GetValueOrDefault(Known(member).Id);

    /// <summary>What a member knows of the quorum; null while it is down.</summary>
    public NodeStatus? StatusOf(MemberId member) => Known(member).Loop?.Status;

    internal FaultCounters Faults => _world.Faults;

    internal SimulatedMember MemberOf(MemberId member) => Known(member);

    /// <summary>A member's own copy of the state.</summary>
    internal IZnodeView ViewOf(MemberId member) => new SimulatedHost(UpOrThrow(member)).Sessions.View;

    /// <summary>Which life of its own a member knows of; 0 while it is down or has none.</summary>
    internal int IncarnationOf(MemberId member) => Known(member).Loop?.Incarnation ?? 0;

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
    public void Start(MemberId member) => Known(member).Start();

    /// <summary>
    /// Starts a member that is down with another configuration: it knows of itself and of these. For one that joins a cluster that runs.
    /// </summary>
    /// <param name="member">Who.</param>
    /// <param name="seeds">Members to ask.</param>
    /// <exception cref="InvalidOperationException">It is up.</exception>
    public void Start(MemberId member, params IReadOnlyList<MemberId> seeds)
    {
        ArgumentNullException.ThrowIfNull(seeds);
        var started = Known(member);
        foreach (var seed in seeds)
            Known(seed, nameof(seeds));
        (started.Seeds, started.AsksToBeAdded) = (seeds, false);
        started.Start();
    }

    /// <summary>
    /// As <see cref="Start(MemberId, IReadOnlyList{MemberId})"/>, for one that asks these to be added while its disk is empty, as
    /// <c>AutoJoin</c> among the options of RaftKit does: nobody else need ask for it. Later starts of it do the same.
    /// </summary>
    /// <param name="member">Who.</param>
    /// <param name="seeds">Members to ask.</param>
    /// <exception cref="InvalidOperationException">It is up.</exception>
    public void StartJoining(MemberId member, params IReadOnlyList<MemberId> seeds)
    {
        ArgumentNullException.ThrowIfNull(seeds);
        var started = Known(member);
        foreach (var seed in seeds)
            Known(seed, nameof(seeds));
        (started.Seeds, started.AsksToBeAdded) = (seeds, true);
        started.Start();
    }

    /// <summary>Ends a member's process without warning (SIGKILL). What it wrote stays.</summary>
    public void Kill(MemberId member)
    {
        var killed = Known(member);
        _world.Faults.Kill++;
        killed.Kill();
    }

    /// <summary>
    /// Makes everything that a member asks of its disk take longer, by half of this time to all of it, each time; <see
    /// cref="TimeSpan.Zero"/> ends it.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The time is negative.</exception>
    public void SlowDisk(MemberId member, TimeSpan atMost)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(atMost, TimeSpan.Zero);
        Known(member).Slowness = atMost;
    }

    /// <summary>
    /// Cuts a member's power: what was not synced is kept, dropped or torn, sector by sector, and files that were not synced with their
    /// directory may be gone.
    /// </summary>
    public void PowerCut(MemberId member)
    {
        var cut = Known(member);
        _world.Faults.PowerCut++;
        cut.PowerCut();
    }

    /// <summary>
    /// Lets one call to a member's disk fail with an I/O error and have no effect, whatever it asks: the member stops itself if that call
    /// mattered, and may be started again. It may be down: the calls of its next start count.
    /// </summary>
    /// <param name="member">Whose disk.</param>
    /// <param name="call">Which call, counted from the next one, which is 1.</param>
    /// <exception cref="ArgumentOutOfRangeException">The call is not positive.</exception>
    public void FailIo(MemberId member, int call = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(call);
        Known(member).Injected = "i/o";
        Known(member).Disk.FailIn(call);
    }

    /// <summary>Whether a call that <see cref="FailIo"/> named has not been made yet.</summary>
    public bool IoFailsSoon(MemberId member) => Known(member).Disk.FailsSoon;

    /// <summary>
    /// Empties the disk of a member that is down: it forgets everything, and joins under a new incarnation when it is started.
    /// </summary>
    /// <exception cref="InvalidOperationException">It is up.</exception>
    public void Wipe(MemberId member)
    {
        var wiped = Known(member);
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
        Known(member).Disk.Restore(copy);
        Known(member).Damage = DiskDamage.OldCopy;
        _checker.RolledBack(Known(member), incarnation);
    }

    /// <summary>
    /// Makes one member the whole quorum, as <c>QuorumRecovery.ForceNewQuorum</c> does with a real directory, while everybody is down. All
    /// other members must be wiped before they can join again; an observer only if it holds more than the survivor did.
    /// </summary>
    /// <param name="member">The survivor.</param>
    /// <returns>The zxid of the epoch break.</returns>
    /// <exception cref="InvalidOperationException">Somebody is up.</exception>
    public long ForceNewQuorum(MemberId member)
    {
        var survivor = Known(member);
        if (_world.Everybody.FirstOrDefault(m => m.IsUp) is { } running)
            throw new InvalidOperationException($"Member {running.Id} is up. Kill it first.");
        using var directory = LostQuorum.Open(survivor.Disk, _world.Options.Log);
        _checker.QuorumForced(directory.LastIndex, directory.BreakTerm);
        _levels.QuorumForced(directory.LastIndex);
        _machines.QuorumForced();
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
        ArgumentNullException.ThrowIfNull(groups);
        foreach (var member in groups.SelectMany(group => group))
            Known(member, nameof(groups));
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

    /// <summary>
    /// Makes the network drop, delay, duplicate and reorder messages, each as likely as given (at most a half), until it is called again.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">One is not 0 to 0.5.</exception>
    public void Disturb(double drop = 0, double delay = 0, double duplicate = 0, double reorder = 0)
    {
        RequireChance(drop, nameof(drop));
        RequireChance(delay, nameof(delay));
        RequireChance(duplicate, nameof(duplicate));
        RequireChance(reorder, nameof(reorder));
        _world.Network.Weather = new NetworkWeather { Drop = drop, Delay = delay, Duplicate = duplicate, Reorder = reorder };
    }

    /// <summary>Lets simulated time pass.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The time is negative: it only goes forward.</exception>
    /// <exception cref="SimulationFailedException">An invariant was broken.</exception>
    public void RunFor(TimeSpan time)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(time, TimeSpan.Zero);
        _world.RunUntil(Now + time);
        ThrowIfViolated();
    }

    /// <summary>Lets simulated time pass until the condition holds.</summary>
    /// <returns>Whether it came to hold within the time.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The time is negative: it only goes forward.</exception>
    /// <exception cref="SimulationFailedException">An invariant was broken.</exception>
    public bool RunUntil(Func<bool> condition, TimeSpan within)
    {
        ArgumentNullException.ThrowIfNull(condition);
        ArgumentOutOfRangeException.ThrowIfLessThan(within, TimeSpan.Zero);
        var held = _world.RunUntil(Now + within, condition);
        ThrowIfViolated();
        return held;
    }

    /// <summary>
    /// Starts client code in a member's process; it runs while time passes, and ends with that process. Await only what belongs to the
    /// simulation in it.
    /// </summary>
    /// <exception cref="InvalidOperationException">The member is down.</exception>
    public Task<T> Begin<T>(MemberId member, Func<SimulatedHost, Task<T>> client)
    {
        ArgumentNullException.ThrowIfNull(client);
        var run = UpOrThrow(member);
        Task<T> task = null!;
        run.Process.Context.Run(() => task = client(new SimulatedHost(run)));
        return task
            ?? throw new InvalidOperationException(
                $"The client code in member {member} returned null instead of a task. Return one: its end is what is waited for.");
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
                throw new ArgumentException(
                    $"{nameof(SimulatedClusterOptions)}.{nameof(SimulatedClusterOptions.Features)} for member {member}: {wrong}");
        }
        if (features.Count >= FeatureRanges.Most)
            throw new ArgumentException(
                $"{nameof(SimulatedClusterOptions)}.{nameof(SimulatedClusterOptions.Features)} for member {member}: {features.Count} features are more than {FeatureRanges.Most - 1}.");
        return new FeatureRanges(features);
    }

    private SimulatedRun UpOrThrow(MemberId member) =>
        Known(member).Run ?? throw new InvalidOperationException($"Member {member} is down. Start it first.");

    private SimulatedMember Known(MemberId member, [CallerArgumentExpression(nameof(member))] string? name = null) =>
        _world.Has(member) ? _world[member] : throw new ArgumentException(
            $"There is no member {member}. This cluster has the members {string.Join(", ", Members)}" +
            (_world.Observers is [var first, ..] ? $" and the observers {first.Id} to {_world.Observers[^1].Id}." : "."),
            name);

    private static IReadOnlyList<IStateMachine> Made(MemberId member, IReadOnlyList<IStateMachine>? machines)
    {
        if (machines is null || machines.Contains(null!))
        {
            throw new InvalidOperationException(
                $"{nameof(SimulatedClusterOptions)}.{nameof(SimulatedClusterOptions.StateMachines)} gave null for member {member}{(machines is null ? "" : ", among others")}. Give its machines, or [] for none.");
        }
        return machines;
    }

    private static void Require(bool fits, string option, object value, string range)
    {
        if (!fits)
            throw new ArgumentOutOfRangeException(
                "options", value, $"{nameof(SimulatedClusterOptions)}.{option} is {value}. Give {range}.");
    }

    private static void RequireChance(double chance, string name)
    {
        // NaN is neither.
        if (!(chance >= 0 && chance <= 0.5))
            throw new ArgumentOutOfRangeException(name, chance, "Give a chance from 0 to 0.5.");
    }

    private void ThrowIfViolated()
    {
        if (_world.Violation is { } violation)
            throw new SimulationFailedException(
                $"Seed {_seed}, at {Now.TotalMilliseconds:F3} ms: {violation}\n{string.Join('\n', _world.Trace.Last)}");
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
    /// <exception cref="InvalidOperationException">It has none, or several.</exception>
    public IReplicated<TMachine> Replicated<TMachine>()
        where TMachine : class, IStateMachine
    {
        var all = ((SimulatedZnodes)_run.Application).Others;
        if (all.OfType<TMachine>().ToList() is [var machine])
            return new Replicated<TMachine>(machine, _run, TaskCreationOptions.None);
        var there = all.Count == 0
            ? "It has none of yours"
            : $"It has {string.Join(", ", all.Select(m => $"{m.GetType().Name} '{m.Name}'"))}";
        throw new InvalidOperationException(
            $"This member does not have one state machine of type {typeof(TMachine).Name}. {there}. Let {nameof(SimulatedClusterOptions)}.{nameof(SimulatedClusterOptions.StateMachines)} make one for it.");
    }

    /// <summary>Proposes a command to a state machine, exactly once, and returns its result when it is applied on this member.</summary>
    /// <param name="machine">Its name.</param>
    /// <param name="command">The command, at most 1 MiB.</param>
    /// <exception cref="ArgumentException">The command is larger, or the name null.</exception>
    /// <exception cref="NotAppliedException">It was surely not applied.</exception>
    /// <exception cref="OutcomeUnknownException">Nobody here can tell.</exception>
    public Task<ReadOnlyMemory<byte>> ProposeAsync(string machine, ReadOnlyMemory<byte> command)
    {
        ArgumentNullException.ThrowIfNull(machine);
        var limit = IReplicated<IStateMachine>.MaxCommandBytes;
        if (command.Length > limit)
            throw new ArgumentException(
                $"The command for '{machine}' has {command.Length} bytes; at most {limit} are allowed, as by IReplicated. Split it, or keep what is large elsewhere.", nameof(command));
        var result = new ProposalResult();
        _run.Post(new NodeInput.Propose(machine, command, result));
        return result.Task;
    }

    /// <summary>
    /// Completes when everything acknowledged to anybody before is applied on this member: a read of it is then linearizable. False: ask
    /// again.
    /// </summary>
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
