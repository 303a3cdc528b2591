using System.Diagnostics.Metrics;
using RaftKit.Hosting;
using RaftKit.Node.Loop;

namespace RaftKit;

/// <summary>
/// The instruments of the meter "RaftKit". Every measurement has the tags <c>raftkit.member</c> and, for a cluster with a key, <c>raftkit.cluster</c>.
/// The names are documented in the project's README and do not change.
/// </summary>
internal sealed class RaftKitMetrics : IDisposable
{
    public const string MeterName = "RaftKit";

    private readonly Lock _lock = new();
    private readonly Meter _meter;
    private RaftKitHost[] _hosts = [];

    /// <param name="factory">Null without a host: the meter is then seen by listeners of the whole process.</param>
    public RaftKitMetrics(IMeterFactory? factory)
    {
        var options = new MeterOptions(MeterName) { Version = typeof(RaftKitMetrics).Assembly.GetName().Version?.ToString(3) };
        _meter = factory?.Create(options) ?? new Meter(options);
        Gauge("raftkit.term", "{term}", "The member's current term", s => s.Term.Value);
        Gauge("raftkit.commit_index", "{entry}", "The last log index known to be committed", s => s.Commit.Value);
        Gauge("raftkit.applied_index", "{entry}", "The last log index applied to the state machines", s => s.Applied.Value);
        Gauge("raftkit.leader", "{member}", "The member that leads as this one knows it; 0 if none", s => s.Leader.Value);
        Gauge("raftkit.is_leader", "{bool}", "1 while this member leads and is ready, else 0", s => s.Leader == s.Self && s.Ready ? 1 : 0);
        Gauge("raftkit.ready", "{bool}", "1 while a quorum answers this member, else 0", s => s.Ready ? 1 : 0);
        _meter.CreateObservableGauge(
            "raftkit.node.failed", () => Observe<long>(host => host.Failure is null ? 0 : 1), "{bool}", "1 when the node stopped by itself, else 0");
    }

    public void Add(RaftKitHost host)
    {
        lock (_lock)
            _hosts = [.. _hosts, host];
    }

    public void Dispose() => _meter.Dispose();

    private void Gauge(string name, string unit, string description, Func<NodeStatus, long> read) =>
        _meter.CreateObservableGauge(name, () => Observe<long>(host => host.Member.Status is { } status ? read(status) : null), unit, description);

    private IEnumerable<Measurement<T>> Observe<T>(Func<RaftKitHost, T?> read)
        where T : struct
    {
        foreach (var host in Volatile.Read(ref _hosts))
        {
            if (read(host) is not { } value)
                continue;
            var member = new KeyValuePair<string, object?>("raftkit.member", host.Options.Member);
            yield return host.Key is { } key
                ? new Measurement<T>(value, member, new KeyValuePair<string, object?>("raftkit.cluster", key))
                : new Measurement<T>(value, member);
        }
    }
}
