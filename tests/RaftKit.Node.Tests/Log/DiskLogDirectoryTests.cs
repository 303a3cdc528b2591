using System.Diagnostics;
using RaftKit.Consensus;
using RaftKit.Node.Log;
using static RaftKit.Node.Tests.Log.LogSamples;

namespace RaftKit.Node.Tests.Log;

/// <summary>The real directory: real files, real processes, failing system calls.</summary>
public sealed class DiskLogDirectoryTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void Created_files_are_filled_with_written_zeros()
    {
        var disk = new DiskLogDirectory(Path.Combine(_directory.Path, "new", "deep"));
        using (var file = disk.Create("a", 1 << 20))
        {
            Assert.Equal(1 << 20, file.Length);
            file.Sync();
        }

        // Blocks on the disk, not a hole: overwriting them changes no metadata.
        using var stat = Process.Start(
            new ProcessStartInfo("stat", ["-c", "%b", Path.Combine(disk.Location, "a")]) { RedirectStandardOutput = true })!;
        Assert.True(int.Parse(stat.StandardOutput.ReadToEnd(), System.Globalization.CultureInfo.InvariantCulture) >= (1 << 20) / 512);
        Assert.Throws<LogFailedException>(() => disk.Create("a", 1));
        Assert.Throws<LogFailedException>(() => disk.Open("b"));
    }

    [Theory, InlineData("file", "is a file"), InlineData("file/raft", "is a file"), InlineData("file/deep/raft", "is a file")]
    public void A_directory_that_cannot_be_made_is_refused_with_what_is_in_the_way_and_what_to_do(string path, string reason)
    {
        var file = Path.Combine(_directory.Path, "file");
        File.WriteAllText(file, "somebody's");

        var refused = Assert.Throws<IOException>(() => new DiskLogDirectory(Path.Combine(_directory.Path, path)));

        Assert.StartsWith(
            $"There is no directory {Path.Combine(_directory.Path, path)}, and none can be made there: {file} {reason}. Make it, ",
            refused.Message, StringComparison.Ordinal);
        Assert.Equal("somebody's", File.ReadAllText(file));
    }

    // Nothing can be made there, not by root either.
    [Theory, InlineData("/proc/raft"), InlineData("/proc/deep/raft")]
    public void A_directory_in_a_place_where_nothing_can_be_made_is_refused_with_that_place(string path)
    {
        var refused = Assert.Throws<IOException>(() => new DiskLogDirectory(path));

        Assert.Contains(
            $"There is no directory {path}, and none can be made there: this process can make nothing in /proc (", refused.Message,
            StringComparison.Ordinal);
        Assert.EndsWith("or name another one on a local disk.", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Names_are_created_renamed_over_others_listed_and_deleted()
    {
        var disk = new DiskLogDirectory(_directory.Path);
        disk.Create("a", 10).Dispose();
        disk.Create("b", 20).Dispose();
        disk.Rename("a", "b");
        disk.Sync();

        Assert.Equal(["b"], disk.List());
        Assert.False(disk.Exists("a"));
        using (var file = disk.Open("b"))
        {
            Assert.Equal(10, file.Length);
            file.Write(8, [1, 2, 3, 4]);
            var read = new byte[10];
            Assert.Equal(4, file.Read(8, read));
            Assert.Equal([1, 2, 3, 4], read[..4]);
        }
        disk.Delete("b");
        Assert.Empty(disk.List());
    }

    [Fact]
    public void One_directory_has_one_holder_and_the_next_gets_it_when_that_is_done()
    {
        var disk = new DiskLogDirectory(_directory.Path);
        using (disk.Lock())
        {
            var refused = Assert.Throws<DirectoryInUseException>(() => new DiskLogDirectory(_directory.Path).Lock());
            Assert.Contains($"process {Environment.ProcessId}", refused.Message, StringComparison.Ordinal);
        }
        disk.Lock().Dispose();
    }

    [Fact]
    public void A_process_killed_in_the_middle_loses_neither_the_lock_for_others_nor_what_it_synced()
    {
        for (var round = 1; round <= 2; round++)
        {
            using var child = Start(Dotnet(), ["exec", typeof(LogChild).Assembly.Location, _directory.Path, "1000000"]);
            var synced = 0L;
            while (synced < round * 200)
                synced = Synced(child.StandardOutput.ReadLine()) ?? synced;
            child.Kill();

            // At once: the kernel may still be tearing it down.
            var disk = new DiskLogDirectory(_directory.Path);
            using var held = disk.Lock();
            while (child.StandardOutput.ReadLine() is { } line)
                synced = Synced(line) ?? synced;
            using var log = SegmentedLog.Open(disk, Small, out var found);

            Assert.True(found.Entries.Count >= synced, $"{synced} synced, {found.Entries.Count} found");
            Assert.All(found.Entries, entry =>
                Assert.Equal($"entry {entry.Index}", System.Text.Encoding.UTF8.GetString(entry.Payload.Span)));
            child.WaitForExit();
        }
    }

    [Theory]
    [InlineData("fdatasync:error=EIO:when=9", "errno 5", "acknowledges nothing of it")]
    [InlineData("pwrite64:error=ENOSPC:when=15", "errno 28", "The disk is full")]
    [InlineData("fsync:error=EIO:when=2", "fsync of", "errno 5")]
    public void A_system_call_that_fails_stops_the_log_and_is_reported(string injection, string errno, string meaning)
    {
        Assert.True(File.Exists("/usr/bin/strace"), "strace is missing: apt-get install -y strace");
        var call = injection[..injection.IndexOf(':', StringComparison.Ordinal)];
        using var child = Start(
            "/usr/bin/strace",
            ["-f", "-qq", "-o", "/dev/null", "-e", $"trace={call}", "-e", $"inject={injection}",
                Dotnet(), "exec", typeof(LogChild).Assembly.Location, _directory.Path, "300"]);
        var lines = child.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        child.WaitForExit();

        var failure = lines.SingleOrDefault(line => line.StartsWith("failed: ", StringComparison.Ordinal));
        Assert.True(failure is not null, string.Join('\n', lines));
        Assert.Contains(errno, failure, StringComparison.Ordinal);
        Assert.Contains(meaning, failure, StringComparison.Ordinal);
        Assert.Contains(_directory.Path, failure, StringComparison.Ordinal);
        Assert.Equal(3, child.ExitCode);

        // Nothing was acknowledged after it, and what was before it is there.
        var synced = lines.Select(Synced).Max() ?? 0;
        using var log = SegmentedLog.Open(new DiskLogDirectory(_directory.Path), Small, out var found);
        Assert.InRange(found.Entries.Count, synced, synced + 1);
    }

    private static long? Synced(string? line) =>
        line is not null && line.StartsWith("synced ", StringComparison.Ordinal)
            ? long.Parse(line.AsSpan(7), System.Globalization.CultureInfo.InvariantCulture) : null;

    private static Process Start(string program, string[] arguments) =>
        Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true })!;

    private static string Dotnet() =>
        Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet" ? Environment.ProcessPath!
            : Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";
}
