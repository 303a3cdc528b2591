using Microsoft.Extensions.Diagnostics.HealthChecks;
using RaftKit.Hosting;
using RaftKit.Node.Loop;

namespace RaftKit.Health;

/// <summary>Live: the node has not stopped by itself. A process that fails it should be restarted once the cause is mended.</summary>
internal sealed class LiveHealthCheck(RaftKitHost host) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) =>
        Task.FromResult(host.Failure is { } failure
            ? new HealthCheckResult(
                context.Registration.FailureStatus, $"Member {host.Options.Member} stopped by itself: {failure.Message}", failure)
            : HealthCheckResult.Healthy($"Member {host.Options.Member} {(host.IsRunning ? "runs" : "is not started")}."));
}

/// <summary>Quorum: a leader is known and it answers. Failing it, reads of the view go on; writes wait.</summary>
internal sealed class QuorumHealthCheck(RaftKitHost host) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var status = host.IsRunning ? host.Member.Status : null;
        return Task.FromResult(status is { Ready: true, Leader.IsNone: false }
            ? HealthCheckResult.Healthy($"Member {status.Leader} leads term {status.Term}.", HealthData.Of(status))
            : new HealthCheckResult(
                context.Registration.FailureStatus,
                $"Member {host.Options.Member} knows of no leader that answers.{HealthData.Rot(status)}", null, HealthData.Of(status)));
    }
}

/// <summary>
/// Ready: everything that was acknowledged to anybody before the check is applied on this member, so its reads are no older.
/// </summary>
internal sealed class ReadyHealthCheck(RaftKitHost host) : IHealthCheck
{
    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var status = host.IsRunning ? host.Member.Status : null;
        if (status is not { Ready: true })
        {
            return new HealthCheckResult(
                context.Registration.FailureStatus, $"Member {host.Options.Member} is not in touch with a quorum.{HealthData.Rot(status)}",
                null, HealthData.Of(status));
        }

        try
        {
            await host.Member.ReadBarrierAsync(cancellationToken).WaitAsync(context.Registration.Timeout, cancellationToken);
        }
        catch (Exception e) when (e is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            return new HealthCheckResult(
                context.Registration.FailureStatus, $"Member {host.Options.Member} could not catch up with the quorum: {e.Message}", e,
                HealthData.Of(status));
        }

        return HealthCheckResult.Healthy($"Member {host.Options.Member} is up to date.", HealthData.Of(host.Member.Status));
    }
}

internal static class HealthData
{
    public static IReadOnlyDictionary<string, object>? Of(NodeStatus? status) => status is null ? null : new Dictionary<string, object>
    {
        ["member"] = status.Self.Value,
        ["role"] = status.Role.ToString(),
        ["term"] = status.Term.Value,
        ["leader"] = status.Leader.Value,
        ["commit"] = status.Commit.Value,
        ["applied"] = status.Applied.Value,
        ["rottenEnd"] = status.RottenEnd?.Value ?? 0,
    };

    /// <summary>Why it may be that nobody leads: who holds the entries that rotted here is down.</summary>
    public static string Rot(NodeStatus? status) => status?.RottenEnd is not { } rotten ? "" :
        $" Entries of its log, up to {rotten}, rotted on its disk: it does not lead, and waits for a member that has them.";
}
