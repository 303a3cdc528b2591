using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Tree;

public sealed class MultiTests
{
    private readonly Scene _scene = new();

    public MultiTests() => _scene.Create("/m");

    [Fact]
    public void All_operations_share_one_zxid_and_each_sees_the_ones_before()
    {
        var result = _scene.Multi(
            new TreeCommand.Create("/m/x", Scene.Bytes("1")), new TreeCommand.Set("/m/x", Scene.Bytes("22"), 0),
            new TreeCommand.Check("/m/x", 1), new TreeCommand.Create("/m/x/y", default), new TreeCommand.Delete("/m/x/y", 0));

        Assert.Equal(ZnodeError.None, result.Error);
        Assert.All(result.Operations!, operation => Assert.Equal(ZnodeError.None, operation.Error));
        var stat = _scene.Stat("/m/x");
        Assert.Equal((2L, 2L, 1, 2), (stat.CreatedZxid, stat.ModifiedZxid, stat.Version, stat.DataLength));
        Assert.Equal((2, 0), (stat.ChildrenVersion, stat.ChildCount));
        Assert.Equal(2, _scene.Stat("/m").ChildrenZxid);
    }

    [Fact]
    public void An_empty_multi_succeeds()
    {
        var result = _scene.Multi();
        Assert.Equal(ZnodeError.None, result.Error);
        Assert.Empty(result.Operations!);
    }

    [Fact]
    public void Sequential_paths_inside_a_multi_count_on()
    {
        var result = _scene.Multi(
            new TreeCommand.Create("/m/s-", default, CreateMode.PersistentSequential),
            new TreeCommand.Create("/m/s-", default, CreateMode.EphemeralSequential));
        Assert.Equal(["/m/s-0000000000", "/m/s-0000000001"], result.Operations!.Select(o => o.Path));
    }

    [Fact]
    public void When_one_fails_the_ones_before_answer_0_the_ones_after_minus_2()
    {
        var result = _scene.Multi(
            new TreeCommand.Create("/m/y", default), new TreeCommand.Create("/m", default), new TreeCommand.Delete("/m/y"));
        Assert.Equal(ZnodeError.NodeExists, result.Error);
        Assert.Equal(
            [ZnodeError.None, ZnodeError.NodeExists, ZnodeError.RuntimeInconsistency], result.Operations!.Select(o => o.Error));
        Assert.All(result.Operations!, operation => Assert.Equal(default, operation.Stat));
        Assert.False(_scene.Exists("/m/y"));
        Assert.Empty(_scene.Changes);
    }

    [Fact]
    public void A_failed_multi_leaves_nothing_behind_not_even_a_counter()
    {
        _scene.Create("/m/a", "a");
        _scene.Create("/m/e", "e", CreateMode.Ephemeral);
        var before = (_scene.Tree.Digest, _scene.Tree.Count, _scene.Tree.ApproximateBytes, _scene.Stat("/m"), _scene.Stat("/m/a"));

        var result = _scene.Multi(
            new TreeCommand.Set("/m/a", Scene.Bytes("longer")), new TreeCommand.Set("/m/a", default), new TreeCommand.Delete("/m/e"),
            new TreeCommand.Create("/m/e", Scene.Bytes("new")), new TreeCommand.Create("/m/e/below", default),
            new TreeCommand.Delete("/m/a"),
            new TreeCommand.Create("/m/s", default, CreateMode.EphemeralSequential), new TreeCommand.Delete("/m/e/below"),
            new TreeCommand.Check("/m", 1));

        Assert.Equal(ZnodeError.BadVersion, result.Error);
        Assert.Equal(
            before, (_scene.Tree.Digest, _scene.Tree.Count, _scene.Tree.ApproximateBytes, _scene.Stat("/m"), _scene.Stat("/m/a")));
        Assert.Equal(_scene.Tree.Store.ComputeDigest(), _scene.Tree.Digest);
        Assert.Equal(("a", "e"), (_scene.Data("/m/a"), _scene.Data("/m/e")));
        Assert.Equal(["/m/e"], _scene.Tree.EphemeralsOf(Scene.Me));
        Assert.Equal("/m/s-0000000002", _scene.Create("/m/s-", "", CreateMode.PersistentSequential).Path);
        _scene.EndSession(Scene.Me);
        Assert.False(_scene.Exists("/m/e"));
    }

    [Theory]
    [InlineData(ZnodeError.NoChildrenForEphemerals)]
    [InlineData(ZnodeError.NotEmpty)]
    [InlineData(ZnodeError.NoNode)]
    [InlineData(ZnodeError.BadArguments)]
    public void Errors_inside_a_multi_follow_from_the_operations_before(ZnodeError expected)
    {
        TreeCommand second = expected switch
        {
            ZnodeError.NoChildrenForEphemerals => new TreeCommand.Create("/m/p/q", default),
            ZnodeError.NotEmpty => new TreeCommand.Delete("/m"),
            ZnodeError.NoNode => new TreeCommand.Check("/m/none"),
            _ => new TreeCommand.Create("bad", default),
        };
        var result = _scene.Multi(new TreeCommand.Create("/m/p", default, CreateMode.Ephemeral), second);
        Assert.Equal([ZnodeError.None, expected], result.Operations!.Select(o => o.Error));
    }

    [Fact]
    public void A_multi_in_a_multi_is_refused_as_a_result()
    {
        var result = _scene.Multi(new TreeCommand.Create("/m/p", default), new TreeCommand.Multi([]));
        Assert.Equal(ZnodeError.BadArguments, result.Error);
        Assert.False(_scene.Exists("/m/p"));
    }

    [Fact]
    public void Changes_of_the_entry_from_before_the_failed_multi_stay()
    {
        List<TreeChange> changes = [new(TreeChangeKind.Created, "/earlier", 5)];
        var failing = new TreeCommand.Multi([new TreeCommand.Create("/m/p", default), new TreeCommand.Delete("/none")]);
        _scene.Tree.Apply(failing, Scene.Me, new TreeStamp(5, 5), changes);
        Assert.Equal([new TreeChange(TreeChangeKind.Created, "/earlier", 5)], changes);
    }
}
