namespace RaftKit.TestKit;

/// <summary>
/// The one queue of everything that is yet to happen, ordered by time and then by the order in which it was scheduled: nothing else decides
/// what runs next, so the same seed runs the same way in every process.
/// </summary>
internal sealed class SimulatedScheduler
{
    private readonly PriorityQueue<ScheduledEvent, (long Time, long Sequence)> _queue = new();
    private long _sequence;

    /// <summary>The process whose event this is; null if it is nobody's.</summary>
    public SimulatedProcess? Current { get; private set; }

    /// <summary>Since the start of the simulation.</summary>
    public TimeSpan Now { get; private set; }

    /// <summary>How many events ran.</summary>
    public long Delivered { get; private set; }

    public ScheduledEvent After(TimeSpan delay, Action action) => At(Now + (delay < TimeSpan.Zero ? TimeSpan.Zero : delay), action);

    public ScheduledEvent At(TimeSpan time, Action action) => Enqueue(new ScheduledEvent(time < Now ? Now : time, action, null));

    /// <summary>Runs the action in the process after the delay.</summary>
    public ScheduledEvent After(TimeSpan delay, SimulatedProcess process, Action action) =>
        Enqueue(new ScheduledEvent(delay < TimeSpan.Zero ? Now : Now + delay, action, process));

    /// <summary>Runs the next event if it is due by <paramref name="until"/>; otherwise moves the clock there.</summary>
    public bool RunNext(TimeSpan until)
    {
        while (_queue.TryPeek(out var next, out _) && next.Time <= until)
        {
            _queue.Dequeue();
            if (next.Action is not { } action)
                continue;
            Now = next.Time;
            next.Cancel();
            Delivered++;
            Current = next.Process;
            if (next.Process is { } process)
                process.RunOrWait(action);
            else
                action();
            Current = null;
            return true;
        }
        Now = until;
        return false;
    }

    private ScheduledEvent Enqueue(ScheduledEvent scheduled)
    {
        _queue.Enqueue(scheduled, (scheduled.Time.Ticks, _sequence++));
        return scheduled;
    }
}

/// <summary>Something that will happen, unless it is cancelled.</summary>
internal sealed class ScheduledEvent(TimeSpan time, Action action, SimulatedProcess? process)
{
    public TimeSpan Time { get; } = time;

    /// <summary>Where it happens: never if that died, later if it is paused. Null: outside of all.</summary>
    public SimulatedProcess? Process { get; } = process;

    public Action? Action { get; private set; } = action;

    public bool IsPending => Action is not null;

    public void Cancel() => Action = null;
}
