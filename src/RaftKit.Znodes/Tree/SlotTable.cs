namespace RaftKit.Znodes.Tree;

/// <summary>
/// All nodes, dense and numbered, so that a capture can walk them a slice at a time. A removed node's slot is taken by the last node.
/// Nodes move only downwards, and a capture walks downwards: what it has not reached stays below where it stands.
/// </summary>
internal sealed class SlotTable
{
    private const int SegmentBits = 10;
    private const int SegmentSize = 1 << SegmentBits;

    // Growing copies references to segments, not to nodes: 8 KiB at a million nodes.
    private readonly List<TreeNode?[]> _segments = [];

    public int Count { get; private set; }

    public TreeNode this[int slot] => _segments[slot >> SegmentBits][slot & (SegmentSize - 1)]!;

    public void Add(TreeNode node)
    {
        if (Count >> SegmentBits == _segments.Count)
            _segments.Add(new TreeNode?[SegmentSize]);
        node.Slot = Count;
        _segments[Count >> SegmentBits][Count & (SegmentSize - 1)] = node;
        Count++;
    }

    /// <returns>The node that stands in its slot now: the last one, itself maybe.</returns>
    public TreeNode Remove(TreeNode node)
    {
        var last = Count - 1;
        var moved = this[last];
        moved.Slot = node.Slot;
        _segments[node.Slot >> SegmentBits][node.Slot & (SegmentSize - 1)] = moved;
        _segments[last >> SegmentBits][last & (SegmentSize - 1)] = null;
        Count = last;
        // One spare segment stays, so that a tree that breathes at the boundary allocates nothing.
        if (_segments.Count > (Count >> SegmentBits) + 2)
            _segments.RemoveAt(_segments.Count - 1);
        return moved;
    }
}
