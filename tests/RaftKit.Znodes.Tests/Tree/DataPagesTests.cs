using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Tree;

public sealed class DataPagesTests
{
    private readonly SlotTable _slots = new();
    private readonly DataPages _pages;
    private readonly Dictionary<TreeNode, byte[]?> _expected = [];

    public DataPagesTests() => _pages = new DataPages(_slots);

    [Fact]
    public void Every_node_keeps_its_data_however_much_is_written_deleted_and_moved_on()
    {
        var random = new Random(11);
        var nodes = new List<TreeNode>();
        for (var step = 0; step < 60_000; step++)
        {
            // Grows, then shrinks to nothing.
            if (nodes.Count == 0 || random.Next(40_000) > step)
            {
                nodes.Add(new TreeNode($"{step}", null));
                _slots.Add(nodes[^1]);
                Put(nodes[^1], Data(random));
            }
            else if (step % 3 == 0)
            {
                var at = random.Next(nodes.Count);
                Remove(nodes[at]);
                (nodes[at], nodes[^1]) = (nodes[^1], nodes[at]);
                nodes.RemoveAt(nodes.Count - 1);
            }
            else
            {
                Put(nodes[random.Next(nodes.Count)], Data(random));
            }
            if (step % 10_000 == 0)
                AssertWhole();
        }
        AssertWhole();
        foreach (var node in nodes)
            Remove(node);
        Assert.InRange(_pages.Bytes, 0, DataPages.PageSize);
    }

    [Fact]
    public void What_was_written_over_does_not_pile_up()
    {
        var nodes = Enumerable.Range(0, 2000).Select(i => new TreeNode($"{i}", null)).ToArray();
        foreach (var node in nodes)
            _slots.Add(node);
        var random = new Random(5);
        // All over, so that every page keeps something for long.
        for (var write = 0; write < 200_000; write++)
            _pages.Put(nodes[random.Next(nodes.Length)], new byte[100]);

        Assert.InRange(_pages.Bytes, 1, (2000 * 108 * 3 / 2) + (10 * DataPages.PageSize));
    }

    [Fact]
    public void A_slice_that_somebody_holds_stays_what_it_was()
    {
        var nodes = Enumerable.Range(0, 500).Select(i => new TreeNode($"{i}", null)).ToArray();
        foreach (var node in nodes)
            _slots.Add(node);
        Put(nodes[0], "then"u8.ToArray());
        var held = _pages.Of(nodes[0]);
        for (var round = 0; round < 50; round++)
        {
            foreach (var node in nodes)
                _pages.Put(node, new byte[200]);
        }
        Assert.Equal("then"u8.ToArray(), held.ToArray());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(DataPages.MaxShared)]
    [InlineData(DataPages.MaxShared + 1)]
    [InlineData(DataPages.PageSize)]
    [InlineData(1 << 20)]
    public void Data_of_any_length_is_told_from_none(int length)
    {
        var node = new TreeNode("a", null);
        _slots.Add(node);
        Assert.True(_pages.Of(node).Equals(default));
        var data = new byte[length];
        data.AsSpan().Fill(7);
        _pages.Put(node, data);
        data.AsSpan().Clear();

        Assert.False(_pages.Of(node).Equals(default));
        Assert.Equal(length, node.DataLength);
        Assert.Equal(Enumerable.Repeat((byte)7, length), _pages.Of(node).ToArray());
        _pages.Put(node, default);
        Assert.True(_pages.Of(node).Equals(default));
        Assert.Equal(0, node.DataLength);
    }

    private static byte[]? Data(Random random) => random.Next(50) switch
    {
        0 => null,
        1 => [],
        2 => Filled(random, random.Next(2 * DataPages.MaxShared)),
        _ => Filled(random, random.Next(200)),
    };

    private static byte[] Filled(Random random, int length)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }

    private void Put(TreeNode node, byte[]? data)
    {
        _pages.Put(node, data);
        _expected[node] = data;
    }

    private void Remove(TreeNode node)
    {
        _pages.Drop(node);
        _pages.Moved(_slots.Remove(node));
        _expected.Remove(node);
    }

    private void AssertWhole()
    {
        foreach (var (node, data) in _expected)
        {
            Assert.Equal(data is null, _pages.Of(node).Equals(default));
            Assert.True(_pages.Of(node).Span.SequenceEqual(data), $"the data of {node.Name} changed");
        }
    }
}
