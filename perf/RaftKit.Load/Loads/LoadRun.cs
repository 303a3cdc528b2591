using System.Diagnostics;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Znodes;

namespace RaftKit.Load.Loads;

/// <summary>
/// Issues one load from inside a member: as many loops as operations are to be outstanding, each starting its next operation when the last
/// one ended. Warms up, then counts for a window.
/// </summary>
internal sealed class LoadRun(IZnodeSessions sessions, NodeCounters counters, MemberOrder.Run order)
{
    private const string Root = "/load";
    private const int WarmUpOutstanding = 128;
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(4);
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(500);

    private readonly LatencyHistogram _latencies = new();
    private readonly byte[] _data = new byte[order.Size];
    private volatile bool _counting;
    private volatile bool _ended;

    public async Task<LoadFigures> RunAsync(Action windowOpened)
    {
        Random.Shared.NextBytes(_data);
        await using var session = sessions.Open();
        await session.OpenedAsync();
        var paths = await CreateAsync(session);

        // Many at first, however few are to be measured: the compiler's tiers go by the number of calls, and would else be in the figures.
        var warming = Start(session, paths, Math.Max(order.Outstanding, WarmUpOutstanding));
        await Task.WhenAny(Task.Delay(WarmUp), Task.WhenAny(warming));
        _ended = true;
        await Task.WhenAll(warming);
        _ended = false;

        var loops = Start(session, paths, order.Outstanding);
        await Task.WhenAny(Task.Delay(Settle), Task.WhenAny(loops));
        windowOpened();
        var (allocated, fsyncs, collections) = (GC.GetTotalAllocatedBytes(), counters.Fsyncs, GC.CollectionCount(2));
        var began = Stopwatch.GetTimestamp();
        _counting = true;
        await Task.WhenAny(Task.Delay(TimeSpan.FromSeconds(order.Seconds)), Task.WhenAny(loops));
        _counting = false;
        var seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        (allocated, fsyncs, collections) =
            (GC.GetTotalAllocatedBytes() - allocated, counters.Fsyncs - fsyncs, GC.CollectionCount(2) - collections);
        _ended = true;
        await Task.WhenAll(loops);
        return new LoadFigures(
            _latencies.Count, seconds, _latencies.PercentileMs(0.5), _latencies.PercentileMs(0.99), _latencies.PercentileMs(0.999),
            _latencies.MaxMs,
            allocated, fsyncs, collections);
    }

    // View reads never wait: one thread of them is all that a processor can do.
    private Task[] Start(IZnodeSession session, string[] paths, int outstanding) => order.Kind == LoadKind.ViewRead
        ? [Task.Factory.StartNew(() => ReadView(paths[0]), TaskCreationOptions.LongRunning)]
        : [.. paths.Take(outstanding).Select(path => LoopAsync(session, path))];

    private async Task<string[]> CreateAsync(IZnodeSession session)
    {
        await CreateAsync(session, Root);
        string[] paths = [.. Enumerable.Range(0, Math.Max(order.Outstanding, WarmUpOutstanding)).Select(n => $"{Root}/{n}")];
        foreach (var chunk in paths.Chunk(256))
            await Task.WhenAll(chunk.Select(path => CreateAsync(session, path)));
        return paths;
    }

    private async Task CreateAsync(IZnodeSession session, string path)
    {
        try
        {
            await session.CreateAsync(path, _data);
        }
        catch (ZnodeException e) when (e.Error == ZnodeError.NodeExists)
        {
            // By an earlier load on the same members.
        }
    }

    private async Task LoopAsync(IZnodeSession session, string path)
    {
        while (!_ended)
        {
            var began = Stopwatch.GetTimestamp();
            switch (order.Kind)
            {
                case LoadKind.Write:
                    await session.SetAsync(path, _data);
                    break;
                case LoadKind.SessionRead:
                    await session.GetAsync(path);
                    break;
                default:
                    await session.SyncAsync();
                    await session.GetAsync(path);
                    break;
            }

            if (_counting)
                _latencies.Record(Stopwatch.GetTimestamp() - began);
        }
    }

    private void ReadView(string path)
    {
        while (!_ended)
        {
            var began = Stopwatch.GetTimestamp();
            _ = sessions.View.Get(path);
            if (_counting)
                _latencies.Record(Stopwatch.GetTimestamp() - began);
        }
    }
}

/// <summary>Finds out when the quorum takes writes again.</summary>
internal sealed class WriteProbe(IZnodeSessions sessions)
{
    private const string Path = "/probe";
    private readonly IZnodeSession _session = sessions.Open();

    /// <summary>Opens the session and makes the way of a write warm.</summary>
    public async Task PrepareAsync()
    {
        await _session.OpenedAsync();
        try
        {
            await _session.CreateAsync(Path);
        }
        catch (ZnodeException e) when (e.Error == ZnodeError.NodeExists)
        {
            // Another member's probe was first.
        }

        for (var n = 0; n < 100; n++)
            await _session.SetAsync(Path, default);
    }

    /// <summary>Submits a write every millisecond, and says when the first one was acknowledged.</summary>
    public async Task<long> AwaitWriteAsync()
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(1));
        var acknowledged = new TaskCompletionSource<long>();
        do
            _ = WriteAsync(acknowledged);
        while (!acknowledged.Task.IsCompleted && await timer.WaitForNextTickAsync());
        return await acknowledged.Task;
    }

    private async Task WriteAsync(TaskCompletionSource<long> acknowledged)
    {
        try
        {
            await _session.SetAsync(Path, default);
            acknowledged.TrySetResult(Stopwatch.GetTimestamp());
        }
        catch (Exception e) when (e is NotAppliedException or OutcomeUnknownException)
        {
            // The next one.
        }
        catch (SessionExpiredException e)
        {
            acknowledged.TrySetException(e);
        }
    }
}
