namespace RaftKit.Znodes.Sessions;

/// <summary>Production's scheduler: the thread pool.</summary>
internal sealed class ThreadPoolClientScheduler(Func<TimeSpan> monotonic) : IClientScheduler
{
    public TaskCreationOptions Completion => TaskCreationOptions.RunContinuationsAsynchronously;

    public TimeSpan Monotonic => monotonic();

    public void Post(Action action) => ThreadPool.UnsafeQueueUserWorkItem(static run => run(), action, preferLocal: false);

    public void Relay(Action action) => action();
}
