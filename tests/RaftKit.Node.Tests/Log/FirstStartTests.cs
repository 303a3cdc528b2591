using RaftKit.Consensus;
using RaftKit.Node.Log;
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

    [Fact]
    public void What_a_first_start_left_that_was_cut_short_is_cleared_away()
    {
        // Everything but the identity, which comes last.
        using (var log = SegmentedLog.Open(_disk, new SegmentedLogOptions(), out _))
        {
            log.Write(new LogBatch { Term = new(1), Vote = MemberId.None,
                Entries = [new Entry(new(1), new(1), EntryKind.Membership, 0, MembershipCodec.Encode(Membership.Empty))] });
            log.Sync();
        }
        Put(IdentityFile.AsideName, "half");
        var problem = Assert.Single(LogVerifier.Verify(_disk, default).Problems, p => p.Kind == LogProblemKind.MissingIdentity);
        Assert.False(problem.PreventsStart);

        using var again = new LoopHarness(directory: _disk).Lead();

        Assert.True(_disk.Exists(IdentityFile.Name));
        Assert.False(_disk.Exists(IdentityFile.AsideName));
    }

    private void Put(string name, string text)
    {
        var bytes = System.Text.Encoding.UTF8.GetBytes(text);
        using var file = _disk.Create(name, bytes.Length);
        file.Write(0, bytes);
        file.Sync();
        _disk.Sync();
    }

    private static Dictionary<string, string> Contents(MemoryDirectory disk) =>
        disk.Files.ToDictionary(f => f.Key, f => Convert.ToHexString(f.Value.Bytes));
}
