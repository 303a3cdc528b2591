using System.Diagnostics;
using PartitionLeaders.Reports;

namespace PartitionLeaders.Supervision;

/// <summary>
/// Measures how long the quorum and the partitions were without a leader. All times are timestamps of the machine's monotonic clock.
/// </summary>
internal sealed class Failovers
{
    // Reports of different brokers arrive in any order: a measurement closes a while after its end was first seen.
    private static readonly TimeSpan Closing = TimeSpan.FromSeconds(1);

    private readonly List<QuorumOutage> _quorum = [];
    private readonly List<(int Partition, long Token, long At)> _partitionsOpen = [];
    private readonly List<double> _quorumFailovers = [];
    private readonly List<double> _partitionFailovers = [];
    private readonly List<double> _frozenGaps = [];

    /// <summary>Whether nothing is being measured.</summary>
    public bool Settled => _quorum.Count == 0 && _partitionsOpen.Count == 0;

    public Percentiles Quorum => Percentiles.Of(_quorumFailovers);

    public Percentiles Partitions => Percentiles.Of(_partitionFailovers);

    public Percentiles FrozenLeader => Percentiles.Of(_frozenGaps);

    public void LeaderDied(BrokerProcess broker, long at) => _quorum.Add(new(broker, at, Frozen: false));

    public void LeaderFroze(BrokerProcess broker, long at) => _quorum.Add(new(broker, at, Frozen: true));

    public void PartitionLost(int partition, long token, long at) => _partitionsOpen.Add((partition, token, at));

    public void Leading(BrokerReport.Leading report)
    {
        foreach (var open in _partitionsOpen.Where(
            o => o.Partition == report.Partition && o.Token < report.Token && report.At >= o.At).ToArray())
        {
            _partitionsOpen.Remove(open);
            _partitionFailovers.Add(Milliseconds(open.At, report.At));
        }
    }

    public void Probed(BrokerProcess broker, IReadOnlyList<ProbeAck> acks)
    {
        foreach (var outage in _quorum.Where(o => o.Broker != broker))
            outage.Probed(acks);
    }

    /// <summary>Closes what can be closed, and gives what it came to.</summary>
    public IEnumerable<(bool Frozen, double Milliseconds)> Close()
    {
        foreach (var outage in _quorum.Where(o => o.End is { } end && Stopwatch.GetElapsedTime(end) > Closing).ToArray())
            yield return Close(outage, outage.End!.Value);
    }

    /// <summary>The run is over: what has no end by now is counted as if it ended now, so that it is not hidden.</summary>
    public void CloseAll(long now)
    {
        foreach (var outage in _quorum.ToArray())
            Close(outage, outage.End ?? now);
        _partitionFailovers.AddRange(_partitionsOpen.Select(open => Milliseconds(open.At, now)));
        _partitionsOpen.Clear();
    }

    private (bool Frozen, double Milliseconds) Close(QuorumOutage outage, long end)
    {
        _quorum.Remove(outage);
        var took = outage.Frozen ? outage.LongestGap(end) : Milliseconds(outage.At, end);
        (outage.Frozen ? _frozenGaps : _quorumFailovers).Add(took);
        return (outage.Frozen, took);
    }

    private static double Milliseconds(long from, long to) => Stopwatch.GetElapsedTime(from, to).TotalMilliseconds;

    /// <summary>
    /// The quorum's leader was taken away at a moment; over when a write that was submitted later is acknowledged in a later term.
    /// </summary>
    private sealed record QuorumOutage(BrokerProcess Broker, long At, bool Frozen)
    {
        private readonly long _term = Broker.Member.Term;
        private readonly List<long> _acked = [];

        public long? End { get; private set; }

        public void Probed(IReadOnlyList<ProbeAck> acks)
        {
            foreach (var ack in acks.Where(ack => ack.Acked >= At))
            {
                _acked.Add(ack.Acked);
                if (ack.Submitted >= At && ack.Term > _term && (End is null || ack.Acked < End))
                    End = ack.Acked;
            }
        }

        /// <summary>The longest time without an acknowledgement to anybody else.</summary>
        public double LongestGap(long end)
        {
            long[] times = [At, .. _acked.Where(at => at <= end).Order(), end];
            return times.Zip(times.Skip(1), Milliseconds).Max();
        }
    }
}
