using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Tree;

/// <summary>The parts under the tree, each against the collection of the BCL that does the same with stalls.</summary>
public sealed class StructureTests
{
    [Fact]
    public void The_child_set_keeps_what_a_sorted_set_keeps()
    {
        for (var seed = 1; seed <= 20; seed++)
        {
            var random = new Random(seed);
            var expected = new SortedSet<string>(StringComparer.Ordinal);
            var set = new ChildSet();
            var range = seed % 2 == 0 ? 300 : 5000;
            for (var step = 0; step < 6000; step++)
            {
                // Grows, then shrinks to nothing, so that pieces split and merge.
                var name = $"n{random.Next(range)}";
                if (random.Next(6000) > step)
                {
                    if (expected.Add(name))
                        set.Add(name);
                }
                else if (expected.Count > 0)
                {
                    var gone = expected.Contains(name) ? name : expected.Min!;
                    expected.Remove(gone);
                    set.Remove(gone);
                }
                Assert.Equal(expected.Count, set.Count);
                if (step % 500 == 0)
                    Assert.Equal(expected, set.ToArray());
            }
            Assert.Equal(expected, set.ToArray());
            foreach (var name in expected)
                set.Remove(name);
            Assert.Empty(set.ToArray());
        }
    }

    [Fact]
    public void Names_that_come_in_order_are_listed_in_order()
    {
        var set = new ChildSet();
        var names = Enumerable.Range(0, 100_000).Select(i => i.ToString("D10")).ToArray();
        foreach (var name in names)
            set.Add(name);
        Assert.Equal(names, set.ToArray());
        // As a queue is emptied.
        foreach (var name in names.AsSpan(0, 99_999))
            set.Remove(name);
        Assert.Equal([names[^1]], set.ToArray());
    }

    [Fact]
    public void The_map_finds_what_is_there_and_nothing_else_while_it_grows_and_shrinks()
    {
        var map = new NodeMap();
        var root = new TreeNode("", null);
        var nodes = new TreeNode[20_000];
        for (var i = 0; i < nodes.Length; i++)
        {
            nodes[i] = new TreeNode($"n{i}", root) { PathHash = NodeMap.Hash($"/n{i}") };
            map.Add(nodes[i]);
            if (i % 97 == 0)
                for (var j = 0; j <= i; j += 31)
                    Assert.Same(nodes[j], map.Find($"/n{j}"));
        }
        Assert.Null(map.Find("/n20000"));
        Assert.Null(map.Find("n1"));
        Assert.Null(map.Find("/x/n1"));

        for (var i = 0; i < nodes.Length; i++)
        {
            map.Remove(nodes[i]);
            Assert.Null(map.Find($"/n{i}"));
            if (i % 97 == 0)
                for (var j = i + 1; j < nodes.Length; j += 31)
                    Assert.Same(nodes[j], map.Find($"/n{j}"));
        }
        Assert.Equal(0, map.Count);
    }

    [Fact]
    public void Nodes_whose_hashes_collide_are_told_apart()
    {
        var map = new NodeMap();
        var root = new TreeNode("", null);
        var parent = new TreeNode("a", root) { PathHash = 7 };
        var nodes = new[] { parent, new TreeNode("b", root) { PathHash = 7 }, new TreeNode("b", parent) { PathHash = 7 } };
        foreach (var node in nodes)
            map.Add(node);
        foreach (var node in nodes)
            Assert.Same(node, map.Find(node.Path, 7, 10, out _));
        map.Remove(nodes[1]);
        Assert.Null(map.Find("/b", 7, 10, out _));
        Assert.Same(nodes[2], map.Find("/a/b", 7, 10, out var gaveUp));
        Assert.False(gaveUp);
        Assert.Null(map.Find("/zzz", 7, 1, out gaveUp));
        Assert.True(gaveUp);
    }

    [Fact]
    public void The_slot_table_stays_dense()
    {
        var random = new Random(3);
        var table = new SlotTable();
        var nodes = new List<TreeNode>();
        for (var step = 0; step < 30_000; step++)
        {
            if (nodes.Count == 0 || random.Next(30_000) > step)
            {
                nodes.Add(new TreeNode($"{step}", null));
                table.Add(nodes[^1]);
            }
            else
            {
                var at = random.Next(nodes.Count);
                table.Remove(nodes[at]);
                nodes[at] = nodes[^1];
                nodes.RemoveAt(nodes.Count - 1);
            }
        }
        Assert.Equal(nodes.Count, table.Count);
        Assert.All(nodes, node => Assert.Same(node, table[node.Slot]));
    }

    [Fact]
    public void A_node_spells_its_own_path_and_no_other()
    {
        var root = new TreeNode("", null);
        var leaf = new TreeNode("bc", new TreeNode("a", root));
        Assert.Equal("/a/bc", leaf.Path);
        Assert.Equal("/", root.Path);
        Assert.True(leaf.Spells("/a/bc"));
        foreach (var other in new[] { "/a/b", "/a/bc/", "a/bc", "/x/a/bc", "//a/bc", "/bc", "bc", "", "/", "/ab/c", "/a.bc" })
            Assert.False(leaf.Spells(other), other);
    }
}
