using System.Globalization;
using RaftKit.Chaos.Disk;
using RaftKit.Chaos.Network;

namespace RaftKit.Chaos;

/// <summary>
/// What a run calls its things, and how the next one finds those of a run that was killed: the name holds the process that they belong to.
/// </summary>
internal static class Leftovers
{
    private const string Prefix = "rkchaos";

    public static string NameOfThisRun() => $"{Prefix}{Environment.ProcessId}";

    public static string FolderOf(string run) => Path.Combine(Path.GetTempPath(), run);

    /// <summary>
    /// Where the files are that hold a run's disks: in memory. What a power cut leaves is ext4's doing, wherever its blocks are; and this
    /// machine's own disk below would make every one of them as slow as all together.
    /// </summary>
    public static string DisksOf(string run) => Path.Combine("/dev/shm", run);

    public static async Task RemoveAsync()
    {
        foreach (var name in Names("/run/netns").Where(IsLeft))
            await MemberNetwork.RemoveAsync(name);
        foreach (var name in Names(Path.GetTempPath()).Concat(Names("/dev/shm")).Distinct().Where(IsLeft))
            await RemoveAsync(name);
    }

    /// <summary>Removes a run's files, and what still holds them.</summary>
    public static async Task RemoveAsync(string run)
    {
        await MemberDisk.RemoveAllAsync(FolderOf(run), DisksOf(run));
        foreach (var folder in new[] { FolderOf(run), DisksOf(run) }.Where(Directory.Exists))
            Directory.Delete(folder, recursive: true);
    }

    private static IEnumerable<string> Names(string folder) =>
        Directory.Exists(folder)
            ? [.. Directory.EnumerateFileSystemEntries(folder, $"{Prefix}*").Select(entry => Path.GetFileName(entry)!)]
            : [];

    // Its process is gone, or its id is somebody else's by now.
    private static bool IsLeft(string name)
    {
        var digits = name[Prefix.Length..].Split('-')[0];
        if (!int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var pid))
            return false;
        try
        {
            return pid == Environment.ProcessId
                || !File.ReadAllText($"/proc/{pid}/cmdline").Contains("RaftKit.Chaos", StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return true;
        }
    }
}
