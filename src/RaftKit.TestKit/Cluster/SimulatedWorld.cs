using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Znodes;
using RaftKit.Znodes.Sessions;

namespace RaftKit.TestKit;

/// <summary>Everything that the members of one simulation share, and who hears of what happens to them.</summary>
internal sealed class SimulatedWorld
{
    private int _processes;

    public SimulatedWorld(SimulatedWorldOptions options)
    {
        Options = options;
        Random = new SimulatedRandom(options.Seed);
        Trace = new SimulatedTrace(Scheduler);
        Network = new SimulatedNetwork(Scheduler, Random.Split("network"), Faults, Trace)
        {
            SameMachine = options.SameMachine,
            RefusedOnTheWay = options is { SameMachine: false, RefusesOnTheWay: true } ? Random.Split("refused on the way") : null,
        };
        Ids = [.. Enumerable.Range(1, options.Members).Select(n => new MemberId(n))];
        Members = [.. Ids.Select(id => new SimulatedMember(
            this, id, new SimulatedDisk($"disk of member {id}", Random.Split($"disk {id}"), Faults), Random.Split($"member {id}")))];
        Observers =
            [.. Enumerable.Range(1, options.Observers).Select(n => new MemberId(MemberId.GreatestMember + n)).Select(
                id => new SimulatedMember(
            this, id, new SimulatedDisk($"disk of observer {id}", Random.Split($"disk {id}"), Faults), Random.Split($"member {id}")))];
        Everybody = [.. Members, .. Observers];
    }

    public SimulatedWorldOptions Options { get; }

    public SimulatedScheduler Scheduler { get; } = new();

    public SimulatedRandom Random { get; }

    public SimulatedTrace Trace { get; }

    public FaultCounters Faults { get; } = new();

    public SimulatedNetwork Network { get; }

    public IReadOnlyList<MemberId> Ids { get; }

    public IReadOnlyList<SimulatedMember> Members { get; }

    /// <summary>Those who hold the state and have no say in it.</summary>
    public IReadOnlyList<SimulatedMember> Observers { get; }

    public IReadOnlyList<SimulatedMember> Everybody { get; }

    /// <summary>Makes what lives in a process beside the loop.</summary>
    public required Func<SimulatedRun, SimulatedMember, SimulatedApplication> Application { get; init; }

    /// <summary>Hears of a start before anything of it is there: it may be refused by throwing.</summary>
    public Action<SimulatedMember>? Starting { get; set; }

    public Action<SimulatedMember, SimulatedRun>? MemberUp { get; set; }

    public Action<SimulatedMember, SimulatedRun>? MemberDown { get; set; }

    public Action<SimulatedMember, SimulatedRun, IReadOnlyList<NodeInput>>? AfterTurn { get; set; }

    public Action<SimulatedMember>? StoppedAtIo { get; set; }

    /// <summary>Hears of a loop that ended by itself: its failure, or null for a stop in order.</summary>
    public Action<SimulatedMember, Exception?>? Ended { get; set; }

    /// <summary>How often an operator forced a new quorum.</summary>
    public int QuorumsForced { get; set; }

    /// <summary>Hears that a member is about to tell what an entry, or a snapshot, made of its state there.</summary>
    public Action<SimulatedMember, long, ZnodeStateMachine>? Telling { get; set; }

    /// <summary>This event is of a process beside a quorum that was forced: what its clients are told is of another history.</summary>
    public bool IsAside => Scheduler.Current is { IsAside: true };

    /// <summary>What was found wrong; null while nothing was.</summary>
    public string? Violation { get; private set; }

    public SimulatedMember this[MemberId id] => id.IsObserver ? Observers[id.Value - MemberId.GreatestMember - 1] : Members[id.Value - 1];

    public bool Has(MemberId id) =>
        id.IsObserver ? id.Value - MemberId.GreatestMember <= Observers.Count : id.Value >= 1 && id.Value <= Members.Count;

    public int NextProcess() => ++_processes;

    /// <summary>
    /// Only violations of these invariants count, so that a mutant can show that one check catches it by itself. Empty: all, and everything
    /// else that can be wrong.
    /// </summary>
    public IReadOnlyCollection<int> JudgedBy { get; set; } = [];

    /// <summary>
    /// Only the first counts: what comes after it is its consequence. It ends the run, not the event, so that no node can catch it.
    /// </summary>
    public void Violate(string what)
    {
        if (Violation is not null
            || (JudgedBy.Count > 0 && !JudgedBy.Any(number => what.StartsWith($"invariant {number}:", StringComparison.Ordinal))))
            return;
        Violation = what;
        Trace.Event(MemberId.None, $"VIOLATION {what}");
    }

    /// <summary>Delivers events until the time, a violation, or the condition.</summary>
    /// <returns>Whether the condition came true.</returns>
    public bool RunUntil(TimeSpan until, Func<bool>? condition = null)
    {
        while (Violation is null)
        {
            if (condition?.Invoke() == true)
                return true;
            if (!Scheduler.RunNext(until))
                return condition?.Invoke() == true;
        }
        return false;
    }

    public NodeLoopOptions NodeOptions(MemberId self, ulong seed) => new()
    {
        Self = self,
        // Observers come and go in any case, so they are told of all machines that there may be.
        Members = Ids.Where(
            id => id == self || self.IsObserver || this[self].Seeds?.Contains(id) == true
            || (this[self].Seeds is null && id.Value <= Options.Founders))
            .ToDictionary(id => id, id => id == self || self.IsObserver ? this[id].Endpoint : this[self].Configured?[id] ?? $"member-{id}:1"),
        JoinOnly = !self.IsObserver && this[self].Seeds is not null,
        AutoJoin = !self.IsObserver && this[self] is { Seeds: not null, AsksToBeAdded: true },
        Seed = seed,
        HostProcess = new HostProcess("", 0, 0, 0),
        TickInterval = Options.TickInterval,
        HeartbeatTicks = Options.HeartbeatTicks,
        ElectionTicks = Options.ElectionTicks,
        VoterPromise = Options.VoterPromise,
        ClockDrift = Options.ClockDrift,
        SnapshotEveryEntries = Options.SnapshotEveryEntries,
        KeepEntries = Options.KeepEntries,
        KeepMemoryBytes = Options.KeepMemoryBytes,
        Log = Options.Log,
        MaxAppendBytes = Options.MaxAppendBytes,
        SnapshotChunkBytes = Options.SnapshotChunkBytes,
    };

    public void CouldNotStart(SimulatedMember member, Exception failure)
    {
        var isExplained = IsExplained(member, failure);
        member.EndedByItself(goodbye: false, $"could not start: {failure.Message}");
        if (!isExplained)
            Violate($"member {member.Id} could not start: {failure}");
        else
            Ended?.Invoke(member, failure);
    }

    public void LoopEnded(SimulatedMember member, Exception? failure)
    {
        var isExplained = failure is null || IsExplained(member, failure);
        member.EndedByItself(goodbye: failure is null, failure is null ? "stopped in order" : $"stopped by itself: {failure.Message}");
        if (!isExplained)
            Violate($"member {member.Id} stopped by itself: {failure}");
        else
            Ended?.Invoke(member, failure);
    }

    /// <summary>What the next start of a member supports; null: what its last one did.</summary>
    public Func<MemberId, FeatureRanges>? BuildOf { get; set; }

    /// <summary>Whether a member's build may be one that does not support what is finalised.</summary>
    public Func<SimulatedMember, bool> MayRefuseLevel { get; set; } = static _ => false;

    // Whoever stops for a damage that was never done is as wrong as one that goes on with one that was.
    private bool IsExplained(SimulatedMember member, Exception failure) => failure switch
    {
        FeatureLevelUnsupportedException => MayRefuseLevel(member),
        DirectoryRolledBackException => member.Damage == DiskDamage.OldCopy || member.IsOldCopy,
        // Or a read failed, and so did the second try: two plans struck the same page (seed 373 of 60 s).
        LogCorruptException => member.Damage == DiskDamage.Rot
            || (member.Injected is not null && failure.Message.Contains("the disk answered", StringComparison.Ordinal)),
        _ => failure is IOException && member.Injected is not null,
    };
}

/// <summary>How a simulated world is laid out.</summary>
internal sealed record SimulatedWorldOptions
{
    public required ulong Seed { get; init; }

    public int Members { get; init; } = 3;

    public int Observers { get; init; }

    /// <summary>How many of the members form the cluster; the others join later.</summary>
    public int Founders { get; init; } = int.MaxValue;

    public bool SameMachine { get; init; } = true;

    /// <summary>See <see cref="ZnodeOptions.ExpireOnRefusedConnection"/>.</summary>
    public bool ExpireOnRefusedConnection { get; init; }

    /// <summary>What cuts machines off may refuse connections in their name, though they live.</summary>
    public bool RefusesOnTheWay { get; init; }

    public TimeSpan TickInterval { get; init; } = TimeSpan.FromMilliseconds(5);

    public int HeartbeatTicks { get; init; } = 6;

    public int ElectionTicks { get; init; } = 40;

    public TimeSpan VoterPromise { get; init; }

    /// <summary>What the members are told; their machines' clocks keep to it.</summary>
    public double ClockDrift { get; init; } = 0.01;

    public long SnapshotEveryEntries { get; init; } = 200_000;

    public long KeepEntries { get; init; } = 20_000;

    /// <summary>What is committed and older than this is read from the disk for whoever lacks it.</summary>
    public long KeepMemoryBytes { get; init; } = 16L << 20;

    public SegmentedLogOptions Log { get; init; } = new();

    public int MaxAppendBytes { get; init; } = 1 << 20;

    public int SnapshotChunkBytes { get; init; } = 1 << 20;

    public InboxLimits Inbox { get; init; } = InboxLimits.Default;

    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(3);
}
