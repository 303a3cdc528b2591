namespace RaftKit.Node.Levels;

/// <summary>Which levels of a feature a process supports.</summary>
/// <param name="Min">The lowest, from 1.</param>
/// <param name="Max">The highest.</param>
public readonly record struct FeatureRange(int Min, int Max)
{
    /// <summary>What every process supports of a feature that it does not know: the level at which all of them begin.</summary>
    internal static FeatureRange FirstOnly => new(1, 1);

    /// <summary>Whether the level is one of them.</summary>
    public bool Contains(int level) => level >= Min && level <= Max;

    /// <inheritdoc/>
    public override string ToString() => $"{Min}..{Max}";
}
