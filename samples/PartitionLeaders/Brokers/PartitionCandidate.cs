using System.Diagnostics;
using PartitionLeaders.Reports;
using RaftKit.Recipes;
using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>Campaigns for one partition for as long as a session lasts, and appends to it while it leads.</summary>
internal sealed class PartitionCandidate(
    IZnodeSession session, int partition, int preference, ReportSink reports, ProgressLog progress, WriteGate gate)
{
    // The elections are queues: whoever joins first leads. At the cluster's first start each broker lets those go first that are preferred to it.
    private static readonly TimeSpan Courtesy = TimeSpan.FromMilliseconds(150);

    public async Task RunAsync(CancellationToken cancel)
    {
        await Task.Delay(Courtesy * preference, cancel);
        await using var election = new LeaderElection(session, Paths.Election(partition));
        while (true)
        {
            await using var leadership = await election.WaitForLeadershipAsync(cancel);
            var token = leadership.FencingToken.Value;
            reports.Send(new BrokerReport.Leading(partition, token, Stopwatch.GetTimestamp()));
            try
            {
                await new PartitionWriter(session, partition, leadership, reports, progress, gate).RunAsync(cancel);
            }
            finally
            {
                reports.Send(new BrokerReport.Resigned(partition, token));
            }
        }
    }
}
