using System.Diagnostics;

namespace RaftKit.Chaos.Disk;

/// <summary>A member's disk: an ext4 of its own in a file, mounted where the member keeps its data.</summary>
internal sealed class MemberDisk
{
    private const string Size = "2G"; // A file with holes: only what is written takes place.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(20);

    private readonly string _device;
    private readonly string _folder;

    private MemberDisk(string device, string folder) => (_device, _folder) = (device, folder);

    public static async Task<MemberDisk> MakeAsync(string image, string folder)
    {
        await Command.RunAsync("truncate", "--size", Size, image);
        await Command.RunAsync("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,nodiscard", image);
        var disk = new MemberDisk((await Command.RunAsync("losetup", "--find", "--show", image)).Trim(), Directory.CreateDirectory(folder).FullName);
        await disk.MountAsync();
        return disk;
    }

    public void CutPower(PowerCut how) => Ext4.ShutDown(_folder, how);

    /// <summary>The power is back. Whoever used it must be gone, or about to.</summary>
    /// <param name="check">Replay the journal and check the file system before it is mounted; else the kernel replays it in mounting.</param>
    public async Task ComeBackAsync(bool check)
    {
        await UnmountAsync();
        if (check)
            await CheckAsync();
        await MountAsync();
    }

    /// <summary>Unmounts and detaches all of a run's disks.</summary>
    /// <param name="mounts">Below which they are mounted.</param>
    /// <param name="images">Below which their files are.</param>
    public static async Task RemoveAllAsync(string mounts, string images)
    {
        foreach (var mount in await File.ReadAllLinesAsync("/proc/mounts"))
        {
            // Lazily: whoever was killed just now may still be on its way.
            if (mount.Split(' ') is [_, var folder, ..] && folder.StartsWith(mounts + "/", StringComparison.Ordinal))
                await Command.TryAsync(null, "umount", "--lazy", folder);
        }

        foreach (var loop in Command.Lines((await Command.TryAsync(null, "losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE")).Output))
        {
            if (loop.Split(' ', StringSplitOptions.RemoveEmptyEntries) is [var device, var image, ..] && image.StartsWith(images + "/", StringComparison.Ordinal))
                await Command.TryAsync(null, "losetup", "--detach", device);
        }
    }

    // 1: it was repaired, as a journal is by being replayed. 2 and 4: there was damage that it would not mend without being asked. Above: it could not check.
    private async Task CheckAsync()
    {
        var (code, output, errors) = await Command.TryAsync(null, "e2fsck", "-f", "-p", _device);
        if (code is not (0 or 1))
        {
            var what = $"e2fsck of {_device}, which is {_folder}, ended with {code}: {errors.Trim()} {output.Trim()}";
            throw code is > 1 and < 8 ? new FindingException(what) : new CommandFailedException(what);
        }
    }

    private Task MountAsync() => Command.RunAsync("mount", "-t", "ext4", "-o", "noatime", _device, _folder);

    private async Task UnmountAsync()
    {
        var began = Stopwatch.GetTimestamp();
        while (await Command.TryAsync(null, "umount", _folder) is { Code: not 0 } failed)
        {
            if (Stopwatch.GetElapsedTime(began) > Patience)
                throw new CommandFailedException($"{_folder} could not be unmounted: {failed.Errors.Trim()}");
            await Task.Delay(LookEvery);
        }
    }
}
