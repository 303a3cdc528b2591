namespace PartitionLeaders.Brokers;

/// <summary>Lets writes through until it is closed; closing waits for those under way. Any thread.</summary>
internal sealed class WriteGate
{
    private readonly Lock _lock = new();
    private readonly TaskCompletionSource _drained = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _underWay;
    private bool _closed;

    public bool TryEnter()
    {
        lock (_lock)
        {
            if (_closed)
                return false;
            _underWay++;
            return true;
        }
    }

    public void Leave()
    {
        lock (_lock)
        {
            if (--_underWay == 0 && _closed)
                _drained.TrySetResult();
        }
    }

    public Task CloseAsync()
    {
        lock (_lock)
        {
            _closed = true;
            if (_underWay == 0)
                _drained.TrySetResult();
        }

        return _drained.Task;
    }
}
