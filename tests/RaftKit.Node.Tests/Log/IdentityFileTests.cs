using RaftKit.Consensus;
using RaftKit.Node.Log;

namespace RaftKit.Node.Tests.Log;

public sealed class IdentityFileTests
{
    private static readonly Guid Cluster = new("8c1f6a04-3b0e-4d6e-9a38-2f5f0c7d1e11");
    private readonly MemoryDirectory _disk = new(new Random(1));

    [Fact]
    public void A_new_directory_has_no_identity() => Assert.Null(IdentityFile.Open(_disk, new MemberId(2)));

    [Fact]
    public void Every_start_is_counted_durably_with_where_the_run_before_it_left_the_log()
    {
        IdentityFile.Write(_disk, Identity(0));
        for (var boot = 1; boot <= 5; boot++)
        {
            Assert.Equal(boot, IdentityFile.CountStart(_disk, IdentityFile.Open(_disk, new MemberId(1))!, 100 * boot).Boot);
            _disk.CutPower();
        }
        Assert.Equal([new RunEnd(0, 100), new(1, 200), new(2, 300), new(3, 400), new(4, 500)], IdentityFile.Read(_disk)!.RunEnds.Ends);
    }

    [Fact]
    public void Only_the_last_runs_are_remembered()
    {
        var ends = RunEnds.None;
        for (var boot = 1; boot <= 40; boot++)
            ends = ends.With(new RunEnd(boot, boot));

        Assert.Equal(RunEnds.Most, ends.Ends.Count);
        Assert.Null(ends.Of(40 - RunEnds.Most));
        Assert.Equal(40, ends.Of(40));
    }

    [Fact]
    public void A_directory_that_was_found_to_be_an_old_copy_is_refused_at_every_start_with_what_was_found()
    {
        IdentityFile.Write(_disk, Identity(3) with { RolledBack = "batch 9 was on its disk." });
        _disk.CutPower();

        for (var start = 0; start < 2; start++)
        {
            var refused = Assert.Throws<DirectoryRolledBackException>(() => IdentityFile.Open(_disk, new MemberId(1)));
            Assert.Contains("batch 9 was on its disk.", refused.Message, StringComparison.Ordinal);
        }
        Assert.Equal(3, IdentityFile.Read(_disk)!.Boot);
    }

    [Fact]
    public void What_was_written_is_read_back()
    {
        var identity = new DirectoryIdentity(new MemberId(255), 7, 1L << 40, Cluster, [new(1), new(255)])
        {
            RunEnds = new RunEnds([new(3, 1L << 50), new(4, 0)]), RolledBack = "why",
        };
        IdentityFile.Write(_disk, identity);
        _disk.CutPower();

        var read = IdentityFile.Read(_disk)!;

        Assert.Equal(identity with { Founders = read.Founders }, read);
        Assert.Equal(identity.Founders, read.Founders);
    }

    [Fact]
    public void The_longest_promise_of_any_start_is_remembered_by_all_later_ones()
    {
        IdentityFile.Write(_disk, Identity(0));
        foreach (var (promise, longest) in new[] { (0, 0), (100, 100), (0, 100), (50, 100), (200, 200) })
        {
            IdentityFile.CountStart(_disk, IdentityFile.Open(_disk, new MemberId(1))!, 7, TimeSpan.FromMilliseconds(promise));
            _disk.CutPower();
            Assert.Equal(TimeSpan.FromMilliseconds(longest), IdentityFile.Read(_disk)!.LongestPromise);
        }
    }

    [Fact]
    public void Another_members_directory_is_refused_naming_both()
    {
        IdentityFile.Write(_disk, new DirectoryIdentity(new MemberId(1), 1, 3, Cluster, []));

        var refused = Assert.Throws<DirectoryMismatchException>(() => IdentityFile.Open(_disk, new MemberId(2)));

        Assert.Contains("belongs to member 1, but member 2", refused.Message, StringComparison.Ordinal);
        Assert.Equal(3, IdentityFile.Read(_disk)!.Boot);
    }

    [Fact]
    public void A_crash_at_any_step_of_a_start_leaves_the_old_identity_or_the_new()
    {
        for (var step = 1; step < 40; step++)
        {
            var disk = new MemoryDirectory(new Random(step));
            IdentityFile.Write(disk, new DirectoryIdentity(new MemberId(1), 1, 3, Cluster, []));
            disk.PowerGoesAt = disk.Operations + step;
            var counted = false;
            try
            {
                IdentityFile.CountStart(disk, IdentityFile.Open(disk, new MemberId(1))!, 7);
                counted = true;
            }
            catch (IOException)
            {
                // The power went.
            }
            disk.CutPower();

            Assert.InRange(IdentityFile.Read(disk)!.Boot, counted ? 4 : 3, 4);
        }
    }

    [Fact]
    public void A_damaged_identity_is_refused_whichever_byte_it_is()
    {
        IdentityFile.Write(_disk, new DirectoryIdentity(new MemberId(1), 1, 3, Cluster, [new(1)]));
        var bytes = _disk.Files["identity"].Bytes;
        for (var at = 0; at < bytes.Length; at++)
        {
            var disk = _disk.Copy();
            disk.Files["identity"].Bytes[at] ^= 0x10;
            Assert.Throws<LogCorruptException>(() => IdentityFile.Read(disk));
            disk.Put("identity", bytes[..at]);
            Assert.Throws<LogCorruptException>(() => IdentityFile.Read(disk));
        }
    }

    private static DirectoryIdentity Identity(long boot) => new(new MemberId(1), 1, boot, Cluster, []);
}
