using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Members;
using RaftKit.Node.Tests.Loop;
using Xunit;

namespace RaftKit.Node.Tests.Log;

/// <summary>A first start clears its directory; so it must be sure that nothing there was anybody's.</summary>
public sealed class FirstStartTests
{
    private readonly MemoryDirectory _disk = new(new Random(1));

    [Theory, InlineData("notes.txt"), InlineData("appsettings.json"), InlineData("20261122.log"), InlineData("my.snapshot.tmp.bak")]
    public void A_file_that_is_not_its_own_keeps_a_member_from_starting_and_stays(string name)
    {
        Put(name, "important");

        var refused = Assert.Throws<DirectoryMismatchException>(() => new LoopHarness(directory: _disk));

        Assert.Contains(name, refused.Message, StringComparison.Ordinal);
        Assert.Equal([name], _disk.Files.Keys);
        Assert.Equal("important", System.Text.Encoding.UTF8.GetString(_disk.Files[name].Bytes));
    }

    [Fact]
    public void A_log_whose_identity_was_lost_is_refused_and_stays()
    {
        using (new LoopHarness(directory: _disk).Lead())
        {
        }
        var disk = _disk.Copy();
        disk.Delete(IdentityFile.Name);
        var files = Contents(disk);
        Assert.NotEmpty(files);

        var refused = Assert.Throws<LogCorruptException>(() => new LoopHarness(directory: disk));

        Assert.Contains("has no file identity, and its log goes to entry", refused.Message, StringComparison.Ordinal);
        Assert.Equal(files, Contents(disk));
        var problem = Assert.Single(LogVerifier.Verify(disk.Copy(), default).Problems, p => p.Kind == LogProblemKind.MissingIdentity);
        Assert.True(problem.PreventsStart);
    }

    [Fact]
    public void Snapshots_whose_identity_was_lost_are_refused()
    {
        Put("0000000000000000020-0000000000000000005.snapshot", "of somebody");

        var refused = Assert.Throws<LogCorruptException>(() => new LoopHarness(directory: _disk));

        Assert.Contains("holds 0000000000000000020-0000000000000000005.snapshot", refused.Message, StringComparison.Ordinal);
        Assert.Single(_disk.Files);
    }

    [Theory]
    [InlineData(1, true)]
    // Who joins has nothing but its leader's term, which a forced quorum took far ahead.
    [InlineData((1 << 20) + 5, false)]
    public void What_a_first_start_left_that_was_cut_short_is_cleared_away(long term, bool founds)
    {
        // Everything but the identity, which comes last.
        using (var log = SegmentedLog.Open(_disk, new SegmentedLogOptions(), out _))
        {
            log.Write(new LogBatch { Term = new(term), Vote = MemberId.None,
                Entries = founds ? [new Entry(new(1), new(1), EntryKind.Membership, 0, MembershipCodec.Encode(Membership.Empty))] : [] });
            log.Sync();
        }
        Put(IdentityFile.AsideName, "half");
        var problem = Assert.Single(LogVerifier.Verify(_disk, default).Problems, p => p.Kind == LogProblemKind.MissingIdentity);
        Assert.False(problem.PreventsStart);

        using var again = new LoopHarness(directory: _disk).Lead();

        Assert.True(_disk.Exists(IdentityFile.Name));
        Assert.False(_disk.Exists(IdentityFile.AsideName));
    }

    [Theory]
    [InlineData("identity")]
    [InlineData("identity.tmp")]
    [InlineData("lock")]
    [InlineData("witness")]
    [InlineData("000000000007.log")]
    [InlineData("000000000007.new")]
    [InlineData("0000000000000000020-0000000000000000005.snapshot")]
    [InlineData("0000000000000000020-1.snapshot.tmp")]
    public async Task A_directory_where_a_member_has_a_file_is_refused_by_start_verifier_and_recovery_alike_and_stays(string name)
    {
        foreach (var hasLived in new[] { false, true })
        {
            using var folder = new TemporaryDirectory();
            var disk = new DiskLogDirectory(folder.Path);
            if (hasLived)
            {
                using var before = new LoopHarness(directory: disk).Lead();
            }
            var inTheWay = Path.Combine(folder.Path, name);
            File.Delete(inTheWay);
            Directory.CreateDirectory(inTheWay);
            File.WriteAllText(Path.Combine(inTheWay, "notes.txt"), "important");
            var files = Contents(folder.Path);

            var refused = Assert.Throws<DirectoryMismatchException>(() => new LoopHarness(directory: disk));
            var report = await LogVerifier.VerifyAsync(folder.Path);
            var notForced = Assert.Throws<DirectoryMismatchException>(() => LostQuorum.Open(disk));

            Assert.Equal(
                $"{folder.Path} holds {name}: a directory where a member has a file. Nothing was changed. "
                + "RaftKit makes no directories there. Move it away, and put the file back if it took the place of one.", refused.Message);
            Assert.Equal(refused.Message, notForced.Message);
            Assert.False(report.CanStart);
            var problem = Assert.Single(report.Problems, p => p.Kind == LogProblemKind.NotAFile);
            Assert.Equal((name, true), (problem.File, problem.PreventsStart));
            Assert.Contains("Move it away", problem.Advice, StringComparison.Ordinal);
            Assert.Equal(files, Contents(folder.Path));

            // Without it, each goes on as it would have.
            Directory.Delete(inTheWay, recursive: true);
            report = await LogVerifier.VerifyAsync(folder.Path);
            Assert.Equal(!(hasLived && name == IdentityFile.Name), report.CanStart);
            if (report.CanStart)
                new LoopHarness(directory: disk).Dispose();
        }
    }

    [Fact]
    public async Task A_directory_of_somebody_elses_is_no_matter_of_a_member()
    {
        using var folder = new TemporaryDirectory();
        Directory.CreateDirectory(Path.Combine(folder.Path, "lost+found"));
        using (new LoopHarness(directory: new DiskLogDirectory(folder.Path)).Lead())
        {
        }

        Assert.True((await LogVerifier.VerifyAsync(folder.Path)).IsSound);
        Assert.True(Directory.Exists(Path.Combine(folder.Path, "lost+found")));
    }

    private void Put(string name, string text)
    {
        var bytes = System.Text.Encoding.UTF8.GetBytes(text);
        using var file = _disk.Create(name, bytes.Length);
        file.Write(0, bytes);
        file.Sync();
        _disk.Sync();
    }

    private static Dictionary<string, string> Contents(string folder) =>
        Directory.GetFiles(folder, "*", SearchOption.AllDirectories).ToDictionary(
            file => file, file => Convert.ToHexString(File.ReadAllBytes(file)));

    private static Dictionary<string, string> Contents(MemoryDirectory disk) =>
        disk.Files.ToDictionary(f => f.Key, f => Convert.ToHexString(f.Value.Bytes));
}
