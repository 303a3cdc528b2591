using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Tree;

public sealed class ModelTests
{
    [Fact]
    public void Random_commands_do_to_the_tree_what_they_do_to_a_naive_model()
    {
        for (var seed = 1; seed <= 40; seed++)
        {
            var commands = new RandomCommands(seed);
            var (tree, model) = (new ZnodeTree(), new TreeModel());
            var changes = new List<TreeChange>();
            for (var step = 1; step <= 500; step++)
            {
                var stamp = new TreeStamp(step, 7 * step);
                changes.Clear();
                if (commands.Random.Next(60) == 0)
                {
                    var session = commands.Session();
                    tree.RemoveEphemerals(session, stamp, changes);
                    Assert.Equal(model.EndSession(session, stamp), changes);
                }
                else
                {
                    var (command, session) = (commands.Next(), commands.Session());
                    var result = tree.Apply(command, session, stamp, changes);
                    var (expected, expectedChanges) = model.Apply(command, session, stamp);
                    var results = result.Operations ?? [result.Single];
                    Assert.True(
                        expected.SequenceEqual(results),
                        $"seed {seed} step {step} {command}: {string.Join(", ", results)}; expected {string.Join(", ", expected)}");
                    Assert.Equal(expectedChanges, changes);
                }
                if (step % 25 == 0)
                    AssertSame(model, tree, $"seed {seed} step {step}");
            }
        }
    }

    internal static void AssertSame(TreeModel model, ZnodeTree tree, string where)
    {
        Assert.Equal(model.Nodes.Count, tree.Count);
        foreach (var (path, node) in model.Nodes)
        {
            Assert.True(tree.TryGet(path, out var data, out var stat), $"{where}: {path} is missing");
            Assert.True(model.Stat(path) == stat, $"{where}: {path} is {stat}, expected {model.Stat(path)}");
            Assert.Equal(node.Data is null, data.Equals(default));
            Assert.Equal(node.Data ?? [], data.ToArray());
            Assert.Equal(model.Children(path), tree.Children(path, out var withChildren));
            Assert.Equal(stat, withChildren);

            var seen = tree.View.Get(path)!;
            Assert.Equal((stat, tree.Zxid), (seen.Stat, seen.Zxid));
            Assert.Equal(tree.Children(path, out _), tree.View.GetChildren(path)!.Names);
        }
        for (var session = 1; session < 4; session++)
            Assert.Equal(model.Ephemerals(session), tree.EphemeralsOf(session));
        Assert.Equal(tree.Store.ComputeDigest(), tree.Digest);
    }
}
