namespace PartitionLeaders;

/// <summary>Which brokers there are, and which of them hold a replica of which partition.</summary>
/// <param name="Brokers">How many brokers, numbered from 1.</param>
/// <param name="Partitions">How many partitions, numbered from 0.</param>
/// <param name="Observers">How many processes beside them that observe the quorum and hold no partitions, numbered from 256.</param>
internal sealed record Cluster(int Brokers, int Partitions, int Observers = 0)
{
    private const int ReplicationFactor = 3;
    private const int FirstObserver = 256;

    public static bool IsObserver(int id) => id >= FirstObserver;

    /// <summary>All processes: the brokers, then the observers.</summary>
    public IReadOnlyList<int> Processes() => [.. Enumerable.Range(1, Brokers), .. Enumerable.Range(FirstObserver, Observers)];

    /// <summary>The next one in the ring of all processes.</summary>
    public int Next(int id)
    {
        var all = Processes();
        return all[(all.Index().First(other => other.Item == id).Index + 1) % all.Count];
    }

    /// <summary>A partition's replicas, the preferred leader first. Round robin, so that every broker is preferred for its share.</summary>
    public IReadOnlyList<int> Replicas(int partition) =>
        [.. Enumerable.Range(partition, Math.Min(ReplicationFactor, Brokers)).Select(n => n % Brokers + 1)];

    /// <summary>The partitions of which a broker holds a replica.</summary>
    public IEnumerable<int> PartitionsOf(int broker) => Enumerable.Range(0, Partitions).Where(p => Replicas(p).Contains(broker));
}

/// <summary>Where everything stands in the tree.</summary>
internal static class Paths
{
    public const string Brokers = "/brokers";
    public const string Partitions = "/partitions";
    public const string Probes = "/probes";

    /// <summary>Ephemeral: there while the broker lives.</summary>
    public static string Broker(int broker) => $"{Brokers}/{broker}";

    /// <summary>Written all the time by its broker, to notice when the quorum takes writes and when not.</summary>
    public static string Probe(int broker) => $"{Probes}/{broker}";

    public static string Partition(int partition) => $"{Partitions}/{partition}";

    /// <summary>The candidates' queue.</summary>
    public static string Election(int partition) => $"{Partitions}/{partition}/election";

    /// <summary>The partition's log, condensed: <see cref="PartitionState"/>.</summary>
    public static string State(int partition) => $"{Partitions}/{partition}/state";

    /// <summary>Who wrote from which record on: <see cref="LeaderHistory"/>.</summary>
    public static string Leaders(int partition) => $"{Partitions}/{partition}/leaders";

    /// <summary>The broker that a path of <see cref="Broker"/> names; null if it is another path.</summary>
    public static int? BrokerOf(string path) =>
        path.StartsWith(Brokers + "/", StringComparison.Ordinal) && int.TryParse(path.AsSpan(Brokers.Length + 1), out var broker)
            ? broker
            : null;
}
