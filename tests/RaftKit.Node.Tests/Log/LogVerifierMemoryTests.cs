using RaftKit.Node.Log;
using static RaftKit.Node.Tests.Log.LogSamples;

namespace RaftKit.Node.Tests.Log;

/// <summary>Measured on the whole process, and so with no other test beside it.</summary>
[Collection(Alone)]
[CollectionDefinition(Alone, DisableParallelization = true)]
public sealed class LogVerifierMemoryTests
{
    private const string Alone = "alone: memory of the process";

    [Fact]
    public void Its_memory_does_not_grow_with_the_log()
    {
        using var directory = new TemporaryDirectory();
        var disk = new DiskLogDirectory(directory.Path);
        using (var log = SegmentedLog.Open(disk, new SegmentedLogOptions { SegmentBytes = 1 << 20, FirstSegmentBytes = 1 << 20 }, out _))
        {
            for (var index = 1; index <= 16 * 200; index += 16)
                log.Write(Batch(1, 1, [.. Enumerable.Range(index, 16).Select(i => Entry(i, 1, new string('x', 5000)))]));
            log.Sync();
        }

        var before = GC.GetTotalMemory(forceFullCollection: true);
        var most = before;
        var report = LogVerifier.Verify(
            new Watched(
                new ReadOnlyLogDirectory(directory.Path), () =>
                most = Math.Max(most, GC.GetTotalMemory(forceFullCollection: true))), default);
        Assert.Equal(3200, report.Entries);
        // The log has 16 MB.
        Assert.InRange(most - before, 0, 4 << 20);
        Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, 4 << 20);
    }

    /// <summary>Says when a file is opened.</summary>
    private sealed class Watched(ILogDirectory inner, Action opened) : ILogDirectory
    {
        public string Location => inner.Location;

        public IDisposable Lock() => inner.Lock();

        public IReadOnlyList<string> List() => inner.List();

        public bool Exists(string name) => inner.Exists(name);

        public ILogFile Create(string name, long length) => inner.Create(name, length);

        public ILogFile Open(string name)
        {
            opened();
            return inner.Open(name);
        }

        public void Rename(string from, string to) => inner.Rename(from, to);

        public void Delete(string name) => inner.Delete(name);

        public void Sync() => inner.Sync();
    }
}
