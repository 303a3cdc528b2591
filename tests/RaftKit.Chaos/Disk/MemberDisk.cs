using System.Diagnostics;

namespace RaftKit.Chaos.Disk;

/// <summary>A member's disk: an ext4 of its own in a file, mounted where the member keeps its data.</summary>
internal sealed class MemberDisk
{
    private const int Block = 4096;
    private const string Size = "2G"; // A file with holes: only what is written takes place.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(20);

    private readonly string _device;
    private readonly string _folder;

    private MemberDisk(string device, string folder) => (_device, _folder) = (device, folder);

    public static async Task<MemberDisk> MakeAsync(string image, string folder)
    {
        await Command.RunAsync("truncate", "--size", Size, image);
        await Command.RunAsync("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,nodiscard", "-m", "0", image);
        var disk = new MemberDisk(
            (await Command.RunAsync("losetup", "--find", "--show", image)).Trim(), Directory.CreateDirectory(folder).FullName);
        await disk.MountAsync();
        return disk;
    }

    /// <summary>Where it is mounted.</summary>
    public string Folder => _folder;

    /// <summary>Removes all of the member's files.</summary>
    public void Empty()
    {
        foreach (var file in Directory.GetFiles(_folder))
            File.Delete(file);
    }

    public DirectoryCopy Copy() => new(_folder);

    /// <summary>Puts those files in the place of all that are there.</summary>
    public void PutBack(DirectoryCopy copy)
    {
        Empty();
        copy.WriteTo(_folder);
    }

    /// <summary>Takes every block that is free.</summary>
    /// <returns>How many bytes there were.</returns>
    public long Fill()
    {
        var free = Free;
        for (var (size, piece) = (free, 0); size >= Block; piece++)
        {
            try
            {
                // Allots blocks, and writes none.
                using var ballast = File.OpenHandle(
                    Path.Combine(Ballast, $"ballast-{piece}"), FileMode.CreateNew, FileAccess.Write, preallocationSize: size);
                size = Math.Min(size, Free / Block * Block);
            }
            catch (IOException)
            {
                size /= 2;
            }
        }

        return free;
    }

    /// <summary>Gives back what <see cref="Fill"/> took.</summary>
    public void Drain()
    {
        foreach (var ballast in Directory.GetFiles(Ballast, "ballast-*"))
            File.Delete(ballast);
    }

    private long Free => new DriveInfo(_folder).AvailableFreeSpace;

    // Every ext4 has it, so no member may mind it.
    private string Ballast => Path.Combine(_folder, "lost+found");

    public void CutPower(PowerCut how) => Ext4.ShutDown(_folder, how);

    /// <summary>The power is back. Whoever used it must be gone, or about to.</summary>
    /// <param name="check">
    /// Replay the journal and check the file system before it is mounted; else the kernel replays it in mounting.
    /// </param>
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

        foreach (var loop in Command.Lines(
            (await Command.TryAsync(null, "losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE")).Output))
        {
            if (loop.Split(' ', StringSplitOptions.RemoveEmptyEntries) is [var device, var image, ..]
                && image.StartsWith(images + "/", StringComparison.Ordinal))
                await Command.TryAsync(null, "losetup", "--detach", device);
        }
    }

    // 1: it was repaired, as a journal is by being replayed. 2 and 4: there was damage that it would not mend without being asked. Above:
    // it could not check.
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
