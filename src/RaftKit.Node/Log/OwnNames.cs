namespace RaftKit.Node.Log;

/// <summary>
/// What a member's files are called. A directory under such a name is none of RaftKit's, which makes none: it hides a file that was there,
/// or stands where one will be made, and then a start would take a log for lost, or end midway in an error of the system's.
/// </summary>
internal static class OwnNames
{
    public static bool Has(string name) => name is DiskLogDirectory.LockName or IdentityFile.Name or IdentityFile.AsideName or WitnessFile.Name
        || Segment.TryParse(name, out _) || Segment.TryParseUnfinished(name, out _) || SnapshotStore.IsSnapshot(name)
        || SnapshotStore.IsAside(name);

    /// <summary>The directories that stand where files belong.</summary>
    public static IReadOnlyList<string> InTheWay(ILogDirectory directory) => [.. directory.Folders().Where(Has)];

    /// <summary>Before the directory is taken: the lock is a file, too.</summary>
    /// <exception cref="DirectoryMismatchException">There are some. Nothing was changed.</exception>
    public static void Check(ILogDirectory directory)
    {
        if (InTheWay(directory) is { Count: > 0 } inTheWay)
        {
            throw new DirectoryMismatchException(
                $"{directory.Location} holds {string.Join(", ", inTheWay)}: a directory where a member has a file. Nothing was changed. "
                + "RaftKit makes no directories there. Move it away, and put the file back if it took the place of one.");
        }
    }
}
