namespace RaftKit.Recipes.Tests.Fakes;

/// <summary>Time in which every timer is due at once: waiting costs a turn of the scheduler and nothing else.</summary>
internal sealed class InstantTime : TimeProvider
{
    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        if (dueTime != Timeout.InfiniteTimeSpan)
            ThreadPool.UnsafeQueueUserWorkItem(_ => callback(state), null);
        return new Due();
    }

    private sealed class Due : ITimer
    {
        public bool Change(TimeSpan dueTime, TimeSpan period) => true;

        public void Dispose()
        {
        }

        public ValueTask DisposeAsync() => default;
    }
}
