using PartitionLeaders.Reports;

namespace PartitionLeaders.Supervision;

/// <summary>
/// What the brokers said was acknowledged and who led when: the supervisor's own books, kept outside of the quorum, that the quorum is held
/// against.
/// </summary>
internal sealed class Ledger(Cluster cluster)
{
    private readonly PartitionBooks[] _partitions = [.. Enumerable.Range(0, cluster.Partitions).Select(_ => new PartitionBooks())];

    /// <summary>Records that were acknowledged.</summary>
    public long Acked { get; private set; }

    /// <summary>How often a fencing token was seen with a second leader.</summary>
    public int DoubleLeaders { get; private set; }

    /// <summary>The broker that leads a partition by the newest token; null if it gave that up or died.</summary>
    public BrokerProcess? LeaderOf(int partition) =>
        _partitions[partition].Current is { Ended: false, Broker.Exited: false } current ? current.Broker : null;

    public int PartitionsLedBy(BrokerProcess broker) =>
        _partitions.Count(p => p.Current is { Ended: false } current && current.Broker == broker);

    /// <summary>What a broker leads now, with the tokens.</summary>
    public IEnumerable<(int Partition, long Token)> LedBy(BrokerProcess broker) => _partitions.Index()
        .Where(p => p.Item.Current is { Ended: false } current && current.Broker == broker)
        .Select(p => (p.Index, p.Item.Current!.Token));

    public void Leading(BrokerProcess broker, BrokerReport.Leading report)
    {
        var books = _partitions[report.Partition];
        CheckOnlyLeader(books, broker, report.Token);
        if (books.Current is null || books.Current.Token < report.Token)
            books.Current = new Leadership(broker, report.Token);
    }

    public void Resigned(BrokerReport.Resigned report)
    {
        if (_partitions[report.Partition].Current is { } current && current.Token == report.Token)
            current.Ended = true;
    }

    public void Acknowledged(BrokerProcess broker, AckedRange acked)
    {
        var books = _partitions[acked.Partition];
        CheckOnlyLeader(books, broker, acked.Token);
        Acked += acked.Last - acked.First + 1;
        var known = books.Acked.GetValueOrDefault(acked.Token, (acked.First, acked.Last));
        books.Acked[acked.Token] = (Math.Min(known.First, acked.First), Math.Max(known.Last, acked.Last));
    }

    /// <summary>Counts the acknowledged records of a partition that are not in it, as the quorum holds it in the end.</summary>
    public long CountLost(int partition, PartitionState state, LeaderHistory history)
    {
        long lost = 0;
        foreach (var (token, (first, last)) in _partitions[partition].Acked)
        {
            var epoch = history.Epochs.Index().FirstOrDefault(e => e.Item.Token == token, (-1, default));
            var end = epoch.Index < 0 ? 0 : epoch.Index + 1 < history.Epochs.Count
                ? history.Epochs[epoch.Index + 1].First - 1
                : state.Number;
            var kept = epoch.Index < 0 ? 0 : Math.Max(0, Math.Min(last, end) - Math.Max(first, epoch.Item.First) + 1);
            lost += last - first + 1 - kept;
        }

        return lost + (Replay(state, history) == state.Chain ? 0 : 1);
    }

    // The chain over the records as the history says they were written. A record that is missing, doubled or under another token gives
    // another chain.
    private static ulong Replay(PartitionState state, LeaderHistory history)
    {
        var replayed = default(PartitionState);
        for (var (number, epoch) = (1L, -1); number <= state.Number; number++)
        {
            while (epoch + 1 < history.Epochs.Count && history.Epochs[epoch + 1].First <= number)
                epoch++;
            replayed = replayed.Append(epoch < 0 ? 0 : history.Epochs[epoch].Token);
        }

        return replayed.Chain;
    }

    private void CheckOnlyLeader(PartitionBooks books, BrokerProcess broker, long token)
    {
        if (books.Holders.TryAdd(token, broker) || books.Holders[token] == broker)
            return;
        DoubleLeaders++;
    }

    private sealed class PartitionBooks
    {
        public Leadership? Current { get; set; }

        public Dictionary<long, BrokerProcess> Holders { get; } = [];

        /// <summary>By token, the first and last record that was acknowledged to it. A leader's records have no gaps.</summary>
        public Dictionary<long, (long First, long Last)> Acked { get; } = [];
    }

    private sealed class Leadership(BrokerProcess broker, long token)
    {
        public BrokerProcess Broker { get; } = broker;

        public long Token { get; } = token;

        public bool Ended { get; set; }
    }
}
