using System.Globalization;
using RaftKit.Consensus;
using RaftKit.Node.Log;

namespace RaftKit.Node.Tests.Log;

/// <summary>
/// This assembly run as a program: writes entries to a real directory, and says after each sync how many are durable. For tests that kill
/// it, or fail its system calls.
/// </summary>
internal static class LogChild
{
    public static int Main(string[] arguments)
    {
        if (arguments is ["golden", var folder])
            return GoldenDirectories.WriteAll(folder);
        try
        {
            var disk = new DiskLogDirectory(arguments[0]);
            using var held = disk.Lock();
            using var log = SegmentedLog.Open(disk, LogSamples.Small, out _);
            Console.WriteLine("open");
            for (var index = log.Next.Value; index <= long.Parse(arguments[1], CultureInfo.InvariantCulture); index++)
            {
                log.Write(LogSamples.Batch(1, 1, LogSamples.Entry(index, 1, $"entry {index}")));
                log.Sync();
                Console.WriteLine($"synced {index}");
            }
            return 0;
        }
        catch (LogFailedException failure)
        {
            Console.WriteLine($"failed: {failure.Message}");
            return 3;
        }
    }
}
