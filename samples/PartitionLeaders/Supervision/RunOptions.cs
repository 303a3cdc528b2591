namespace PartitionLeaders.Supervision;

/// <summary>What a user asks for.</summary>
internal sealed record RunOptions
{
    public required Cluster Cluster { get; init; }

    /// <summary>For how long faults are injected; zero: until Ctrl-C.</summary>
    public required TimeSpan RunFor { get; init; }

    /// <summary>After how many entries members take a snapshot; null: as the library does.</summary>
    public long? SnapshotEvery { get; init; }

    /// <summary>For how long a leader is promised that nobody else leads, in milliseconds; 0: reads ask a quorum.</summary>
    public int LeaderLeaseMs { get; init; }

    /// <summary>Zero: never.</summary>
    public required TimeSpan KillEvery { get; init; }

    /// <summary>Zero: never.</summary>
    public required TimeSpan FreezeEvery { get; init; }

    /// <summary>Null: a temporary folder, removed at the end.</summary>
    public string? DataDirectory { get; init; }

    public string? HistoryFile { get; init; }

    /// <summary>The address of each broker's member, in the order of their ids. Null: free ports on loopback.</summary>
    public IReadOnlyList<string>? Addresses { get; init; }

    /// <summary>
    /// A program that each broker is started through: it gets the broker's id and its command line. Null: they are started as they are.
    /// </summary>
    public string? Launcher { get; init; }

    /// <summary>Somebody tells on standard input whom they cut off, and is gone when it ends.</summary>
    public bool Attended { get; init; }

    public bool Json { get; init; }

    /// <summary>How long the quorum waits for a silent broker. Failovers do not wait for it: they go by proof of death.</summary>
    public required TimeSpan SessionTimeout { get; init; }

    /// <summary>Whether a broker that refuses connections counts as dead without proof.</summary>
    public bool ExpireOnRefused { get; init; }

    public TimeSpan FreezeFor => 3 * SessionTimeout;
}
