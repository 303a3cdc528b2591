namespace RaftKit.Node.Transport;

/// <summary>Every task that the transport started: none is forgotten, and a stop waits for all.</summary>
internal sealed class RunningTasks(Action<Exception> onFault)
{
    private readonly Lock _gate = new();
    private readonly HashSet<Task> _running = [];

    /// <summary>Starts work on this thread, and keeps it until it ends. What it throws is a fault of ours.</summary>
    public void Run(Func<Task> work)
    {
        var task = Guarded(work);
        if (task.IsCompleted)
            return;
        lock (_gate)
            _running.Add(task);
        task.ContinueWith(Forget, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
    }

    /// <summary>Ends when nothing runs, what was started meanwhile included.</summary>
    public async Task WhenNoneRuns()
    {
        while (true)
        {
            Task[] running;
            lock (_gate)
                running = [.. _running];
            if (running.Length == 0)
                return;
            await Task.WhenAll(running).ConfigureAwait(false);
        }
    }

    private void Forget(Task task)
    {
        lock (_gate)
            _running.Remove(task);
    }

    private async Task Guarded(Func<Task> work)
    {
        try
        {
            await work().ConfigureAwait(false);
        }
        catch (Exception fault)
        {
            onFault(fault);
        }
    }
}
