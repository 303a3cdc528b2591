using RaftKit.Node.Proposals;
using RaftKit.Znodes;

namespace RaftKit.TestKit;

/// <summary>
/// The history of what clients did, as they saw it. An operation whose process ended before it returned has an unknown outcome, and is
/// written down as such when the run ends.
/// </summary>
internal sealed class OperationLog(SimulatedScheduler scheduler, SimulatedTrace trace)
{
    private readonly List<HistoryOperation> _ended = [];
    private readonly SortedDictionary<long, HistoryOperation> _open = [];
    private long _last;

    /// <summary>Writes that were acknowledged.</summary>
    public long WritesAcknowledged { get; private set; }

    private long Now => scheduler.Now.Ticks * 100;

    /// <summary>All so far; of what is under way nobody can tell.</summary>
    public IReadOnlyList<HistoryOperation> SoFar() =>
        [.. _ended, .. _open.Values.Select(o => o with { Status = HistoryStatus.Info, Return = Now })];

    /// <summary>
    /// An operator forced a new quorum, which knows nothing of what happened behind this zxid. What clients were told of it, or may have
    /// been, is no part of the history that goes on.
    /// </summary>
    /// <returns>How many writes were acknowledged and are lost.</returns>
    public int QuorumForced(long zxid)
    {
        // Who goes on beside that quorum may answer yet, of another history.
        _ended.AddRange(_open.Values.Select(o => o with { Status = HistoryStatus.Info, Return = Now }));
        _open.Clear();
        var lost = _ended.Count(o => !o.IsRead && o.Status == HistoryStatus.Ok && o.Zxid > zxid);
        var kept = _ended.Where(o => !o.IsRead || IsKept(o)).Select(
            o => IsKept(o) && o is not { IsRead: false, Status: HistoryStatus.Ok, Zxid: 0 } ? o : Unknown(o)).ToList();
        _ended.Clear();
        _ended.AddRange(kept);
        return lost;

        // The survivor's log may hold the same proposal, from a leader who could not commit it: it may take effect yet, with a result of
        // its own (seed 368 with failing disks).
        static HistoryOperation Unknown(HistoryOperation operation) => operation with
        {
            Status = HistoryStatus.Info, Zxid = 0, Version = null, Out = null, Error = null,
        };

        // A refusal that the tree gave, or a read, tells of a state: which one, only its zxid could say.
        bool IsKept(HistoryOperation operation) =>
            operation.Zxid <= zxid && (operation.Zxid > 0 || (!operation.IsRead && operation.Error is null));
    }

    public IReadOnlyList<HistoryOperation> Finish()
    {
        _ended.AddRange(_open.Values.Select(o => o with { Status = HistoryStatus.Info, Return = Now }));
        _open.Clear();
        return _ended;
    }

    /// <summary>
    /// Records an operation: as given while it runs, with its result when it returns, as refused or unknown by the exception.
    /// </summary>
    /// <param name="operation">What is asked for.</param>
    /// <param name="run">Asks for it.</param>
    /// <param name="result">What is known of it when it took effect.</param>
    /// <param name="succeeded">Hears of it then.</param>
    public Task<T> Record<T>(HistoryOperation operation, Func<Task<T>> run, Func<HistoryOperation, T, HistoryOperation> result,
        Action<T>? succeeded = null)
    {
        // A refusal is handed on as it is: a sweep has too many of them to throw each at every layer.
        var recorded = new TaskCompletionSource<T>();
        _ = Record(recorded, operation, run, result, succeeded);
        return recorded.Task;
    }

    private async Task Record<T>(
        TaskCompletionSource<T> recorded, HistoryOperation operation, Func<Task<T>> run, Func<HistoryOperation, T, HistoryOperation> result,
        Action<T>? succeeded)
    {
        var number = ++_last;
        operation = operation with { Call = Now };
        if (scheduler.Current is not { IsAside: true, IsObserver: false })
            _open.Add(number, operation);
        var running = Begin(run);
        await ((Task)running).ConfigureAwait(ConfigureAwaitOptions.ContinueOnCapturedContext | ConfigureAwaitOptions.SuppressThrowing);
        // It began before its member was one of those that go on beside a quorum that was forced, or that quorum heard of it.
        if (scheduler.Current is { IsAside: true })
        {
            End(number, operation with { Status = HistoryStatus.Info });
            recorded.SetFromTask(running);
            return;
        }
        if (!running.IsCompletedSuccessfully)
        {
            End(number, Failed(operation, running.Exception?.InnerException));
            recorded.SetFromTask(running);
            return;
        }
        try
        {
            var value = running.Result;
            if (End(number, result(operation with { Status = HistoryStatus.Ok }, value)) && !operation.IsRead)
                WritesAcknowledged++;
            succeeded?.Invoke(value);
            recorded.SetResult(value);
        }
        catch (Exception failure)
        {
            recorded.SetException(failure);
        }
    }

    private static Task<T> Begin<T>(Func<Task<T>> run)
    {
        try
        {
            return run();
        }
        catch (Exception refused)
        {
            return Task.FromException<T>(refused);
        }
    }

    private static HistoryOperation Failed(HistoryOperation operation, Exception? failure) => failure switch
    {
        ZnodeException refused => operation with { Status = HistoryStatus.Fail, Error = NameOf(refused.Error) },
        NotAppliedException => operation with { Status = HistoryStatus.Fail },
        // Refused because the session had ended: it changed nothing.
        SessionExpiredException when operation.Kind != HistoryKind.CloseSession => operation with { Status = HistoryStatus.Fail },
        _ => operation with { Status = HistoryStatus.Info },
    };

    public static string NameOf(ZnodeError error) => error switch
    {
        ZnodeError.NodeExists => "NODEEXISTS",
        ZnodeError.NoNode => "NONODE",
        ZnodeError.BadVersion => "BADVERSION",
        ZnodeError.NotEmpty => "NOTEMPTY",
        ZnodeError.NoChildrenForEphemerals => "NOCHILDREN_EPH",
        _ => error.ToString(),
    };

    private bool End(long number, HistoryOperation operation)
    {
        if (!_open.Remove(number))
            return false;
        var ended = operation with { Return = Now };
        _ended.Add(ended);
        trace.Fold((ulong)ended.Kind);
        trace.Fold((ulong)ended.Status);
        trace.Fold((ulong)ended.Zxid);
        return true;
    }
}
