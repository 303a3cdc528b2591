using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Tree;

/// <summary>What ZooKeeper answers, one sentence each.</summary>
public sealed class ZnodeRulesTests
{
    private readonly Scene _scene = new();

    [Fact]
    public void The_root_is_there_from_the_beginning()
    {
        Assert.Equal(default, _scene.Stat("/"));
        Assert.Equal(1, _scene.Tree.Count);
        Assert.Empty(_scene.Children("/"));
    }

    [Fact]
    public void A_new_znode_has_the_zxid_and_the_time_of_its_entry()
    {
        var created = _scene.Create("/a", "hello");

        Assert.Equal(ZnodeError.None, created.Error);
        Assert.Equal("/a", created.Path);
        var stat = new ZnodeStat(
            CreatedZxid: 1, ModifiedZxid: 1, CreatedTime: _scene.Time, ModifiedTime: _scene.Time, Version: 0, ChildrenVersion: 0,
            AclVersion: 0,
            EphemeralOwner: 0, DataLength: 5, ChildCount: 0, ChildrenZxid: 1);
        Assert.Equal(stat, created.Stat);
        Assert.Equal(stat, _scene.Stat("/a"));
        Assert.Equal("hello", _scene.Data("/a"));
    }

    [Fact]
    public void Null_data_is_not_empty_data()
    {
        _scene.Create("/null", null);
        _scene.Create("/empty", "");

        _scene.Tree.TryGet("/null", out var none, out _);
        _scene.Tree.TryGet("/empty", out var empty, out _);
        Assert.True(none.Equals(default));
        Assert.False(empty.Equals(default));
        Assert.True(none.IsEmpty && empty.IsEmpty);
    }

    [Fact]
    public void The_tree_keeps_its_own_copy_of_the_data()
    {
        var buffer = new byte[] { 1, 2, 3 };
        _scene.Apply(new TreeCommand.Create("/a", buffer));
        _scene.Tree.TryGet("/a", out var before, out _);
        buffer[0] = 9;
        _scene.Set("/a", "x");

        Assert.Equal([1, 2, 3], before.ToArray());
    }

    [Fact]
    public void Setting_data_moves_version_mzxid_and_mtime_and_nothing_else()
    {
        var created = _scene.Create("/a", "1").Stat;
        var parent = _scene.Stat("/");
        var set = _scene.Set("/a", "22", 0);

        Assert.Equal(
            created with { Version = 1, ModifiedZxid = 2, ModifiedTime = _scene.Time, DataLength = 2 }, set.Stat);
        Assert.Equal(set.Stat, _scene.Stat("/a"));
        Assert.Equal(parent, _scene.Stat("/"));
    }

    [Fact]
    public void Creating_and_deleting_a_child_moves_its_parents_pzxid_and_cversion()
    {
        _scene.Create("/a");
        _scene.Create("/a/k1");
        _scene.Create("/a/k2");
        var two = _scene.Stat("/a");
        Assert.Equal((2, 2, 3L), (two.ChildrenVersion, two.ChildCount, two.ChildrenZxid));

        _scene.Delete("/a/k1");
        var one = _scene.Stat("/a");
        Assert.Equal((3, 1, 4L), (one.ChildrenVersion, one.ChildCount, one.ChildrenZxid));
        Assert.Equal((1L, 0), (one.ModifiedZxid, one.Version));

        _scene.Set("/a/k2", "x");
        Assert.Equal(one, _scene.Stat("/a"));
        Assert.Equal(1, _scene.Stat("/").ChildrenVersion);
    }

    [Fact]
    public void The_sequence_number_counts_every_child_that_was_ever_created()
    {
        _scene.Create("/s");
        _scene.Create("/s/plain");
        _scene.Create("/s/ephemeral", "", CreateMode.Ephemeral);
        _scene.Delete("/s/plain");

        Assert.Equal("/s/n-0000000002", _scene.Create("/s/n-", "", CreateMode.PersistentSequential).Path);
        Assert.Equal("/s/n-0000000003", _scene.Create("/s/n-", "", CreateMode.EphemeralSequential).Path);
        Assert.Equal("/s/0000000004", _scene.Create("/s/", "", CreateMode.PersistentSequential).Path);
        Assert.Equal("/0000000001", _scene.Create("/", "", CreateMode.PersistentSequential).Path);
        Assert.Equal(Scene.Me, _scene.Stat("/s/n-0000000003").EphemeralOwner);
        Assert.Equal(0, _scene.Stat("/s/n-0000000002").EphemeralOwner);
    }

    [Theory]
    [InlineData(0, "/n-0000000000")]
    [InlineData(2_147_483_647, "/n-2147483647")]
    [InlineData(2_147_483_648, "/n-2147483648")]
    [InlineData(9_999_999_999, "/n-9999999999")]
    [InlineData(10_000_000_000, "/n-10000000000")]
    public void Sequence_numbers_stay_unique_and_growing_beyond_32_bits(long counter, string path) =>
        Assert.Equal(path, SequenceNumber.Append("/n-", counter));

    [Fact]
    public void A_tree_whose_create_counter_left_32_bits_behind_goes_on_counting()
    {
        _scene.Create("/a");
        var store = _scene.Tree.Store;
        var node = store.Find("/a")!;
        store.Fill(node, "/a", NodeImage.Of(node, store.DataOf(node)) with { Creates = int.MaxValue });

        Assert.Equal("/a/n2147483647", _scene.Create("/a/n", "", CreateMode.PersistentSequential).Path);
        Assert.Equal("/a/n2147483648", _scene.Create("/a/n", "", CreateMode.PersistentSequential).Path);
        // cversion is a 32-bit field of ZooKeeper's Stat: it wraps, as there.
        Assert.Equal(unchecked((int)(2 * 2147483649L - 2)), _scene.Stat("/a").ChildrenVersion);
    }

    [Theory]
    [InlineData("/a", CreateMode.Persistent, ZnodeError.NodeExists)]
    [InlineData("/", CreateMode.Persistent, ZnodeError.NodeExists)]
    [InlineData("/no/x", CreateMode.Persistent, ZnodeError.NoNode)]
    [InlineData("/e/x", CreateMode.Persistent, ZnodeError.NoChildrenForEphemerals)]
    [InlineData("/e/x", CreateMode.EphemeralSequential, ZnodeError.NoChildrenForEphemerals)]
    [InlineData("", CreateMode.Persistent, ZnodeError.BadArguments)]
    [InlineData("a", CreateMode.Persistent, ZnodeError.BadArguments)]
    [InlineData("//a", CreateMode.Persistent, ZnodeError.BadArguments)]
    [InlineData("/a\0b", CreateMode.Persistent, ZnodeError.BadArguments)]
    [InlineData("/no\0/b", CreateMode.Persistent, ZnodeError.BadArguments)]
    [InlineData("/a\u0001b", CreateMode.Persistent, ZnodeError.BadArguments)]
    [InlineData("/a/..", CreateMode.Persistent, ZnodeError.BadArguments)]
    [InlineData("/no/..", CreateMode.Persistent, ZnodeError.NoNode)]
    [InlineData("/./a", CreateMode.Persistent, ZnodeError.NoNode)]
    [InlineData("/no/", CreateMode.Persistent, ZnodeError.NoNode)]
    [InlineData("/a/", CreateMode.Persistent, ZnodeError.BadArguments)]
    [InlineData("/a//b", CreateMode.Persistent, ZnodeError.NoNode)]
    [InlineData("/e/.", CreateMode.Persistent, ZnodeError.BadArguments)]
    [InlineData("/x", (CreateMode)7, ZnodeError.BadArguments)]
    [InlineData("/no/x", (CreateMode)(-1), ZnodeError.BadArguments)]
    public void A_create_is_refused_in_the_order_of_ZooKeepers_checks(string path, CreateMode mode, ZnodeError expected)
    {
        _scene.Create("/a");
        _scene.Create("/e", "", CreateMode.Ephemeral);
        var before = (_scene.Tree.Digest, _scene.Tree.Count);

        Assert.Equal(expected, _scene.Create(path, "x", mode).Error);
        Assert.Equal(before, (_scene.Tree.Digest, _scene.Tree.Count));
        Assert.Empty(_scene.Changes);
    }

    [Theory]
    [InlineData("/a", 1, ZnodeError.BadVersion)]
    [InlineData("/a", -2, ZnodeError.BadVersion)]
    [InlineData("/", 12345, ZnodeError.BadVersion)]
    [InlineData("/none", 0, ZnodeError.NoNode)]
    [InlineData("", 0, ZnodeError.BadArguments)]
    [InlineData("/a/", 0, ZnodeError.BadArguments)]
    [InlineData("//a", 0, ZnodeError.BadArguments)]
    [InlineData("/a", 0, ZnodeError.None)]
    [InlineData("/a", -1, ZnodeError.None)]
    [InlineData("/", -1, ZnodeError.None)]
    public void Set_and_check_compare_the_version(string path, int version, ZnodeError expected)
    {
        _scene.Create("/a");
        Assert.Equal(expected, _scene.Check(path, version).Error);
        Assert.Equal(expected, _scene.Set(path, "x", version).Error);
    }

    [Theory]
    [InlineData("/", -1, ZnodeError.BadArguments)]
    [InlineData("", -1, ZnodeError.BadArguments)]
    [InlineData("a", -1, ZnodeError.BadArguments)]
    [InlineData("/a\0b", -1, ZnodeError.BadArguments)]
    [InlineData("/a/", -1, ZnodeError.NoNode)]
    [InlineData("//a", -1, ZnodeError.NoNode)]
    [InlineData("/a/..", -1, ZnodeError.NoNode)]
    [InlineData("/none", -1, ZnodeError.NoNode)]
    [InlineData("/a", 9, ZnodeError.BadVersion)]
    [InlineData("/a", 0, ZnodeError.NotEmpty)]
    [InlineData("/a", -1, ZnodeError.NotEmpty)]
    [InlineData("/a/b", 0, ZnodeError.None)]
    public void A_delete_is_refused_in_the_order_of_ZooKeepers_checks(string path, int version, ZnodeError expected)
    {
        _scene.Create("/a");
        _scene.Create("/a/b");
        Assert.Equal(expected, _scene.Delete(path, version).Error);
        Assert.Equal(expected != ZnodeError.None, _scene.Exists("/a/b"));
    }

    [Fact]
    public void The_version_wraps_as_ZooKeepers_does()
    {
        _scene.Create("/a");
        var store = _scene.Tree.Store;
        var node = store.Find("/a")!;
        store.Fill(node, "/a", NodeImage.Of(node, store.DataOf(node)) with { Version = int.MaxValue });
        Assert.Equal(int.MinValue, _scene.Set("/a", "x", int.MaxValue).Stat.Version);
    }

    [Fact]
    public void Children_are_listed_in_ordinal_order()
    {
        foreach (var name in new[] { "b", "B", "a", "é", "_", "aa", "Z", "0" })
            _scene.Create("/" + name);
        Assert.Equal(["0", "B", "Z", "_", "a", "aa", "b", "é"], _scene.Children("/"));
        Assert.Null(_scene.Tree.Children("/none", out _));
    }

    [Fact]
    public void What_changed_is_told_in_order_with_its_zxid()
    {
        _scene.Create("/a");
        _scene.Multi(
            new TreeCommand.Create("/a/b", default), new TreeCommand.Set("/a", default), new TreeCommand.Check("/a"),
            new TreeCommand.Delete("/a/b"));

        Assert.Equal(
            [
                new TreeChange(TreeChangeKind.Created, "/a/b", 2), new TreeChange(TreeChangeKind.DataChanged, "/a", 2),
                new TreeChange(TreeChangeKind.Deleted, "/a/b", 2),
            ],
            _scene.Changes);
        Assert.Equal([true, false, true], _scene.Changes.Select(c => c.ChangesParentsChildren));
    }

    [Fact]
    public void An_ephemeral_goes_with_its_session_and_only_with_it()
    {
        _scene.Create("/p");
        _scene.Create("/p/mine2", "", CreateMode.Ephemeral);
        _scene.Create("/p/mine1", "", CreateMode.Ephemeral);
        _scene.Create("/p/other", "", CreateMode.Ephemeral, Scene.Other);
        Assert.Equal(["/p/mine1", "/p/mine2"], _scene.Tree.EphemeralsOf(Scene.Me));
        Assert.Equal(2, _scene.Tree.CountEphemeralsOf(Scene.Me));

        _scene.EndSession(Scene.Me);

        Assert.Equal(["other"], _scene.Children("/p"));
        Assert.Empty(_scene.Tree.EphemeralsOf(Scene.Me));
        Assert.Equal(["/p/mine1", "/p/mine2"], _scene.Changes.Select(c => c.Path));
        Assert.All(_scene.Changes, change => Assert.Equal((TreeChangeKind.Deleted, _scene.Zxid), (change.Kind, change.Zxid)));
        var parent = _scene.Stat("/p");
        Assert.Equal((5, 1, _scene.Zxid), (parent.ChildrenVersion, parent.ChildCount, parent.ChildrenZxid));
    }

    [Fact]
    public void An_ephemeral_that_was_deleted_and_created_anew_by_another_session_is_the_others()
    {
        _scene.Create("/e", "", CreateMode.Ephemeral);
        _scene.Delete("/e");
        _scene.Create("/e", "", CreateMode.Ephemeral, Scene.Other);
        _scene.EndSession(Scene.Me);
        Assert.Equal(Scene.Other, _scene.Stat("/e").EphemeralOwner);
        Assert.Empty(_scene.Changes);
    }

    // ZOOKEEPER-4306: a session with too many ephemerals for one transaction could not be closed.
    [Fact]
    public void A_session_with_a_hundred_thousand_ephemerals_can_be_closed()
    {
        _scene.Create("/p");
        for (var i = 0; i < 100_000; i++)
            _scene.Create("/p/e-", "", CreateMode.EphemeralSequential);
        _scene.EndSession(Scene.Me);

        Assert.Equal(100_000, _scene.Changes.Count);
        Assert.Equal(_scene.Changes.Select(c => c.Path).Order(StringComparer.Ordinal), _scene.Changes.Select(c => c.Path));
        Assert.Equal((0, 100_000 * 2), (_scene.Stat("/p").ChildCount, _scene.Stat("/p").ChildrenVersion));
        Assert.Equal(2, _scene.Tree.Count);
        Assert.Equal(_scene.Tree.Store.ComputeDigest(), _scene.Tree.Digest);
    }

    [Fact]
    public void A_very_deep_path_is_created_captured_restored_and_deleted_without_recursion()
    {
        var path = "";
        for (var depth = 0; depth < 1000; depth++)
        {
            path += "/d";
            Assert.Equal(ZnodeError.None, _scene.Create(path).Error);
        }
        var frames = Scene.Frames(_scene.Tree.Capture());
        Assert.Equal(_scene.Tree.Digest, Scene.Restored(frames, _scene.Context).Digest);
        for (; path.Length > 0; path = path[..^2])
            Assert.Equal(ZnodeError.None, _scene.Delete(path).Error);
        Assert.Equal(1, _scene.Tree.Count);
    }

    [Fact]
    public void The_approximate_size_returns_to_where_it_was_when_everything_is_deleted()
    {
        var empty = _scene.Tree.ApproximateBytes;
        _scene.Create("/a", new string('x', 1000));
        _scene.Create("/a/b", "12");
        Assert.True(_scene.Tree.ApproximateBytes > empty + 1000);
        _scene.Set("/a", "");
        _scene.Delete("/a/b");
        _scene.Delete("/a");
        Assert.Equal(empty, _scene.Tree.ApproximateBytes);
    }
}
