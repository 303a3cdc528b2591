using System.Diagnostics;
using PartitionLeaders.Reports;
using RaftKit.Recipes;
using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>
/// Campaigns for one partition for as long as a session lasts, and appends to it while it leads. Where another broker is preferred and is
/// back, it hands over to it (Kafka's preferred replica election): else whoever outlived the others would lead everything.
/// </summary>
internal sealed class PartitionCandidate(
    IZnodeSession session, int partition, int broker, IReadOnlyList<int> replicas, ReportSink reports, ProgressLog progress, WriteGate gate)
{
    // The elections are queues: whoever joins first leads. At the cluster's first start each broker lets those go first that are preferred
    // to it.
    private static readonly TimeSpan Courtesy = TimeSpan.FromMilliseconds(150);

    // So long must the preferred broker be there, in one life, before it is trusted with its partitions again.
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(1);

    public async Task RunAsync(CancellationToken cancel)
    {
        await Task.Delay(Courtesy * replicas.Index().First(replica => replica.Item == broker).Index, cancel);
        await using var election = new LeaderElection(session, Paths.Election(partition));
        while (true)
        {
            await using var leadership = await election.WaitForLeadershipAsync(cancel);
            var token = leadership.FencingToken.Value;
            reports.Send(new BrokerReport.Leading(partition, token, Stopwatch.GetTimestamp()));
            using var end = CancellationTokenSource.CreateLinkedTokenSource(cancel, leadership.Lost);
            var handOver = PreferredIsBackAsync(end.Token);
            try
            {
                await new PartitionWriter(session, partition, leadership, handOver, reports, progress, gate).RunAsync(cancel);
            }
            finally
            {
                await end.CancelAsync();
                reports.Send(new BrokerReport.Resigned(partition, token));
            }
        }
    }

    // Ends when it is; waits for ever where this broker is the preferred one.
    private async Task PreferredIsBackAsync(CancellationToken cancel)
    {
        if (replicas[0] == broker)
            await Task.Delay(Timeout.Infinite, cancel);
        for (long? seen = null; ;)
        {
            var life = await Tree.RetryAsync(
                async () => (await session.ExistsAsync(Paths.Broker(replicas[0]), cancellationToken: cancel))?.CreatedZxid, cancel);
            if (life is not null && life == seen)
                return;
            seen = life;
            await Task.Delay(Settling, cancel);
        }
    }
}
