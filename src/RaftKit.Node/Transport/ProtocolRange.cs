namespace RaftKit.Node.Transport;

/// <summary>
/// Which versions of the peer protocol a process speaks. Each side offers its own; the highest that both speak is used, so that a cluster
/// rolls from one version to the next, one process after the other: the new build speaks both.
/// </summary>
/// <param name="Lowest">The oldest that it still speaks.</param>
/// <param name="Highest">The newest.</param>
internal readonly record struct ProtocolRange(int Lowest, int Highest)
{
    /// <summary>
    /// What this build speaks. While that is one version, nothing that is sent depends on <see cref="PeerLink.Version"/>.
    /// </summary>
    public static readonly ProtocolRange Spoken = new(4, 4);

    /// <summary>Hellos up to this version named one, and no range.</summary>
    public const int LastWithoutRange = 3;

    /// <summary>The version for a link with a process that speaks the others; null when there is none.</summary>
    public int? Common(ProtocolRange theirs)
    {
        var highest = Math.Min(Highest, theirs.Highest);
        return highest >= Math.Max(Lowest, theirs.Lowest) ? highest : null;
    }

    public override string ToString() => $"{Lowest}..{Highest}";
}
