using System.Diagnostics.Metrics;
using RaftKit.Hosting;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Znodes.Sessions;

namespace RaftKit;

/// <summary>
/// The instruments of the meter "RaftKit". Every measurement has the tags <c>raftkit.member</c> and, for a cluster with a key,
/// <c>raftkit.cluster</c>. The names are documented in the project's README and do not change.
/// </summary>
internal sealed class RaftKitMetrics
{
    public const string MeterName = "RaftKit";

    // Seconds. Finer at the lower end than OpenTelemetry's recommendation for requests: a proposal takes a fraction of a millisecond.
    private static readonly double[] Boundaries =
        [0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5,
            10];

    private readonly Lock _lock = new();
    private readonly Meter _meter;
    private readonly Histogram<double> _proposals;
    private RaftKitHost[] _hosts = [];

    public RaftKitMetrics(IMeterFactory factory)
    {
        _meter = factory.Create(new MeterOptions(MeterName) { Version = typeof(RaftKitMetrics).Assembly.GetName().Version?.ToString(3) });
        Gauge("raftkit.term", "{term}", "The member's current term", s => s.Term.Value);
        Gauge("raftkit.commit_index", "{entry}", "The last log index known to be committed", s => s.Commit.Value);
        Gauge("raftkit.applied_index", "{entry}", "The last log index applied to the state machines", s => s.Applied.Value);
        Gauge("raftkit.leader", "{member}", "The member that leads as this one knows it; 0 if none", s => s.Leader.Value);
        Gauge("raftkit.is_leader", "{bool}", "1 while this member leads and is ready, else 0", s => s.Leader == s.Self && s.Ready ? 1 : 0);
        Gauge("raftkit.ready", "{bool}", "1 while a quorum answers this member, else 0", s => s.Ready ? 1 : 0);
        Counter("raftkit.elections.won", "{election}", "Times this member began to lead", c => c.Elections);
        Counter("raftkit.proposals", "{proposal}", "Proposals made by this member", c => c.Proposals);
        _proposals = _meter.CreateHistogram(
            "raftkit.proposal.duration", "s", "From when the member took its own proposal in until it was applied there", tags: null,
            new InstrumentAdvice<double> { HistogramBucketBoundaries = [.. Boundaries] });
        Counter("raftkit.entries.applied", "{entry}", "Entries applied to the state machines", c => c.AppliedEntries);
        Counter("raftkit.log.entries", "{entry}", "Entries written to the log", c => c.EntriesWritten);
        Counter("raftkit.log.batches", "{batch}", "Batches handed to the log", c => c.LogBatches);
        Counter("raftkit.log.fsyncs", "{fsync}", "fsyncs of the log", c => c.Fsyncs);
        Counter("raftkit.snapshots.taken", "{snapshot}", "Snapshots of the member's own state", c => c.SnapshotsTaken);
        Counter("raftkit.snapshots.installed", "{snapshot}", "Snapshots received from a leader and installed", c => c.SnapshotsInstalled);
        Counter("raftkit.loop.turns", "{turn}", "Turns of the node's loop", c => c.Turns);
        Counter("raftkit.inbox.refused", "{call}", "Calls of this process refused because too many waited for the node's loop", c =>
            c.CallsRefused);
        Counter("raftkit.inbox.dropped", "{message}", "Messages of other members dropped because too many waited for the node's loop", c =>
            c.MessagesDropped);
        SessionCounter("raftkit.sessions.opened", "Sessions opened, of all members, as applied here", c => c.Opened);
        SessionCounter("raftkit.sessions.closed", "Sessions closed by their owners, of all members, as applied here", c => c.Closed);
        SessionCounter("raftkit.sessions.expired", "Sessions expired, of all members, as applied here", c => c.Expired);
        SessionCounter("raftkit.sessions.given_up", "Sessions of this process that it gave up for want of an answer", c => c.GivenUp);
        _meter.CreateObservableGauge(
            "raftkit.node.failed", () =>
                Observe<long>(host => host.Failure is null ? 0 : 1), "{bool}", "1 when the node stopped by itself, else 0");
    }

    /// <summary>Measures one cluster's proposals.</summary>
    public IProposalMeter ProposalsOf(RaftKitHost host) => new ProposalMeter(_proposals, TagsOf(host));

    public void Add(RaftKitHost host)
    {
        lock (_lock)
            _hosts = [.. _hosts, host];
    }

    private void Gauge(string name, string unit, string description, Func<NodeStatus, long> read) =>
        _meter.CreateObservableGauge(
            name, () => Observe<long>(host => host.Member.Status is { } status ? read(status) : null), unit, description);

    private void Counter(string name, string unit, string description, Func<NodeCounters, long> read) =>
        _meter.CreateObservableCounter(
            name, () => Observe<long>(host => host.Member.Counters is { } counters ? read(counters) : null), unit, description);

    private void SessionCounter(string name, string description, Func<SessionCounters, long> read) =>
        _meter.CreateObservableCounter(name, () => Observe<long>(host => read(host.Member.SessionCounters)), "{session}", description);

    private IEnumerable<Measurement<T>> Observe<T>(Func<RaftKitHost, T?> read)
        where T : struct
    {
        foreach (var host in Volatile.Read(ref _hosts))
        {
            if (read(host) is not { } value)
                continue;
            yield return new Measurement<T>(value, TagsOf(host));
        }
    }

    private static KeyValuePair<string, object?>[] TagsOf(RaftKitHost host)
    {
        var member = new KeyValuePair<string, object?>("raftkit.member", host.Options.Member);
        return host.Key is { } key ? [member, new("raftkit.cluster", key)] : [member];
    }

    private sealed class ProposalMeter(Histogram<double> proposals, KeyValuePair<string, object?>[] tags) : IProposalMeter
    {
        public bool IsEnabled => proposals.Enabled;

        public void Applied(TimeSpan took) => proposals.Record(took.TotalSeconds, tags);
    }
}
