using System.Text;
using PartitionLeaders.Reports;
using RaftKit.Node.Proposals;
using RaftKit.Node.Reads;
using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>
/// Reads what the history clients write with each of the consistencies that the library has, one read at a time, and records what was
/// promised. Linearizable reads (by lease, or by a quorum) are calls of the history like any other; the others go beside the local ones,
/// with what they had to show at least.
/// </summary>
internal sealed class ConsistencyReader(IZnodeView view, ReportSink reports, WriteGate gate, Random random, string run)
{
    private const int Client = HistoryClient.ClientsPerBroker + 1;
    private const long NanosecondsPerMillisecond = 1_000_000;

    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Bound = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private long _seen;

    public static ConsistencyReader? Of(IZnodeView view, BrokerSettings settings, ReportSink reports, WriteGate gate) =>
        settings.HistoryRun is { } run ? new(view, reports, gate, new Random(~settings.Id), run) : null;

    /// <summary>Some broker's client has seen this: the next read of that session may come here, and must not show less.</summary>
    public void HasSeen(long zxid) => Volatile.Write(ref _seen, Math.Max(zxid, Volatile.Read(ref _seen)));

    public async Task RunAsync(CancellationToken stop)
    {
        using var timer = new PeriodicTimer(Pace);
        while (await timer.WaitForNextTickAsync(stop) && gate.TryEnter())
        {
            try
            {
                using var patience = CancellationTokenSource.CreateLinkedTokenSource(stop);
                patience.CancelAfter(Patience);
                await ReadAsync(patience.Token);
            }
            finally
            {
                gate.Leave();
            }
        }
    }

    private Task ReadAsync(CancellationToken cancel)
    {
        var path = HistoryClient.Key(HistoryClient.Root(run, random), random);
        var operation = new HistoryOperation { Op = "get", Path = path, Session = -Environment.ProcessId };
        switch (random.Next(4))
        {
            case 0:
                var behind = (long)Bound.TotalMilliseconds * NanosecondsPerMillisecond;
                return ReadBehindAsync(operation with { Behind = behind }, ReadConsistency.AtMostBehind(Bound), cancel);
            case 1:
                var seen = Volatile.Read(ref _seen);
                return ReadBehindAsync(operation with { Seen = seen }, ReadConsistency.Session(new ReadSession(seen)), cancel);
            case 2:
                return ReadNewestAsync(operation, ReadConsistency.Linearizable, cancel);
            default:
                return ReadNewestAsync(operation, ReadConsistency.LinearizableByLease, cancel);
        }
    }

    private async Task ReadNewestAsync(HistoryOperation operation, ReadConsistency consistency, CancellationToken cancel)
    {
        operation = operation with { Call = RecordedCalls.Now() };
        reports.Send(new BrokerReport.HistoryCall(Client, operation));
        try
        {
            operation = await FoundAsync(operation, consistency, cancel);
        }
        catch (Exception e) when (e is NotAppliedException or OperationCanceledException)
        {
            operation = operation with { Status = "info" };
        }

        reports.Send(new BrokerReport.HistoryReturn(Client, operation with { Ret = RecordedCalls.Now() }));
    }

    private async Task ReadBehindAsync(HistoryOperation operation, ReadConsistency consistency, CancellationToken cancel)
    {
        try
        {
            operation = await FoundAsync(operation with { Call = RecordedCalls.Now() }, consistency, cancel);
            reports.Send(new BrokerReport.LocalRead(operation with { Ret = RecordedCalls.Now() }));
        }
        catch (Exception e) when (e is StaleReadException or NotAppliedException or OperationCanceledException)
        {
            // No answer: a member that is cut off cannot know, and says so.
        }
    }

    private async Task<HistoryOperation> FoundAsync(HistoryOperation operation, ReadConsistency consistency, CancellationToken cancel)
    {
        var read = await view.ReadAsync(tree => (Znode: tree.Get(operation.Path!), tree.Zxid), consistency, cancel);
        // The tree's zxid, as in every other line of the history: the log's may be of an entry that is not the tree's.
        operation = operation with { Status = "ok", Zxid = read.Value.Zxid, Got = read.Guarantee.ToString() };
        return read.Value.Znode is { } znode
            ? operation with { Out = Encoding.UTF8.GetString(znode.Data.Span), Version = znode.Stat.Version }
            : operation with { Op = "exists", Exists = false };
    }
}
