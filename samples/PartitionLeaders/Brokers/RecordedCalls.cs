using System.Diagnostics;
using System.Text;
using PartitionLeaders.Reports;
using RaftKit.Node.Proposals;
using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>
/// Calls the quorum for one client and reports each call, before it is made, and what it returned. Reads are linearizable: a sync, then the
/// read.
/// </summary>
internal sealed class RecordedCalls(ReportSink reports, int client)
{
    /// <summary>
    /// Calls, and waits for the result. A call whose outcome is not known, also because the session ended or the wait did, is <c>info</c>.
    /// </summary>
    /// <param name="session">In which session.</param>
    /// <param name="operation">What.</param>
    /// <param name="stop">Ends the wait.</param>
    /// <param name="watch">Set by a read of children.</param>
    /// <returns>The operation with its result.</returns>
    public async Task<HistoryOperation> CallAsync(
        IZnodeSession session, HistoryOperation operation, CancellationToken stop, Action<WatchEvent>? watch = null)
    {
        operation = operation with { Session = session.Id, Call = Now() };
        reports.Send(new BrokerReport.HistoryCall(client, operation));
        try
        {
            operation = await ExecuteAsync(session, operation, watch, stop);
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

        operation = operation with { Ret = Now() };
        reports.Send(new BrokerReport.HistoryReturn(client, operation));
        return operation;
    }

    private static async Task<HistoryOperation> ExecuteAsync(
        IZnodeSession session, HistoryOperation operation, Action<WatchEvent>? watch, CancellationToken stop)
    {
        var path = operation.Path ?? "";
        switch (operation.Op)
        {
            case "create":
                var mode = operation.Owner == 0 ? CreateMode.Persistent : CreateMode.Ephemeral;
                var created = await session.CreateAsync(path, Bytes(operation.In!), mode, stop);
                return operation with { Status = "ok", Out = created.Path, Zxid = created.Stat.CreatedZxid };
            case "set":
                var set = await session.SetAsync(path, Bytes(operation.In!), operation.ExpectedVersion!.Value, stop);
                return operation with { Status = "ok", Version = set.Version, Zxid = set.ModifiedZxid };
            case "delete":
                await session.DeleteAsync(path, operation.ExpectedVersion!.Value, stop);
                return operation with { Status = "ok" };
            case "closesession":
                await session.CloseAsync(stop);
                return operation with { Status = "ok" };
            case "multi":
                return Completed(operation, await session.MultiAsync([.. operation.Ops!.Select(ToOperation)], stop));
            case "get":
                await session.SyncAsync(stop);
                if (await session.GetAsync(path, cancellationToken: stop) is not { } znode)
                    return operation with { Status = "fail", Err = Name(ZnodeError.NoNode) };
                return operation with
                {
                    Status = "ok", Out = Encoding.UTF8.GetString(znode.Data.Span), Version = znode.Stat.Version, Zxid = znode.Zxid,
                };
            case "exists":
                await session.SyncAsync(stop);
                return operation with { Status = "ok", Exists = await session.ExistsAsync(path, cancellationToken: stop) is not null };
            case "children":
                await session.SyncAsync(stop);
                return await session.GetChildrenAsync(path, watch, stop) is { } children
                    ? operation with { Status = "ok", Children = children.Names, Zxid = children.Zxid }
                    : operation with { Status = "fail", Err = Name(ZnodeError.NoNode) };
            default:
                throw new InvalidOperationException($"There is no operation {operation.Op}.");
        }
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
        "delete" => new ZnodeOperation.Delete(part.Path, part.ExpectedVersion!.Value),
        _ => new ZnodeOperation.Set(part.Path, Bytes(part.In!), part.ExpectedVersion!.Value),
    };

    private static byte[] Bytes(string text) => Encoding.UTF8.GetBytes(text);

    public static long Now() => (long)((Int128)Stopwatch.GetTimestamp() * 1_000_000_000 / Stopwatch.Frequency);

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
