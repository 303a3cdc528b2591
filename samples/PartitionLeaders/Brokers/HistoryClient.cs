using System.Diagnostics;
using System.Globalization;
using System.Text;
using PartitionLeaders.Reports;
using RaftKit.Node.Proposals;
using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>
/// Calls the quorum with a session of its own, one operation at a time, on keys that it shares with the clients of all brokers, and reports each call and
/// what it returned. Reads are linearizable. The paths are spread over several subtrees, so that a checker can look at each alone.
/// </summary>
internal sealed class HistoryClient
{
    private const int ClientsPerBroker = 2;
    private const int Subtrees = 4;
    private const int KeysPerSubtree = 3;
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(10);

    private readonly IZnodeSessions _sessions;
    private readonly int _client;
    private readonly string _run;
    private readonly ReportSink _reports;
    private readonly WriteGate _gate;
    private readonly Random _random;
    private readonly Dictionary<string, int> _versions = [];
    private IZnodeSession? _session;
    private int _values;

    private HistoryClient(IZnodeSessions sessions, BrokerSettings settings, int number, ReportSink reports, WriteGate gate)
    {
        (_sessions, _client, _reports, _gate) = (sessions, number, reports, gate);
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
                var operation = calls < Subtrees ? new HistoryOperation { Op = "create", Path = Root(calls), In = "", Seq = false, Owner = 0 } : Draw();
                if (!_gate.TryEnter())
                    return;
                try
                {
                    await CallAsync(operation, stop);
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

    private async Task CallAsync(HistoryOperation operation, CancellationToken stop)
    {
        var session = await SessionAsync(stop);
        operation = operation with { Session = session.Id, Call = Now() };
        _reports.Send(new BrokerReport.HistoryCall(_client, operation));
        try
        {
            operation = await ExecuteAsync(session, operation, stop);
        }
        catch (ZnodeException refused)
        {
            operation = operation with { Status = "fail", Err = Name(refused.Error) };
        }
        catch (NotAppliedException)
        {
            operation = operation with { Status = "fail" };
        }
        catch (Exception e) when (e is OutcomeUnknownException or SessionExpiredException or OperationCanceledException)
        {
            operation = operation with { Status = "info" };
        }

        _reports.Send(new BrokerReport.HistoryReturn(_client, operation with { Ret = Now() }));
    }

    private async Task<HistoryOperation> ExecuteAsync(IZnodeSession session, HistoryOperation operation, CancellationToken stop)
    {
        var path = operation.Path ?? "";
        switch (operation.Op)
        {
            case "create":
                var created = await session.CreateAsync(path, Bytes(operation.In!), cancellationToken: stop);
                _versions[path] = 0;
                return operation with { Status = "ok", Out = created.Path, Zxid = created.Stat.CreatedZxid };
            case "set":
                var set = await session.SetAsync(path, Bytes(operation.In!), operation.ExpectedVersion!.Value, stop);
                _versions[path] = set.Version;
                return operation with { Status = "ok", Version = set.Version, Zxid = set.ModifiedZxid };
            case "delete":
                await session.DeleteAsync(path, operation.ExpectedVersion!.Value, stop);
                return operation with { Status = "ok" };
            case "multi":
                return Completed(operation, await session.MultiAsync([.. operation.Ops!.Select(ToOperation)], stop));
            case "get":
                await session.SyncAsync(stop);
                if (await session.GetAsync(path, cancellationToken: stop) is not { } znode)
                    return operation with { Status = "fail", Err = Name(ZnodeError.NoNode) };
                _versions[path] = znode.Stat.Version;
                return operation with
                {
                    Status = "ok", Out = Encoding.UTF8.GetString(znode.Data.Span), Version = znode.Stat.Version, Zxid = znode.Zxid,
                };
            case "exists":
                await session.SyncAsync(stop);
                return operation with { Status = "ok", Exists = await session.ExistsAsync(path, cancellationToken: stop) is not null };
            case "children":
                await session.SyncAsync(stop);
                return await session.GetChildrenAsync(path, cancellationToken: stop) is { } children
                    ? operation with { Status = "ok", Children = children.Names, Zxid = children.Zxid }
                    : operation with { Status = "fail", Err = Name(ZnodeError.NoNode) };
            default:
                throw new InvalidOperationException($"There is no operation {operation.Op}.");
        }
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

    private static HistoryOperation Completed(HistoryOperation operation, MultiResult result)
    {
        var parts = operation.Ops!.Zip(result.Results, (part, outcome) => part with
        {
            Version = outcome.Error == ZnodeError.None && part.Op == "set" ? outcome.Stat.Version : null,
            Err = outcome.Error == ZnodeError.None ? null : Name(outcome.Error),
        }).ToArray();
        if (result.Succeeded)
            return operation with { Status = "ok", Ops = parts, Zxid = result.Zxid };
        var reason = result.Results.First(r => r.Error is not (ZnodeError.None or ZnodeError.RuntimeInconsistency)).Error;
        return operation with { Status = "fail", Ops = parts, Err = Name(reason) };
    }

    private static ZnodeOperation ToOperation(HistoryOperationPart part) => part.Op switch
    {
        "check" => new ZnodeOperation.Check(part.Path, part.ExpectedVersion!.Value),
        _ => new ZnodeOperation.Set(part.Path, Bytes(part.In!), part.ExpectedVersion!.Value),
    };

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

    private string Root(int subtree) => $"/history-{_run}-{subtree}";

    private string Key(int subtree) => $"{Root(subtree)}/k{_random.Next(KeysPerSubtree)}";

    // Unique in a run, so that a read names the write that it saw.
    private string Value() => string.Create(CultureInfo.InvariantCulture, $"{Environment.ProcessId}.{_client}.{++_values}");

    private int Expected(string path) => _random.Next(2) == 0 ? -1 : _versions.GetValueOrDefault(path);

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    private static long Now() => (long)((Int128)Stopwatch.GetTimestamp() * 1_000_000_000 / Stopwatch.Frequency);

    private static string Name(ZnodeError error) => error switch
    {
        ZnodeError.NodeExists => "NODEEXISTS",
        ZnodeError.NoNode => "NONODE",
        ZnodeError.BadVersion => "BADVERSION",
        ZnodeError.NotEmpty => "NOTEMPTY",
        ZnodeError.NoChildrenForEphemerals => "NOCHILDREN_EPH",
        _ => error.ToString().ToUpperInvariant(),
    };
}
