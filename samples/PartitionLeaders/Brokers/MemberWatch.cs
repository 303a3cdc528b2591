using PartitionLeaders.Reports;
using RaftKit.Consensus;
using RaftKit.Node.Loop;

namespace PartitionLeaders.Brokers;

/// <summary>Tells when the role or the term of the embedded member changes.</summary>
internal sealed class MemberWatch(Func<NodeStatus?> status, ReportSink reports)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(10);

    public async Task RunAsync(CancellationToken stop)
    {
        BrokerReport.Member? told = null;
        using var timer = new PeriodicTimer(Interval);
        do
        {
            if (status() is not { } now)
                continue;
            var member = new BrokerReport.Member(now.Role.ToString(), now.Role == RaftRole.Leader && now.Ready, now.Term.Value);
            if (member == told)
                continue;
            reports.Send(member);
            told = member;
        }
        while (await timer.WaitForNextTickAsync(stop));
    }
}
