using RaftKit.Chaos.Faults;

namespace RaftKit.Chaos;

/// <summary>What the command line asks for.</summary>
internal sealed record ChaosOptions
{
    public required int Members { get; init; }

    public required TimeSpan RunFor { get; init; }

    public required int Seed { get; init; }

    /// <summary>What strikes.</summary>
    public required IReadOnlyList<Fault> Faults { get; init; }

    public string? History { get; init; }

    public bool Json { get; init; }
}
