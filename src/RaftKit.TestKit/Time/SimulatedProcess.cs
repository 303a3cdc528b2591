namespace RaftKit.TestKit;

/// <summary>
/// One run of one member's process: what it scheduled dies with it, and waits while it is paused (SIGSTOP). Client code of the process runs
/// on its <see cref="SimulatedSynchronizationContext"/>, so that its awaits go on as events.
/// </summary>
internal sealed class SimulatedProcess
{
    private readonly SimulatedScheduler _scheduler;
    private readonly List<Action> _waiting = [];

    public SimulatedProcess(SimulatedScheduler scheduler, int number, TimeSpan wallOffset)
    {
        _scheduler = scheduler;
        Number = number;
        Context = new SimulatedSynchronizationContext(this);
        Time = new SimulatedTimeProvider(this, scheduler, wallOffset);
    }

    /// <summary>Unique in the simulation: serves as the pid.</summary>
    public int Number { get; }

    public bool IsAlive { get; private set; } = true;

    public bool IsPaused { get; private set; }

    /// <summary>
    /// A quorum was forced without it, and it goes on beside that one: what its clients are told is no part of the history that goes on.
    /// </summary>
    public bool IsAside { get; set; }

    /// <summary>Of an observer, which may be heard by the one quorum while it shows what the other one has.</summary>
    public bool IsObserver { get; init; }

    public SimulatedSynchronizationContext Context { get; }

    public SimulatedTimeProvider Time { get; }

    /// <summary>Runs the action in this process after the delay: never if it died, later if it is paused then.</summary>
    public ScheduledEvent After(TimeSpan delay, Action action) => _scheduler.After(delay, this, action);

    public void Pause() => IsPaused = true;

    public void Resume()
    {
        IsPaused = false;
        foreach (var action in _waiting)
            _scheduler.After(TimeSpan.Zero, this, action);
        _waiting.Clear();
    }

    public void Die()
    {
        IsAlive = false;
        _waiting.Clear();
    }

    /// <summary>Its turn has come.</summary>
    public void RunOrWait(Action action)
    {
        if (!IsAlive)
            return;
        if (IsPaused)
            _waiting.Add(action);
        else
            action();
    }
}

/// <summary>Runs what client code awaits as events of its process. Posts keep their order.</summary>
internal sealed class SimulatedSynchronizationContext(SimulatedProcess process) : SynchronizationContext
{
    /// <summary>Hears of an exception that client code let escape.</summary>
    public Action<Exception>? Unhandled { get; set; }

    public override void Post(SendOrPostCallback callback, object? state) => process.After(TimeSpan.Zero, () => Run(callback, state));

    public override void Send(SendOrPostCallback callback, object? state) => Run(callback, state);

    public override SynchronizationContext CreateCopy() => this;

    /// <summary>Runs client code now, on this context.</summary>
    public void Run(Action action) => Run(static run => ((Action)run!)(), action);

    private void Run(SendOrPostCallback callback, object? state)
    {
        var before = Current;
        SetSynchronizationContext(this);
        try
        {
            callback(state);
        }
        catch (Exception failure) when (Unhandled is not null)
        {
            Unhandled(failure);
        }
        finally
        {
            SetSynchronizationContext(before);
        }
    }
}
