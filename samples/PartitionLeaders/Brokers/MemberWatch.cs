using PartitionLeaders.Reports;
using RaftKit;
using RaftKit.Consensus;
using RaftKit.Node.Members;

namespace PartitionLeaders.Brokers;

/// <summary>Tells when the role, the term, the life or the source of the embedded member changes.</summary>
internal sealed class MemberWatch(IQuorumMember member, IQuorumMembership membership, ReportSink reports)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(10);

    public async Task RunAsync(CancellationToken stop)
    {
        BrokerReport.Member? told = null;
        using var timer = new PeriodicTimer(Interval);
        do
        {
            if (member.Status is not { } now)
                continue;
            var self = membership.Current?.Members.FirstOrDefault(other => other.Id == now.Self.Value);
            var report = new BrokerReport.Member(
                now.Role.ToString(), now.Role == RaftRole.Leader && now.Ready, now.Term.Value, self?.Incarnation ?? 0,
                self?.IsVoter == true, now.Source.Value);
            if (report == told)
                continue;
            reports.Send(report);
            told = report;
        }
        while (await timer.WaitForNextTickAsync(stop));
    }
}
