namespace RaftKit.Node.Transport;

/// <summary>A token that is cancelled by time, by a stop, or by hand.</summary>
internal sealed class TimeLimit : IDisposable
{
    private readonly CancellationTokenSource _time;
    private readonly CancellationTokenSource _linked;

    public TimeLimit(TimeSpan timeout, TimeProvider time, CancellationToken stop)
    {
        _time = new CancellationTokenSource(timeout, time);
        _linked = CancellationTokenSource.CreateLinkedTokenSource(_time.Token, stop);
    }

    public CancellationToken Token => _linked.Token;

    public void Cancel()
    {
        try
        {
            _linked.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // What it limited has ended already.
        }
    }

    public void Dispose()
    {
        _linked.Dispose();
        _time.Dispose();
    }
}
