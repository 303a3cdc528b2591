namespace RaftKit.TestKit;

/// <summary>
/// A process's time: the simulation's, with a wall clock of its own that may be wrong. Its timers are events of the process.
/// </summary>
internal sealed class SimulatedTimeProvider(SimulatedProcess process, SimulatedScheduler scheduler, TimeSpan wallOffset) : TimeProvider
{
    /// <summary>When every simulation begins.</summary>
    public static readonly DateTimeOffset Epoch = new(2030, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>How far the wall clock is off; a test may move it.</summary>
    public TimeSpan WallOffset { get; set; } = wallOffset;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    public TimeSpan Monotonic => scheduler.Now;

    public override long GetTimestamp() => scheduler.Now.Ticks;

    public override DateTimeOffset GetUtcNow() => Epoch + scheduler.Now + WallOffset;

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = new SimulatedTimer(process, callback, state);
        timer.Change(dueTime, period);
        return timer;
    }

    private sealed class SimulatedTimer(SimulatedProcess process, TimerCallback callback, object? state) : ITimer
    {
        private ScheduledEvent? _next;
        private int _change;
        private TimeSpan _period;

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            _next?.Cancel();
            _next = null;
            _change++;
            _period = period;
            if (dueTime != Timeout.InfiniteTimeSpan)
                Arm(dueTime);
            return true;
        }

        public void Dispose() => Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

        public ValueTask DisposeAsync()
        {
            Dispose();
            return ValueTask.CompletedTask;
        }

        private void Arm(TimeSpan after)
        {
            var change = _change;
            _next = process.After(after, () =>
            {
                // A pause may have held this firing back while the timer was changed.
                if (change != _change)
                    return;
                if (_period > TimeSpan.Zero)
                    Arm(_period);
                // Timer callbacks run on a thread-pool thread in production: no context of their own.
                callback(state);
            });
        }
    }
}
