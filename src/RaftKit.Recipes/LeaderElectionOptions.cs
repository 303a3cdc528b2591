namespace RaftKit.Recipes;

/// <summary>How a process contends.</summary>
public sealed class LeaderElectionOptions
{
    /// <summary>What others learn of this contender when it leads: an address, a name. Empty by default.</summary>
    public ReadOnlyMemory<byte> Data { get; init; }

    /// <summary>The time between retries after refusals comes from here. The system's clock by default.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
}
