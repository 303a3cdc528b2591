using RaftKit.Node.Proposals;
using RaftKit.Znodes;

namespace RaftKit.TestKit;

/// <summary>
/// The history of what clients did, as they saw it. An operation whose process ended before it returned has an unknown outcome, and is written
/// down as such when the run ends.
/// </summary>
internal sealed class OperationLog(SimulatedScheduler scheduler, SimulatedTrace trace)
{
    private readonly List<HistoryOperation> _ended = [];
    private readonly SortedDictionary<long, HistoryOperation> _open = [];
    private long _last;

    /// <summary>Writes that were acknowledged.</summary>
    public long WritesAcknowledged { get; private set; }

    private long Now => scheduler.Now.Ticks * 100;

    public IReadOnlyList<HistoryOperation> Finish()
    {
        _ended.AddRange(_open.Values.Select(o => o with { Status = HistoryStatus.Info, Return = Now }));
        _open.Clear();
        return _ended;
    }

    /// <summary>Records an operation: as given while it runs, with its result when it returns, as refused or unknown by the exception.</summary>
    public async Task<T> Record<T>(HistoryOperation operation, Func<Task<T>> run, Func<HistoryOperation, T, HistoryOperation> result)
    {
        var number = ++_last;
        operation = operation with { Call = Now };
        _open.Add(number, operation);
        try
        {
            var value = await run();
            End(number, result(operation with { Status = HistoryStatus.Ok }, value));
            if (!operation.IsRead)
                WritesAcknowledged++;
            return value;
        }
        catch (ZnodeException refused)
        {
            End(number, operation with { Status = HistoryStatus.Fail, Error = NameOf(refused.Error) });
            throw;
        }
        catch (NotAppliedException)
        {
            End(number, operation with { Status = HistoryStatus.Fail });
            throw;
        }
        catch (SessionExpiredException)
        {
            // Refused because the session had ended: it changed nothing.
            End(number, operation with { Status = operation.Kind == HistoryKind.CloseSession ? HistoryStatus.Info : HistoryStatus.Fail });
            throw;
        }
        catch (Exception)
        {
            End(number, operation with { Status = HistoryStatus.Info });
            throw;
        }
    }

    public static string NameOf(ZnodeError error) => error switch
    {
        ZnodeError.NodeExists => "NODEEXISTS",
        ZnodeError.NoNode => "NONODE",
        ZnodeError.BadVersion => "BADVERSION",
        ZnodeError.NotEmpty => "NOTEMPTY",
        ZnodeError.NoChildrenForEphemerals => "NOCHILDREN_EPH",
        _ => error.ToString(),
    };

    private void End(long number, HistoryOperation operation)
    {
        _open.Remove(number);
        var ended = operation with { Return = Now };
        _ended.Add(ended);
        trace.Fold((ulong)ended.Kind);
        trace.Fold((ulong)ended.Status);
        trace.Fold((ulong)ended.Zxid);
    }
}
