namespace RaftKit.Load.Parent;

/// <summary>What a user asks for.</summary>
internal sealed record LoadOptions
{
    public required int Members { get; init; }

    /// <summary>Where the disk to measure is mounted; a folder below it is made, and removed at the end.</summary>
    public required string Data { get; init; }

    public required bool Json { get; init; }

    public int Outstanding { get; init; }

    public int Size { get; init; }

    public double Seconds { get; init; }

    public int Znodes { get; init; }

    public int Kills { get; init; }

    public bool Freeze { get; init; }

    /// <summary>Other timeouts for the members than the defaults.</summary>
    public MemberTimeouts? Timeouts { get; init; }

    public IReadOnlyList<LoadKind> Kinds { get; init; } = [];
}
