namespace RaftKit.Load.Loads;

/// <summary>Threads that want a processor each all the time: what a member shares its machine with at its worst.</summary>
internal sealed class BusyNeighbours : IDisposable
{
    private readonly Thread[] _threads;
    private volatile bool _ended;

    public BusyNeighbours(int count)
    {
        _threads = [.. Enumerable.Range(1, count).Select(n => new Thread(Spin) { IsBackground = true, Name = $"neighbour {n}" })];
        foreach (var thread in _threads)
            thread.Start();
    }

    public void Dispose()
    {
        _ended = true;
        foreach (var thread in _threads)
            thread.Join();
    }

    private void Spin()
    {
        while (!_ended)
            Thread.SpinWait(1_000);
    }
}
