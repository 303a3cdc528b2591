using System.Globalization;
using PartitionLeaders.Reports;
using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>
/// Calls the quorum with a session of its own, one operation at a time, on keys that it shares with the clients of all brokers. Each call
/// is recorded. The paths are spread over several subtrees, so that a checker can look at each alone.
/// </summary>
internal sealed class HistoryClient
{
    public const int ClientsPerBroker = 2;
    private const int Subtrees = 4;
    private const int KeysPerSubtree = 3;
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(10);

    private readonly IZnodeSessions _sessions;
    private readonly int _client;
    private readonly string _run;
    private readonly RecordedCalls _calls;
    private readonly WriteGate _gate;
    private readonly Random _random;
    private readonly Dictionary<string, int> _versions = [];
    private IZnodeSession? _session;
    private int _values;

    private HistoryClient(IZnodeSessions sessions, BrokerSettings settings, int number, ReportSink reports, WriteGate gate)
    {
        (_sessions, _client, _gate) = (sessions, number, gate);
        _calls = new RecordedCalls(reports, number);
        _run = settings.HistoryRun!;
        _random = new Random(settings.Id * ClientsPerBroker + number);
    }

    /// <summary>The clients of one broker.</summary>
    public static IEnumerable<Func<CancellationToken, Task>> Several(
        IZnodeSessions sessions, BrokerSettings settings, ReportSink reports, WriteGate gate) =>
        Enumerable.Range(0, ClientsPerBroker)
            .Select(number => (Func<CancellationToken, Task>)new HistoryClient(sessions, settings, number, reports, gate).RunAsync);

    private async Task RunAsync(CancellationToken stop)
    {
        try
        {
            for (var calls = 0; ; calls++)
            {
                // The subtrees' roots come first, as calls like any other: the history begins with nothing.
                var operation = calls < Subtrees
                    ? new HistoryOperation { Op = "create", Path = Root(calls), In = "", Seq = false, Owner = 0 } : Draw();
                if (!_gate.TryEnter())
                    return;
                try
                {
                    Remember(await _calls.CallAsync(await SessionAsync(stop), operation, stop));
                }
                finally
                {
                    _gate.Leave();
                }

                await Task.Delay(Pace, stop);
            }
        }
        finally
        {
            if (_session is { } session)
                await session.DisposeAsync();
        }
    }

    // To expect the right version next time, or one that was right once.
    private void Remember(HistoryOperation done)
    {
        if (done is { Status: "ok", Path: { } path, Version: { } version })
            _versions[path] = version;
        else if (done is { Status: "ok", Op: "create", Path: { } created })
            _versions[created] = 0;
    }

    private HistoryOperation Draw()
    {
        var subtree = _random.Next(Subtrees);
        var path = Key(subtree);
        return _random.Next(100) switch
        {
            < 35 => new() { Op = "get", Path = path },
            < 60 => new() { Op = "set", Path = path, In = Value(), ExpectedVersion = Expected(path) },
            < 78 => new() { Op = "create", Path = path, In = Value(), Seq = false, Owner = 0 },
            < 84 => new() { Op = "delete", Path = path, ExpectedVersion = Expected(path) },
            < 90 => new() { Op = "exists", Path = path },
            < 95 => new() { Op = "children", Path = Root(subtree) },
            _ => DrawMulti(subtree),
        };
    }

    private HistoryOperation DrawMulti(int subtree)
    {
        var (one, other) = (Key(subtree), Key(subtree));
        return new()
        {
            Op = "multi",
            Ops =
            [
                new() { Op = "check", Path = one, ExpectedVersion = Expected(one) },
                new() { Op = "set", Path = one, In = Value(), ExpectedVersion = -1 },
                new() { Op = "set", Path = other, In = Value(), ExpectedVersion = -1 },
            ],
        };
    }

    private async Task<IZnodeSession> SessionAsync(CancellationToken stop)
    {
        while (true)
        {
            if (_session is { } current && !current.Expired.IsCancellationRequested)
                return current;
            if (_session is { } ended)
                await ended.DisposeAsync();
            _session = _sessions.Open();
            using var end = CancellationTokenSource.CreateLinkedTokenSource(stop, _session.Expired);
            try
            {
                await _session.OpenedAsync(end.Token);
            }
            catch (Exception e) when (!stop.IsCancellationRequested && e is OperationCanceledException or SessionExpiredException)
            {
                // It ended before it had begun: the next one.
            }
        }
    }

    /// <summary>One of the subtrees of a run.</summary>
    public static string Root(string run, Random random) => Root(run, random.Next(Subtrees));

    /// <summary>One of a subtree's keys.</summary>
    public static string Key(string root, Random random) => $"{root}/k{random.Next(KeysPerSubtree)}";

    private static string Root(string run, int subtree) => $"/history-{run}-{subtree}";

    private string Root(int subtree) => Root(_run, subtree);

    private string Key(int subtree) => Key(Root(subtree), _random);

    // Unique in a run, so that a read names the write that it saw.
    private string Value() => string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId}.{_client}.{++_values}");

    private int Expected(string path) => _random.Next(2) == 0 ? -1 : _versions.GetValueOrDefault(path);
}
