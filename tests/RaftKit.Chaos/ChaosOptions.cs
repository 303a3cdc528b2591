using RaftKit.Chaos.Faults;

namespace RaftKit.Chaos;

/// <summary>What the command line asks for.</summary>
internal sealed record ChaosOptions
{
    private const int FirstObserver = 256;

    public required int Members { get; init; }

    public required int Observers { get; init; }

    /// <summary>The numbers of all processes, members first.</summary>
    public IReadOnlyList<int> Processes => [.. Enumerable.Range(1, Members), .. Enumerable.Range(FirstObserver, Observers)];

    public static bool IsObserver(int id) => id >= FirstObserver;

    public required TimeSpan RunFor { get; init; }

    public required int Seed { get; init; }

    /// <summary>What strikes.</summary>
    public required IReadOnlyList<Fault> Faults { get; init; }

    public string? History { get; init; }

    public bool Json { get; init; }
}
