using System.Diagnostics;
using RaftKit.Node.Log;

namespace RaftKit.Load.Loads;

/// <summary>What the disk can do at best: 4 KiB written over a zero-filled file, then fdatasync, one after the other.</summary>
internal static class RawFsync
{
    private const int Page = 4096;
    private const int Pages = 8192;
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(1.5);

    public static double MeasurePerSecond(string directory)
    {
        var path = Path.Combine(directory, "raw-fsync");
        using var file = File.OpenHandle(path, FileMode.Create, FileAccess.Write, options: FileOptions.DeleteOnClose);
        var zeros = new byte[Page * 256];
        for (long offset = 0; offset < (long)Pages * Page; offset += zeros.Length)
            RandomAccess.Write(file, zeros, offset);
        NativeFile.SyncData(file, path);

        var page = new byte[Page];
        Random.Shared.NextBytes(page);
        var began = Stopwatch.GetTimestamp();
        long count = 0;
        while (Stopwatch.GetElapsedTime(began) < Window)
        {
            RandomAccess.Write(file, page, count++ % Pages * Page);
            NativeFile.SyncData(file, path);
        }

        return count / Stopwatch.GetElapsedTime(began).TotalSeconds;
    }
}
