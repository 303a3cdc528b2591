using System.Text.Json;
using System.Text.Json.Serialization;

namespace PartitionLeaders.Reports;

/// <summary>
/// What a broker tells the supervisor: one JSON object a line on its standard output. Times are <see cref="System.Diagnostics.Stopwatch"/>
/// timestamps: on Linux that clock is the machine's, so the supervisor can compare them with its own.
/// </summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "report")]
[JsonDerivedType(typeof(Member), "member")]
[JsonDerivedType(typeof(Registered), "registered")]
[JsonDerivedType(typeof(EphemeralGone), "ephemeral-gone")]
[JsonDerivedType(typeof(Leading), "leading")]
[JsonDerivedType(typeof(Resigned), "resigned")]
[JsonDerivedType(typeof(Fenced), "fenced")]
[JsonDerivedType(typeof(Progress), "progress")]
[JsonDerivedType(typeof(Suspended), "suspended")]
[JsonDerivedType(typeof(HistoryCall), "call")]
[JsonDerivedType(typeof(HistoryReturn), "return")]
[JsonDerivedType(typeof(LocalRead), "local-read")]
[JsonDerivedType(typeof(WatchesChecked), "watches-checked")]
[JsonDerivedType(typeof(WritersStopped), "writers-stopped")]
[JsonDerivedType(typeof(PartitionRead), "partition")]
[JsonDerivedType(typeof(ReadEnded), "read-ended")]
internal abstract record BrokerReport
{
    /// <summary>What the embedded member knows of itself, whenever it changes.</summary>
    /// <param name="Role">Its role.</param>
    /// <param name="Leader">It leads, and is ready.</param>
    /// <param name="Term">Its term.</param>
    /// <param name="Incarnation">The life under which the quorum knows its number; 0: none.</param>
    /// <param name="Voter">That life votes.</param>
    /// <param name="Source">Who feeds it; 0: nobody.</param>
    public sealed record Member(string Role, bool Leader, long Term, int Incarnation, bool Voter, int Source) : BrokerReport;

    /// <summary>The broker's ephemeral znode was created.</summary>
    public sealed record Registered(long Zxid, long At) : BrokerReport;

    /// <summary>Somebody's ephemeral znode under /brokers was removed.</summary>
    public sealed record EphemeralGone(int Broker, long Zxid, long At) : BrokerReport;

    /// <summary>Leadership of a partition was granted.</summary>
    public sealed record Leading(int Partition, long Token, long At) : BrokerReport;

    /// <summary>Leadership of a partition ended.</summary>
    public sealed record Resigned(int Partition, long Token) : BrokerReport;

    /// <summary>A leader's write was refused because a newer leader had taken over: what fencing is for.</summary>
    public sealed record Fenced(int Partition, long Token) : BrokerReport;

    /// <summary>What was acknowledged lately.</summary>
    public sealed record Progress(
        long At, IReadOnlyList<AckedRange> Acked, IReadOnlyList<ProbeAck> Probes, long LocalReads, long LocalReadsFailed) : BrokerReport;

    /// <summary>
    /// This process did not run for a while (SIGSTOP, or no processor): whatever it owned may have expired, and nobody is to blame.
    /// </summary>
    public sealed record Suspended(long From, long To) : BrokerReport;

    /// <summary>A history client is about to call. Told before the call, so that it is known even of a client that dies in it.</summary>
    public sealed record HistoryCall(int Client, HistoryOperation Operation) : BrokerReport;

    /// <summary>The client's call ended.</summary>
    public sealed record HistoryReturn(int Client, HistoryOperation Operation) : BrokerReport;

    /// <summary>A read of the member's own copy of the tree, which may be behind: by anything, or by as much as the read says.</summary>
    public sealed record LocalRead(HistoryOperation Operation) : BrokerReport;

    /// <summary>What a session was told by watches was held against what it read.</summary>
    /// <param name="Failure">What did not fit; null if all did.</param>
    public sealed record WatchesChecked(string? Failure) : BrokerReport;

    /// <summary>Every write has ended and every acknowledgement was told.</summary>
    public sealed record WritersStopped : BrokerReport;

    /// <summary>A partition as a linearizable read found it.</summary>
    public sealed record PartitionRead(int Partition, string State, string Leaders) : BrokerReport;

    /// <summary>All partitions were read, or not, and why.</summary>
    public sealed record ReadEnded(string? Error) : BrokerReport;

    public string ToLine() => JsonSerializer.Serialize(this, ReportJson.Default.BrokerReport);

    public static BrokerReport? Parse(string line) => JsonSerializer.Deserialize(line, ReportJson.Default.BrokerReport);
}

/// <summary>Records of a partition that were acknowledged to one leader, without gaps.</summary>
internal readonly record struct AckedRange(int Partition, long Token, long First, long Last);

/// <summary>An acknowledged write of a broker's probe.</summary>
/// <param name="Submitted">When it was handed to the session.</param>
/// <param name="Acked">When it was acknowledged.</param>
/// <param name="Term">The term that the member was in by then.</param>
internal readonly record struct ProbeAck(long Submitted, long Acked, long Term);

/// <summary>
/// What the supervisor tells a broker, line by line on its standard input. The end of the input means that the supervisor is gone.
/// </summary>
internal static class BrokerCommands
{
    public const string StopWriters = "stop-writers";
    public const string ReadPartitions = "read-partitions";
    public const string Stop = "stop";

    /// <summary>Followed by a zxid, in hexadecimal digits: some client, of whichever broker, has seen it.</summary>
    public const string Seen = "seen ";
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(BrokerReport))]
internal sealed partial class ReportJson : JsonSerializerContext;
