using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Tree;

public sealed class DigestTests
{
    private readonly Scene _scene = new();

    [Fact]
    public void The_digest_function_never_changes()
    {
        // It is recorded in snapshots. Both numbers were computed by a second implementation, in Python.
        Assert.Equal(0x07a09c27117fb6bcUL, new ZnodeTree().Digest);
        _scene.Create("/config", "hello, world");
        _scene.Create("/config/leader-", null, CreateMode.EphemeralSequential);
        _scene.Set("/config", "123456789");
        Assert.Equal(0x8e16adfad1247711UL, _scene.Tree.Digest);
    }

    [Fact]
    public void Equal_trees_have_equal_digests_however_their_nodes_came_about_inside()
    {
        var other = new Scene();
        _scene.Multi(new TreeCommand.Create("/a", default), new TreeCommand.Create("/b", default));
        other.Multi(new TreeCommand.Create("/b", default), new TreeCommand.Create("/a", default));
        Assert.Equal(_scene.Tree.Digest, other.Tree.Digest);
    }

    [Fact]
    public void Every_field_of_a_node_is_in_the_digest()
    {
        _scene.Create("/a", "x");
        var store = _scene.Tree.Store;
        var node = store.Find("/a")!;
        var image = NodeImage.Of(node, store.DataOf(node));
        var seen = new HashSet<ulong> { store.Digest };
        foreach (var changed in new[]
        {
            image with { Data = null }, image with { Data = Array.Empty<byte>() }, image with { Data = "y"u8.ToArray() },
            image with { Data = "x\0"u8.ToArray() },
            image with { CreatedZxid = 9 }, image with { ModifiedZxid = 9 }, image with { CreatedTime = 9 },
            image with { ModifiedTime = 9 },
            image with { Version = 9 }, image with { Creates = 9 }, image with { ChildrenZxid = 9 },
        })
        {
            store.Fill(node, "/a", changed);
            Assert.True(seen.Add(store.Digest), $"the digest did not notice {changed}");
            Assert.Equal(store.ComputeDigest(), store.Digest);
        }
        store.Fill(node, "/a", image with { Creates = 0 });
        Assert.Contains(store.Digest, seen);
    }

    [Fact]
    public void The_owner_and_the_path_are_in_the_digest()
    {
        ulong With(string path, long session, CreateMode mode)
        {
            var scene = new Scene();
            scene.Create(path, "", mode, session);
            return scene.Tree.Digest;
        }
        ulong[] digests =
        [
            With("/a", 1, CreateMode.Persistent), With("/a", 1, CreateMode.Ephemeral), With("/a", 2, CreateMode.Ephemeral),
            With("/b", 1, CreateMode.Persistent), With("/aa", 1, CreateMode.Persistent), With("/abcde", 1, CreateMode.Persistent),
            With("/abcdf", 1, CreateMode.Persistent),
        ];
        Assert.Equal(digests.Length, digests.Distinct().Count());
    }

    [Fact]
    public void Data_of_every_length_and_with_every_byte_changed_hashes_differently()
    {
        var seen = new HashSet<ulong>();
        for (var length = 0; length < 40; length++)
        {
            var data = new byte[length];
            Assert.True(seen.Add(TreeDigest.Content("/a", data)));
            for (var i = 0; i < length; i++)
            {
                data[i] = 1;
                Assert.True(seen.Add(TreeDigest.Content("/a", data)));
                data[i] = 0;
            }
        }
    }

    [Fact]
    public void A_flipped_bit_changes_about_half_of_the_bits_of_the_hash()
    {
        var data = new byte[24];
        new Random(1).NextBytes(data);
        var before = TreeDigest.Content("/some/path", data);
        long changed = 0;
        for (var bit = 0; bit < data.Length * 8; bit++)
        {
            data[bit / 8] ^= (byte)(1 << (bit % 8));
            changed += System.Numerics.BitOperations.PopCount(before ^ TreeDigest.Content("/some/path", data));
            data[bit / 8] ^= (byte)(1 << (bit % 8));
        }
        Assert.InRange(changed / (double)(data.Length * 8), 28, 36);
    }
}
