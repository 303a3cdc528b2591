using PartitionLeaders.Reports;
using PartitionLeaders.Supervision;

namespace PartitionLeaders.Display;

/// <summary>The run at a moment.</summary>
/// <param name="PartitionLeaders">By partition: the broker that leads it, null if none does.</param>
internal sealed record RunView(
    TimeSpan Elapsed, IReadOnlyList<BrokerView> Brokers, IReadOnlyList<int?> PartitionLeaders, long WritesAcked, int Kills, int Freezes,
    Percentiles QuorumFailover, Percentiles PartitionFailover, Percentiles FrozenLeaderGap);

/// <summary>A broker at a moment.</summary>
internal sealed record BrokerView(int Id, int Pid, string State, BrokerReport.Member Member, int PartitionsLed, double WritesPerSecond);
