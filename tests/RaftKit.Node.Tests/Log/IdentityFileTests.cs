using RaftKit.Consensus;
using RaftKit.Node.Log;

namespace RaftKit.Node.Tests.Log;

public sealed class IdentityFileTests
{
    private static readonly Guid Cluster = new("8c1f6a04-3b0e-4d6e-9a38-2f5f0c7d1e11");
    private readonly MemoryDirectory _disk = new(new Random(1));

    [Fact]
    public void A_new_directory_becomes_the_members_and_has_no_life_yet()
    {
        var identity = IdentityFile.Open(_disk, new MemberId(2), founders: [new(1), new(2), new(3)]);

        Assert.Equal((new MemberId(2), 0, 1L, Guid.Empty), (identity.Member, identity.Incarnation, identity.Boot, identity.ClusterId));
        Assert.Equal([new MemberId(1), new MemberId(2), new MemberId(3)], identity.Founders);
    }

    [Fact]
    public void Every_start_is_counted_durably_before_anything_else()
    {
        for (var boot = 1; boot <= 5; boot++)
        {
            Assert.Equal(boot, IdentityFile.Open(_disk, new MemberId(2)).Boot);
            _disk.CutPower();
        }
    }

    [Fact]
    public void What_was_written_is_read_back()
    {
        var identity = new DirectoryIdentity(new MemberId(255), 7, 1L << 40, Cluster, [new(1), new(255)]);
        IdentityFile.Write(_disk, identity);
        _disk.CutPower();

        var read = IdentityFile.Read(_disk)!;

        Assert.Equal(identity with { Founders = read.Founders }, read);
        Assert.Equal(identity.Founders, read.Founders);
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
    public void Another_clusters_directory_is_refused_naming_both()
    {
        IdentityFile.Write(_disk, new DirectoryIdentity(new MemberId(1), 1, 3, Cluster, []));
        var other = Guid.Parse("00000000-0000-0000-0000-00000000000a");

        var refused = Assert.Throws<DirectoryMismatchException>(() => IdentityFile.Open(_disk, new MemberId(1), other));

        Assert.Contains(Cluster.ToString(), refused.Message, StringComparison.Ordinal);
        Assert.Contains(other.ToString(), refused.Message, StringComparison.Ordinal);
        Assert.Equal(4, IdentityFile.Open(_disk, new MemberId(1), Cluster).Boot);
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
                IdentityFile.Open(disk, new MemberId(1));
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
}
