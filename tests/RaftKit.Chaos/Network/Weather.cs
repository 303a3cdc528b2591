namespace RaftKit.Chaos.Network;

/// <summary>What a proxy does to what passes through it. Any thread.</summary>
internal sealed class Weather(TimeSpan least, TimeSpan most, int seed)
{
    private readonly Lock _lock = new();
    private readonly Random _random = new(seed);
    private volatile TaskCompletionSource _flows = Flowing();

    /// <summary>Over when bytes may pass.</summary>
    public Task Flows => _flows.Task;

    /// <summary>How long the next bytes take. Those behind them never overtake them: it is a stream.</summary>
    public TimeSpan Draw()
    {
        lock (_lock)
            return least + ((most - least) * _random.NextDouble());
    }

    /// <summary>How many of some bytes still pass before a connection is reset: in the middle of a frame, as often as not.</summary>
    public int Cut(int bytes)
    {
        lock (_lock)
            return _random.Next(bytes);
    }

    /// <summary>Nothing passes any more, though every connection stays up and takes what it is given.</summary>
    public void Stall() => _flows = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public void Flow() => _flows.TrySetResult();

    private static TaskCompletionSource Flowing()
    {
        var flows = new TaskCompletionSource();
        flows.SetResult();
        return flows;
    }
}
