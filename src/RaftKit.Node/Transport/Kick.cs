namespace RaftKit.Node.Transport;

/// <summary>Cuts a wait short. A kick between two waits is not lost.</summary>
internal sealed class Kick(TimeProvider time)
{
    private readonly Lock _gate = new();
    private TaskCompletionSource _next = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public void Now()
    {
        lock (_gate)
            _next.TrySetResult();
    }

    /// <summary>Waits for a kick, at most for <paramref name="atMost"/>; without end when that is infinite.</summary>
    public async Task WaitAsync(TimeSpan atMost, CancellationToken cancellationToken)
    {
        Task kicked;
        lock (_gate)
            kicked = _next.Task;
        if (!kicked.IsCompleted)
        {
            // Not WaitAsync: its time-outs are exceptions, and here they are the rule.
            using var done = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            await Task.WhenAny(kicked, Task.Delay(atMost, time, done.Token)).ConfigureAwait(false);
            await done.CancelAsync().ConfigureAwait(false);
        }
        lock (_gate)
        {
            if (_next.Task.IsCompleted)
                _next = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        }
        cancellationToken.ThrowIfCancellationRequested();
    }
}
