using RaftKit.Chaos.Clock;

namespace RaftKit.Chaos;

/// <summary>What the machine must have. A run without some of its faults would prove less than it says, so there is none.</summary>
internal static class Requirements
{
    private static readonly (string Program, string Package)[] Programs =
    [
        ("ip", "iproute2"), ("ss", "iproute2"), ("nft", "nftables"), ("strace", "strace"), ("mkfs.ext4", "e2fsprogs"),
        ("e2fsck", "e2fsprogs"),
        ("losetup", "mount"), ("mount", "mount"), ("nsenter", "util-linux"),
    ];

    /// <summary>What it lacks, in words; null if nothing.</summary>
    public static string? Missing()
    {
        if (!OperatingSystem.IsLinux())
            return "This machine does not run Linux: network namespaces, nftables and ext4 are needed.";
        var folders = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Concat(["/usr/sbin", "/sbin"]).ToArray();
        var missing = Programs.Where(p => !folders.Any(folder => File.Exists(Path.Combine(folder, p.Program)))).ToList();
        if (!FakeTime.Exists)
            missing.Add(("libfaketimeMT.so.1", "faketime"));
        if (missing.Count > 0)
        {
            return $"This machine lacks {string.Join(", ", missing.Select(m => m.Program))}: "
                + $"apt-get install {string.Join(' ', missing.Select(m => m.Package).Distinct())}";
        }

        return Environment.IsPrivilegedProcess
            ? null : "This needs the rights of root: network namespaces, mounts, and strace of other processes are not for everybody. Run it as root.";
    }
}
