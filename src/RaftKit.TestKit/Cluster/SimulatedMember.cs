using Microsoft.Extensions.Logging.Abstractions;
using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Reads;
using RaftKit.Node.Transport;

namespace RaftKit.TestKit;

/// <summary>
/// One member of a simulated cluster: a disk that outlives everything, and, while it is up, a process with the shipped loop in it. Inputs
/// wait in its inbox and are given to the loop in turns, as the loop's thread does in production.
/// </summary>
internal sealed class SimulatedMember(SimulatedWorld world, MemberId id, SimulatedDisk disk, SimulatedRandom random)
{
    private SimulatedRun? _run;
    private int _starts;

    public MemberId Id => id;

    public SimulatedDisk Disk => disk;

    /// <summary>The process that is up; null while it is down.</summary>
    public SimulatedRun? Run => _run;

    public NodeLoop? Loop => _run?.Loop;

    public bool IsUp => _run is not null;

    public bool WasStarted => _starts > 0;

    /// <summary>Where its next start listens.</summary>
    public string Endpoint { get; set; } = $"member-{id}:1";

    /// <summary>Whom it is configured with besides itself, where each was to listen when it was; null: the founders, where they began.</summary>
    public IReadOnlyDictionary<MemberId, string>? Configured { get; private set; }

    /// <summary>Whom it is configured with besides itself; null: the founders.</summary>
    public IReadOnlyList<MemberId>? Seeds
    {
        get;
        set
        {
            field = value;
            Configured = value?.ToDictionary(seed => seed, seed => world[seed].Endpoint);
        }
    }

    /// <summary>With seeds and an empty directory, it asks them to be added, and waits for no operator.</summary>
    public bool AsksToBeAdded { get; set; }

    /// <summary>How much faster (below 1) or slower this member's ticks come.</summary>
    public double TickSkew { get; set; } = 1;

    /// <summary>How fast its machine's clock runs: what leases and bounds of staleness are held against.</summary>
    public double ClockRate { get; set; } = 1;

    /// <summary>What that clock shows. It counts on while its process is stopped, or its machine sleeps.</summary>
    public TimeSpan Clock => TimeSpan.FromHours(1) + (world.Scheduler.Now * ClockRate);

    public double StallChance { get; set; }

    /// <summary>How much longer its disk takes for each piece of work, at most.</summary>
    public TimeSpan Slowness
    {
        get;
        set
        {
            field = value;
            _run?.LogLane.Slowness = value;
        }
    }

    /// <summary>The process is to end, or the power to go, at an I/O that was chosen beforehand.</summary>
    public bool PowerGoesAtStop { get; set; }

    /// <summary>What was injected that explains this process ending by itself; null if nothing was.</summary>
    public string? Injected { get; set; }

    /// <summary>What happened to its disk that it, or others, must notice; until it is replaced.</summary>
    public DiskDamage Damage
    {
        get;
        set
        {
            field = value;
            // What comes after the disk was replaced is another story.
            if (value == DiskDamage.None)
                IsLeftBehind = IsAside = false;
        }
    }

    /// <summary>What the build supports that its next start runs.</summary>
    public FeatureRanges Build { get; set; } = FeatureRanges.Own;

    /// <summary>What the build supports that its last start ran.</summary>
    public FeatureRanges Ran { get; private set; } = FeatureRanges.Own;

    /// <summary>A quorum was forced without it: what its disk holds is of before, until it is emptied.</summary>
    public bool IsLeftBehind
    {
        get => field && Damage == DiskDamage.OldCopy;
        set;
    }

    /// <summary>
    /// It was left behind, and need not be alone in that: what it serves is of another history from then on, until it is emptied.
    /// </summary>
    public bool IsAside
    {
        get => field && IsLeftBehind;
        set
        {
            field = value;
            // To the end of that process: its clients remember what they saw.
            if (value)
                _run?.Process.IsAside = true;
        }
    }

    /// <summary>An observer whose disk is an old copy of itself, or goes on from one; until it is emptied.</summary>
    public bool IsOldCopy { get; set; }

    /// <summary>Its process is stopped for long, and nobody is to end it meanwhile.</summary>
    public bool IsAsleep { get; set; }

    /// <summary>Switched off for good.</summary>
    public bool IsRetired { get; set; }

    /// <summary>A stop in order was asked for.</summary>
    public bool IsStopping { get; set; }

    public void Start()
    {
        if (_run is not null)
            throw new InvalidOperationException($"Member {id} is up already.");
        // First, for what is declared may be refused.
        world.Starting?.Invoke(this);
        Build = world.BuildOf?.Invoke(id) ?? Build;
        Injected = disk.FailsSoon ? "i/o" : null;
        IsStopping = false;
        _starts++;
        Ran = Build;
        _run = new SimulatedRun(world, this, random.Split($"run {_starts}"));
        world.Trace.Event(id, "starts");
        _run.Begin();
    }

    /// <summary>The process ends without warning. What it wrote stays.</summary>
    public void Kill() => End(powerCut: false, "is killed");

    /// <summary>The machine loses its power.</summary>
    public void PowerCut() => End(powerCut: true, "loses power");

    /// <summary>The process was stopped at an I/O of its own.</summary>
    public void StoppedAtIo()
    {
        Count(PowerGoesAtStop ? MenuItem.PowerCutAtIo : MenuItem.KillAtIo);
        if (_run is { HasStarted: false })
            Count(PowerGoesAtStop ? MenuItem.PowerCutInRecovery : MenuItem.KillInRecovery);
        if ((_run?.SnapshotLane.Current ?? _run?.LogLane.Current) is { } job && SnapshotStages.Of(job) is { } stage)
            Count(stage);
        End(PowerGoesAtStop, PowerGoesAtStop ? "loses power at an I/O" : "is killed at an I/O");
        world.StoppedAtIo?.Invoke(this);
    }

    /// <summary>The loop ended by itself.</summary>
    public void EndedByItself(bool goodbye, string how)
    {
        world.Trace.Event(id, how);
        TakeDown(goodbye, silent: false);
        disk.ProcessDied();
    }

    /// <summary>Some effects of a turn were carried out, and the rest never will be.</summary>
    public void CutBetweenEffects()
    {
        Count(MenuItem.KillBetweenEffects);
        End(powerCut: false, "is killed between two effects of a turn");
        world.StoppedAtIo?.Invoke(this);
    }

    private void Count(MenuItem item) => world.Faults.Coverage.Struck(item);

    private void End(bool powerCut, string how)
    {
        if (_run is null && !powerCut)
            return;
        world.Trace.Event(id, how);
        // A power cut of its own machine is silent; processes of one machine see each other's links reset in any case.
        TakeDown(goodbye: false, silent: powerCut && !world.Network.SameMachine);
        if (powerCut)
            disk.PowerCut();
        else
            disk.ProcessDied();
    }

    private void TakeDown(bool goodbye, bool silent)
    {
        var run = _run;
        _run = null;
        if (run is null)
            return;
        world.MemberDown?.Invoke(this, run);
        run.Process.Die();
        world.Network.Detach(run.Transport, goodbye, silent);
    }
}

/// <summary>What happened to a disk at rest.</summary>
internal enum DiskDamage
{
    None,

    /// <summary>It is an old copy of itself, which has forgotten promises that others were told.</summary>
    OldCopy,

    /// <summary>Bits flipped, or a write landed elsewhere or nowhere, among what was durable.</summary>
    Rot,
}

/// <summary>One run of a member's process.</summary>
internal sealed class SimulatedRun : INodeInbox, ILeaseClock
{
    private readonly SimulatedWorld _world;
    private readonly SimulatedMember _member;
    private readonly SimulatedRandom _random;
    private List<NodeInput> _posted = [];
    private List<NodeInput> _taken = [];
    private InboxGauge _gauge;
    private readonly Action _turn;
    private readonly Action _tick;
    private bool _turnScheduled;
    private long _stalls;
    private TimeSpan _tickDue;
    private int _effectsLeft;
    private bool _isCut;

    public SimulatedRun(SimulatedWorld world, SimulatedMember member, SimulatedRandom random)
    {
        _world = world;
        _member = member;
        _random = random;
        (_turn, _tick) = (Turn, Tick);
        _gauge = new InboxGauge(world.Options.Inbox);
        Build = member.Build;
        Process = new SimulatedProcess(
            world.Scheduler, world.NextProcess(), random.Between(TimeSpan.FromSeconds(-2), TimeSpan.FromSeconds(2)))
        {
            IsAside = member.IsAside,
            IsObserver = member.Id.IsObserver,
        };
        Transport = world.Network.Attach(Process, member.Id, member.Endpoint, this);
        LogLane = new SimulatedLane(
            world.Scheduler, Process, member.Disk, random.Split("log lane"), world.Faults, this,
            member.StoppedAtIo) { StallChance = member.StallChance, Slowness = member.Slowness };
        SnapshotLane = new SimulatedLane(
            world.Scheduler, Process, member.Disk, random.Split("snapshot lane"), world.Faults, this, member.StoppedAtIo);
        var application = world.Application(this, member);
        Application = application;
        Loop = new NodeLoop(
            world.NodeOptions(member.Id, random.NextUInt64()) with
            {
                HostProcess = new HostProcess("simulated machine", 1, Process.Number, Process.Number),
                Features = Build,
            },
            new NodeLoopPorts(member.Disk, LogLane, SnapshotLane, Transport, this, NullLogger.Instance) { LeaseClock = this },
            application.Machines,
            application.Participants);
    }

    public SimulatedProcess Process { get; }

    public SimulatedTransport Transport { get; }

    public SimulatedLane LogLane { get; }

    public SimulatedLane SnapshotLane { get; }

    public SimulatedApplication Application { get; }

    public NodeLoop Loop { get; }

    /// <summary>What it supports.</summary>
    public FeatureRanges Build { get; }

    /// <summary>A leader's snapshot is whole, and is put into the place of what is here.</summary>
    public bool IsInstalling { get; set; }

    /// <summary>The snapshot whose last piece came last.</summary>
    public LogIndex LastWhole { get; set; }

    /// <summary>What its directory held was read back.</summary>
    public bool HasStarted { get; private set; }

    private LoopTime Now => new(_world.Scheduler.Now, Process.Time.GetUtcNow().ToUnixTimeMilliseconds());

    TimeSpan ILeaseClock.Now => _member.Clock;

    private TimeSpan TickInterval => _world.Options.TickInterval * _member.TickSkew;

    /// <summary>How often more than at the last call it led with a disk that stood still, and began to hand over.</summary>
    public long NewStalls()
    {
        var news = Loop.Counters.Stalls - _stalls;
        _stalls += news;
        return news;
    }

    public void Begin()
    {
        try
        {
            Loop.Start(Now);
        }
        catch (Exception failure)
        {
            if (_member.Disk.IsOff)
                _member.StoppedAtIo();
            else
                _world.CouldNotStart(_member, failure);
            return;
        }
        if (_member.Disk.IsOff)
        {
            _member.StoppedAtIo();
            return;
        }
        if (Loop.IsStopped)
        {
            _world.CouldNotStart(_member, Loop.Failure!);
            return;
        }
        HasStarted = true;
        _world.MemberUp?.Invoke(_member, this);
        _tickDue = _world.Scheduler.Now + (TickInterval * _random.NextDouble());
        Process.After(_tickDue - _world.Scheduler.Now, _tick);
        if (Loop.NeedsTurn)
            ScheduleTurn();
    }

    /// <summary>
    /// The process is to be killed between two effects: it still carries out so many, sends and disk work alike, and what its turn would do
    /// after them never leaves it.
    /// </summary>
    public void CutAfter(int effects)
    {
        _effectsLeft = effects;
        Transport.Gate = LogLane.Gate = SnapshotLane.Gate = Effect;
    }

    private bool Effect()
    {
        if (_effectsLeft-- > 0)
            return true;
        _isCut = true;
        return false;
    }

    public void Post(NodeInput input)
    {
        if (_isCut)
            return;
        if (!_gauge.TryTake(input))
        {
            _world.Trace.Event(_member.Id, $"has no room for {input.Share}");
            LoopThread.Refuse(input, _gauge.BusyReason);
            return;
        }
        _posted.Add(input is NodeInput.Call call ? new NodeInput.Call(new WatchedCall(call.Target)) : input);
        ScheduleTurn();
    }

    private void ScheduleTurn()
    {
        if (_turnScheduled)
            return;
        _turnScheduled = true;
        Process.After(_random.Between(TimeSpan.Zero, TimeSpan.FromMicroseconds(40)), _turn);
    }

    private void Turn()
    {
        _turnScheduled = false;
        if (_isCut)
            return;
        (_posted, _taken) = (_taken, _posted);
        _gauge.Clear();
        foreach (var input in _taken)
            _world.Trace.Input(_member.Id, input);
        Loop.Turn(_taken, Now);
        if (_member.Disk.IsOff)
        {
            _member.StoppedAtIo();
            return;
        }
        _world.AfterTurn?.Invoke(_member, this, _taken);
        if (Loop.IsStopped && _taken.Any(static input => input is NodeInput.Call { Target: WatchedCall { IsForgotten: true } }))
            _world.Violate($"answers: member {_member.Id} ended, and somebody who had asked it for something is told nothing of that");
        _taken.Clear();
        if (_isCut)
        {
            // Work that the disk has already been given may still be done.
            Process.After(_random.Between(TimeSpan.Zero, TimeSpan.FromMicroseconds(600)), _member.CutBetweenEffects);
            return;
        }
        if (Loop.IsStopped)
            _world.LoopEnded(_member, Loop.Failure);
        else if (Loop.NeedsTurn)
            ScheduleTurn();
    }

    // As the loop's thread: what is a little late is made up for, a pause gives one tick that says how late it is.
    private void Tick()
    {
        var late = _world.Scheduler.Now - _tickDue;
        if (late > 4 * TickInterval)
        {
            Post(new NodeInput.Tick(late));
            _tickDue = _world.Scheduler.Now + TickInterval;
        }
        else
        {
            Post(new NodeInput.Tick(TimeSpan.Zero));
            _tickDue += TickInterval;
        }
        Process.After(_tickDue - _world.Scheduler.Now, _tick);
    }
}

/// <summary>A call of which is known whether its caller will hear of it.</summary>
internal sealed class WatchedCall(ILoopCall call) : ILoopCall
{
    /// <summary>It was neither run nor refused.</summary>
    public bool IsForgotten { get; private set; } = true;

    public bool MayBeRefused => call.MayBeRefused;

    public int Weight => call.Weight;

    public void Run()
    {
        IsForgotten = false;
        call.Run();
    }

    public void Stopped()
    {
        IsForgotten = false;
        call.Stopped();
    }

    public void Refused(string reason)
    {
        IsForgotten = false;
        call.Refused(reason);
    }
}

/// <summary>What lives in a member's process beside the loop.</summary>
internal abstract class SimulatedApplication
{
    public abstract IReadOnlyList<IStateMachine> Machines { get; }

    public abstract IReadOnlyList<ILoopParticipant> Participants { get; }
}
