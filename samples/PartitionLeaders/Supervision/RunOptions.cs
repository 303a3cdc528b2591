namespace PartitionLeaders.Supervision;

/// <summary>What a user asks for.</summary>
internal sealed record RunOptions
{
    public required Cluster Cluster { get; init; }

    /// <summary>For how long faults are injected; zero: until Ctrl-C.</summary>
    public required TimeSpan RunFor { get; init; }

    /// <summary>Zero: never.</summary>
    public required TimeSpan KillEvery { get; init; }

    /// <summary>Zero: never.</summary>
    public required TimeSpan FreezeEvery { get; init; }

    /// <summary>Null: a temporary folder, removed at the end.</summary>
    public string? DataDirectory { get; init; }

    public string? HistoryFile { get; init; }

    public bool Json { get; init; }

    /// <summary>How long the quorum waits for a silent broker. Failovers do not wait for it: they go by proof of death.</summary>
    public TimeSpan SessionTimeout { get; } = TimeSpan.FromSeconds(2);

    public TimeSpan FreezeFor => 3 * SessionTimeout;
}
