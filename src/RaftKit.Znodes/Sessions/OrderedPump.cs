namespace RaftKit.Znodes.Sessions;

/// <summary>Hands items over in order, one at a time, where it is told to; all that wait at once. Any thread may add.</summary>
internal sealed class OrderedPump<T>
{
    private readonly Lock _lock = new();
    private readonly Action<Action> _schedule;
    private readonly Action<T> _handle;
    private readonly Action _drain;
    private readonly int _capacity;
    private Queue<T> _waiting = new();
    private Queue<T> _draining = new();
    private bool _running;
    private int _count;

    /// <param name="schedule">Runs what hands items over, then or later.</param>
    /// <param name="capacity">How many may wait.</param>
    /// <param name="handle">Takes an item; throws nothing.</param>
    public OrderedPump(Action<Action> schedule, int capacity, Action<T> handle)
    {
        _schedule = schedule;
        _capacity = capacity;
        _handle = handle;
        _drain = Drain;
    }

    /// <returns>False if too many wait: the item was not taken.</returns>
    public bool TryAdd(T item)
    {
        lock (_lock)
        {
            if (Volatile.Read(ref _count) >= _capacity)
                return false;
            Interlocked.Increment(ref _count);
            _waiting.Enqueue(item);
            if (_running)
                return true;
            _running = true;
        }
        _schedule(_drain);
        return true;
    }

    private void Drain()
    {
        while (true)
        {
            lock (_lock)
            {
                if (_waiting.Count == 0)
                {
                    _running = false;
                    return;
                }
                (_waiting, _draining) = (_draining, _waiting);
            }
            while (_draining.TryDequeue(out var item))
            {
                Interlocked.Decrement(ref _count);
                _handle(item);
            }
        }
    }
}
