using System.Globalization;
using PartitionLeaders.Reports;
using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>
/// Opens a session, leaves ephemeral znodes, watches those of the next broker's guest, closes the session, and begins anew. Its calls go
/// into the history; what it was told is held together at the end of each session that lasted until then. Few share a subtree: when an
/// ephemeral went whose session just ended is not known, and a checker has to try all moments of all of them.
/// </summary>
internal sealed class Guest
{
    private const int Calls = 12;
    private const int Names = 6;
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(30);

    private readonly IZnodeSessions _sessions;
    private readonly ReportSink _reports;
    private readonly WriteGate _gate;
    private readonly RecordedCalls _calls;
    private readonly Random _random;
    private readonly string _own;
    private readonly string _watched;
    private bool _rootsAreThere;
    private int _lives;

    private Guest(IZnodeSessions sessions, BrokerSettings settings, ReportSink reports, WriteGate gate)
    {
        (_sessions, _reports, _gate) = (sessions, reports, gate);
        _calls = new RecordedCalls(reports, HistoryClient.ClientsPerBroker);
        _random = new Random(settings.Id);
        string RootOf(int broker) => string.Create(CultureInfo.InvariantCulture, $"/history-{settings.HistoryRun}-guest-{broker}");
        (_own, _watched) = (RootOf(settings.Id), RootOf(settings.Cluster.Next(settings.Id)));
    }

    public static Func<CancellationToken, Task> Of(IZnodeSessions sessions, BrokerSettings settings, ReportSink reports, WriteGate gate) =>
        new Guest(sessions, settings, reports, gate).RunAsync;

    private async Task RunAsync(CancellationToken stop)
    {
        for (_lives = 0; _gate.TryEnter(); _lives++)
        {
            try
            {
                await LiveAsync(stop);
            }
            finally
            {
                _gate.Leave();
            }

            await Task.Delay(Pace, stop);
        }
    }

    private async Task LiveAsync(CancellationToken stop)
    {
        await using var session = _sessions.Open();
        using var end = CancellationTokenSource.CreateLinkedTokenSource(stop, session.Expired);
        try
        {
            await session.OpenedAsync(end.Token);
            await LiveAsync(session, end.Token);
        }
        catch (Exception e) when (e is SessionExpiredException || (e is OperationCanceledException && !stop.IsCancellationRequested))
        {
            // The session ended: whoever was in it is told nothing more.
        }
    }

    private async Task LiveAsync(IZnodeSession session, CancellationToken end)
    {
        _rootsAreThere = _rootsAreThere || (await IsThereAsync(session, _own, end) && await IsThereAsync(session, _watched, end));
        var first = await ReadAsync(session, null, end);
        if (first.Zxid is { } from)
        {
            var books = new WatchBooks(_watched, from, first.Children!);
            await using var streaming = new Streaming(session, _watched, from, books, end);
            for (var call = 0; call < Calls; call++)
            {
                await CallAsync(session, books, end);
                await Task.Delay(Pace, end);
            }

            if (await MarkAsync(session, streaming, end) is { } until)
                _reports.Send(new BrokerReport.WatchesChecked(books.Check(until)));
        }

        await _calls.CallAsync(session, new() { Op = "closesession", Owner = session.Id }, end);
    }

    private async Task<bool> IsThereAsync(IZnodeSession session, string root, CancellationToken end)
    {
        var created = await _calls.CallAsync(session, new() { Op = "create", Path = root, In = "", Seq = false, Owner = 0 }, end);
        return created.Status == "ok" || created.Err is not null;
    }

    private async Task CallAsync(IZnodeSession session, WatchBooks books, CancellationToken end)
    {
        var path = $"{_own}/e{_random.Next(Names)}";
        switch (_random.Next(10))
        {
            case < 4:
                await _calls.CallAsync(session, Ephemeral(session, path), end);
                break;
            case < 5:
                // As a multi, which tells its zxid: ephemerals that go at an unknown moment, by this or by the end of a session, make a
                // history hard to check.
                await _calls.CallAsync(
                    session, new() { Op = "multi", Ops = [new() { Op = "delete", Path = path, ExpectedVersion = -1 }] }, end);
                break;
            case < 6:
                await _calls.CallAsync(session, new() { Op = "get", Path = path }, end);
                break;
            default:
                var watch = books.NewWatch();
                var read = await ReadAsync(session, watch.Tell, end);
                if (read.Zxid is not { } zxid)
                    break;
                books.Read(zxid, read.Children!);
                books.Set(watch, zxid);
                break;
        }
    }

    /// <summary>
    /// Makes a change of its own and waits until both the stream and a watch have told of it: both tell in order, so all before it was
    /// told.
    /// </summary>
    /// <returns>The change's zxid; null if it was not made, or not everything could be followed.</returns>
    private async Task<long?> MarkAsync(IZnodeSession session, Streaming streaming, CancellationToken end)
    {
        var path = string.Create(CultureInfo.InvariantCulture, $"{_watched}/m{Environment.ProcessId}.{_lives}");
        var told = new TaskCompletionSource<WatchEvent>(TaskCreationOptions.RunContinuationsAsynchronously);
        await session.ExistsAsync(path, heard => told.TrySetResult(heard), end);
        var mark = await _calls.CallAsync(session, Ephemeral(session, path), end);
        if (mark.Status != "ok")
            return null;
        var watched = await told.Task.WaitAsync(end);
        if (!await streaming.ReachedAsync(mark.Zxid!.Value, end))
            return null;
        if (watched.Zxid != mark.Zxid)
            _reports.Send(new BrokerReport.WatchesChecked($"a watch was told {watched}, and its change has zxid {mark.Zxid:x}"));
        return mark.Zxid;
    }

    private Task<HistoryOperation> ReadAsync(IZnodeSession session, Action<WatchEvent>? watch, CancellationToken end) =>
        _calls.CallAsync(session, new() { Op = "children", Path = _watched }, end, watch);

    private HistoryOperation Ephemeral(IZnodeSession session, string path) =>
        new() { Op = "create", Path = path, In = $"{Environment.ProcessId}.{_lives}", Seq = false, Owner = session.Id };

    /// <summary>Follows every change below a znode.</summary>
    private sealed class Streaming : IAsyncDisposable
    {
        private readonly CancellationTokenSource _end;
        private readonly Task _following;
        private readonly Lock _lock = new();
        private (long Zxid, TaskCompletionSource<bool> Reached)? _waiting;
        private long _at;
        private bool _over;

        public Streaming(IZnodeSession session, string root, long from, WatchBooks books, CancellationToken end)
        {
            _end = CancellationTokenSource.CreateLinkedTokenSource(end);
            _following = FollowAsync(session, root, from, books, _end.Token);
        }

        public async ValueTask DisposeAsync()
        {
            await _end.CancelAsync();
            await _following;
            _end.Dispose();
        }

        /// <summary>Waits for a change.</summary>
        /// <returns>Whether it was told; else the stream ended, or could not go on behind a snapshot.</returns>
        public Task<bool> ReachedAsync(long zxid, CancellationToken end)
        {
            lock (_lock)
            {
                if (_at >= zxid || _over)
                    return Task.FromResult(_at >= zxid);
                _waiting = (zxid, new(TaskCreationOptions.RunContinuationsAsynchronously));
                return _waiting.Value.Reached.Task.WaitAsync(end);
            }
        }

        private async Task FollowAsync(IZnodeSession session, string root, long from, WatchBooks books, CancellationToken over)
        {
            try
            {
                await foreach (var change in session.EventsAsync(root, recursive: true, from, over))
                {
                    books.Streamed(change);
                    Told(change.Zxid, isOver: false);
                }
            }
            catch (Exception e) when (e is OperationCanceledException or SessionExpiredException or WatchCompactedException)
            {
                // It was long enough, or cannot go on: what comes after is not checked.
            }

            Told(0, isOver: true);
        }

        private void Told(long zxid, bool isOver)
        {
            lock (_lock)
            {
                (_at, _over) = (Math.Max(_at, zxid), isOver);
                if (_waiting is { } waiting && (_at >= waiting.Zxid || _over))
                    waiting.Reached.TrySetResult(_at >= waiting.Zxid);
            }
        }
    }
}
