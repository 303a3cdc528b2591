using System.Text.Json;
using System.Text.Json.Serialization;

namespace PartitionLeaders.Brokers;

/// <summary>Everything that the supervisor tells a broker at its start; passed as one JSON argument.</summary>
/// <param name="Id">This broker, and the member of the quorum that it embeds.</param>
/// <param name="Cluster">All brokers and partitions.</param>
/// <param name="Addresses">The address of every broker's member, in the order of their ids.</param>
/// <param name="DataDirectory">Where this broker's member keeps its log.</param>
/// <param name="SessionTimeoutMs">How long the quorum waits for a silent broker before it takes its ephemerals away.</param>
/// <param name="ExpireOnRefused">Whether one that refuses connections counts as dead without proof.</param>
/// <param name="SnapshotEvery">After how many entries a snapshot replaces the log before it; null: as the library does.</param>
/// <param name="LeaderLeaseMs">For how long a leader is promised that nobody else leads; 0: reads ask a quorum.</param>
/// <param name="HistoryRun">Names the run to the clients that write a history; null: there are none.</param>
internal sealed record BrokerSettings(
    int Id, Cluster Cluster, IReadOnlyList<string> Addresses, string DataDirectory, int SessionTimeoutMs, bool ExpireOnRefused,
    long? SnapshotEvery, int LeaderLeaseMs, string? HistoryRun)
{
    [JsonIgnore]
    public TimeSpan SessionTimeout => TimeSpan.FromMilliseconds(SessionTimeoutMs);

    public static BrokerSettings Parse(string argument) =>
        JsonSerializer.Deserialize(argument, SettingsJson.Default.BrokerSettings) ?? throw new ArgumentException("No settings were given.");

    public string ToArgument() => JsonSerializer.Serialize(this, SettingsJson.Default.BrokerSettings);
}

[JsonSerializable(typeof(BrokerSettings))]
internal sealed partial class SettingsJson : JsonSerializerContext;
