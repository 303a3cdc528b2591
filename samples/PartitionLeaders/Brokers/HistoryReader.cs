using System.Text;
using PartitionLeaders.Reports;
using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>
/// Reads this member's copy of what the history clients write, and records what it found and as of which zxid: the copy may be behind, and
/// must not be wrong.
/// </summary>
internal sealed class HistoryReader(IZnodeView view, ReportSink reports, Random random, string run)
{
    private static readonly TimeSpan Pace = TimeSpan.FromMilliseconds(25);

    public static Func<CancellationToken, Task> Of(IZnodeView view, BrokerSettings settings, ReportSink reports) =>
        new HistoryReader(view, reports, new Random(settings.Id), settings.HistoryRun!).RunAsync;

    private async Task RunAsync(CancellationToken stop)
    {
        using var timer = new PeriodicTimer(Pace);
        while (await timer.WaitForNextTickAsync(stop))
        {
            if (Read() is { } read)
                reports.Send(new BrokerReport.LocalRead(read));
        }
    }

    // What is not there has no zxid that could be checked.
    private HistoryOperation? Read()
    {
        var (call, root) = (RecordedCalls.Now(), HistoryClient.Root(run, random));
        if (random.Next(4) == 0)
        {
            return view.GetChildren(root) is { } children
                ? new() { Op = "children", Path = root, Call = call, Ret = RecordedCalls.Now(), Status = "ok", Children = children.Names,
                    Zxid = children.Zxid } : null;
        }

        var path = HistoryClient.Key(root, random);
        return view.Get(path) is { } znode
            ? new()
            {
                Op = "get", Path = path, Call = call, Ret = RecordedCalls.Now(), Status = "ok",
                Out = Encoding.UTF8.GetString(znode.Data.Span),
                Version = znode.Stat.Version, Zxid = znode.Zxid,
            }
            : null;
    }
}
