using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace RaftKit.Load.Parent;

/// <summary>A measurement, as it is printed.</summary>
internal abstract record MeasuredResult
{
    public abstract string ToJson();

    public abstract string ToText();

    protected static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}

/// <summary>What a load of operations came to.</summary>
internal sealed record LoadResult : MeasuredResult
{
    public required string Command { get; init; }

    public string? Kind { get; init; }

    public required int Members { get; init; }

    public required int Outstanding { get; init; }

    public required int Size { get; init; }

    public required double Seconds { get; init; }

    public required long Ops { get; init; }

    public required double OpsPerS { get; init; }

    public required double P50Ms { get; init; }

    public required double P99Ms { get; init; }

    public required double P999Ms { get; init; }

    public required double MaxMs { get; init; }

    public required double ServerCpuUsPerOp { get; init; }

    public required double AllocBytesPerOp { get; init; }

    public double? FsyncsPerS { get; init; }

    public double? WritesPerLeaderFsync { get; init; }

    public double? RawFsyncsPerS { get; init; }

    public override string ToJson() => JsonSerializer.Serialize(this, ResultJson.Default.LoadResult);

    public override string ToText() => Text(
        $"""
        {Command}{(Kind is null ? "" : " " + Kind)}: {Members} members, {Outstanding} outstanding, {Size} B, {Seconds:0.0} s
          {OpsPerS,12:0} a second      p50 {P50Ms:0.000} ms, p99 {P99Ms:0.000} ms, p99.9 {P999Ms:0.000} ms, max {MaxMs:0.0} ms
          {ServerCpuUsPerOp,12:0.00} us of all members' processors and {AllocBytesPerOp:0} B allocated in the leader's process per operation
          {FsyncsPerS ?? 0,12:0} fsyncs a second by the leader, {WritesPerLeaderFsync ?? 0:0.0} writes to each; the bare disk does {RawFsyncsPerS ?? 0:0} a second
        """);
}

/// <summary>How long the quorum took no writes when its leader went.</summary>
internal sealed record FailoverResult : MeasuredResult
{
    public string Command => "failover";

    public required string Fault { get; init; }

    public required int Members { get; init; }

    public required int Times { get; init; }

    public required double P50Ms { get; init; }

    public required double P99Ms { get; init; }

    public required double MaxMs { get; init; }

    public override string ToJson() => JsonSerializer.Serialize(this, ResultJson.Default.FailoverResult);

    public override string ToText() =>
        Text($"failover ({Fault}), {Members} members, {Times} times: p50 {P50Ms:0.0} ms, p99 {P99Ms:0.0} ms, max {MaxMs:0.0} ms");
}

/// <summary>What a pair of timeouts costs: in a frozen leader's gap, and in elections for nothing.</summary>
internal sealed record TimeoutsResult : MeasuredResult
{
    public string Command => "timeouts";

    public required int HeartbeatMs { get; init; }

    public required int ElectionMs { get; init; }

    public required int Members { get; init; }

    public required int Times { get; init; }

    public required double FrozenGapP50Ms { get; init; }

    public required double FrozenGapMaxMs { get; init; }

    public required double BusySeconds { get; init; }

    public required double BusyWritesPerS { get; init; }

    /// <summary>Terms that began in the busy time, in which every member ran.</summary>
    public required long NeedlessElections { get; init; }

    public override string ToJson() => JsonSerializer.Serialize(this, ResultJson.Default.TimeoutsResult);

    public override string ToText() => Text(
        $"""
        heartbeat {HeartbeatMs} ms, election timeout {ElectionMs} ms
          a frozen leader holds writes up for p50 {FrozenGapP50Ms:0.0} ms, max {FrozenGapMaxMs:0.0} ms ({Times} times)
          {NeedlessElections} needless elections in {BusySeconds:0} s with busy neighbours and {BusyWritesPerS:0} writes a second
        """);
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(LoadResult))]
[JsonSerializable(typeof(FailoverResult))]
[JsonSerializable(typeof(SnapshotResult))]
[JsonSerializable(typeof(CatchUpResult))]
[JsonSerializable(typeof(TimeoutsResult))]
internal sealed partial class ResultJson : JsonSerializerContext;
