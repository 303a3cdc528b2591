using Microsoft.Extensions.Diagnostics.HealthChecks;
using RaftKit.Health;
using RaftKit.Hosting;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds RaftKit's health checks.</summary>
public static class RaftKitHealthChecksBuilderExtensions
{
    private static readonly TimeSpan ReadyTimeout = TimeSpan.FromSeconds(2);

    /// <summary>
    /// Adds three checks of a cluster: <c>raftkit-live</c> (tag <c>live</c>: the node has not stopped by itself), <c>raftkit-ready</c> (tag
    /// <c>ready</c>: this member's reads are as new as the quorum's, asked of the quorum with a timeout of 2 seconds) and
    /// <c>raftkit-quorum</c> (tag <c>quorum</c>: a leader answers). All have the tag <c>raftkit</c>; a cluster with a key has
    /// <c>raftkit-{key}-live</c> and so on.
    /// </summary>
    /// <param name="builder">The application's health checks.</param>
    /// <param name="key">The cluster's key; null for the one without.</param>
    public static IHealthChecksBuilder AddRaftKit(this IHealthChecksBuilder builder, string? key = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        Add("live", host => new LiveHealthCheck(host), null);
        Add("ready", host => new ReadyHealthCheck(host), ReadyTimeout);
        Add("quorum", host => new QuorumHealthCheck(host), null);
        return builder;

        void Add(string tag, Func<RaftKitHost, IHealthCheck> check, TimeSpan? timeout) => builder.Add(new HealthCheckRegistration(
            key is null ? $"raftkit-{tag}" : $"raftkit-{key}-{tag}",
            sp => check(key is null ? sp.GetRequiredService<RaftKitHost>() : sp.GetRequiredKeyedService<RaftKitHost>(key)),
            HealthStatus.Unhealthy,
            [tag, "raftkit"],
            timeout));
    }
}
