using System.Text.Json.Serialization;

namespace PartitionLeaders.Supervision;

/// <summary>What the run came to. Times are in milliseconds.</summary>
internal sealed record Summary : RunEvent
{
    public required int Brokers { get; init; }

    public required int Observers { get; init; }

    public required int Partitions { get; init; }

    public required int Kills { get; init; }

    public required int Freezes { get; init; }

    public required long WritesAcked { get; init; }

    public required long WritesLost { get; init; }

    public required int DoubleLeaders { get; init; }

    public required int ForeignEphemeralsLost { get; init; }

    public required long LocalReadsFailed { get; init; }

    /// <summary>Calls of the history clients at observers that succeeded.</summary>
    public required int ObserverCalls { get; init; }

    /// <summary>How often an observer that went on was fed by somebody else than before.</summary>
    public required int SourcesChanged { get; init; }

    /// <summary>Sessions whose watches were held against what they read; only with a history.</summary>
    public required int WatchesChecked { get; init; }

    public required int WatchesFailed { get; init; }

    public required Percentiles QuorumFailoverMs { get; init; }

    public required Percentiles PartitionFailoverMs { get; init; }

    public required Percentiles FrozenLeaderGapMs { get; init; }

    /// <summary>Why the run could not be brought to its end; null if it was.</summary>
    [JsonIgnore]
    public string? Failure { get; init; }

    [JsonIgnore]
    public bool Passed => Failure is null && WritesLost == 0 && DoubleLeaders == 0 && ForeignEphemeralsLost == 0 && LocalReadsFailed == 0
        && WatchesFailed == 0;

    public override string Describe() => string.Create(
        System.Globalization.CultureInfo.InvariantCulture,
        $"""
        {(Passed ? "PASSED" : "FAILED")}: {WritesAcked} writes acknowledged, {WritesLost} lost; {DoubleLeaders} double leaders; {Kills} kills, {Freezes} freezes.
        Ephemerals of living brokers lost: {ForeignEphemeralsLost}. Local reads failed: {LocalReadsFailed}. Sessions whose watches missed something: {WatchesFailed}.
        Quorum failover:    {QuorumFailoverMs}
        Partition failover: {PartitionFailoverMs}
        Frozen leader, gap: {FrozenLeaderGapMs}
        """);
}

/// <summary>The middle and the worst of some durations in milliseconds; null if there were none.</summary>
internal sealed record Percentiles(double? P50, double? Max)
{
    public static Percentiles Of(IReadOnlyList<double> values)
    {
        if (values.Count == 0)
            return new(null, null);
        double[] sorted = [.. values.Order()];
        return new(Math.Round(sorted[(sorted.Length - 1) / 2], 1), Math.Round(sorted[^1], 1));
    }

    public override string ToString() =>
        P50 is null ? "not measured"
            : string.Create(System.Globalization.CultureInfo.InvariantCulture, $"p50 {P50:0.0} ms, max {Max:0.0} ms");
}
