using System.Buffers;
using System.Text;
using RaftKit.Node.Encoding;
using RaftKit.Node.Loop;

namespace RaftKit.Znodes.Tree;

/// <summary>
/// A snapshot of the tree as it was when the capture began, written while the tree goes on changing, without a copy of it. It walks the
/// slots downwards; <see cref="BeforeChange"/> puts aside what a node was before its first change, unless it was written already. <para>The
/// first frame is the header (format, zxid, count, digest), the others hold nodes; each frame begins with its kind. A slice ends at 256 KiB
/// or so many nodes, whichever comes first; one node with its data always goes whole.</para>
/// </summary>
internal sealed class TreeCapture : ISnapshotCapture
{
    public const int Format = 1;
    public const int HeaderFrame = 0;
    public const int NodesFrame = 1;
    public const int NodeFields = 10;

    public const int MaxSliceBytes = 256 * 1024;
    public const int MaxSliceNodes = 512;

    /// <summary>Slots whose node needs nothing more cost little, but not nothing.</summary>
    public const int MaxSliceSlots = 8 * MaxSliceNodes;

    private readonly TreeStore _store;
    private readonly int _number;
    private readonly long _zxid;
    private readonly int _count;
    private readonly ulong _digest;
    private int _nextSlot;
    private bool _headerWritten;
    private SetAside? _setAside;
    private byte[] _path = new byte[256];

    public TreeCapture(TreeStore store, long zxid, int number)
    {
        _store = store;
        _number = number;
        _zxid = zxid;
        _count = store.Count;
        _digest = store.Digest;
        _nextSlot = store.Slots.Count - 1;
    }

    /// <summary>Called before a node changes or goes.</summary>
    public void BeforeChange(TreeNode node)
    {
        if (node.CapturedIn == _number)
            return;
        node.CapturedIn = _number;
        _setAside = new SetAside(node, NodeImage.Of(node, _store.DataOf(node)), _setAside);
    }

    public bool WriteSlice(IBufferWriter<byte> frame)
    {
        var writer = new MessagePackWriter(frame);
        if (!_headerWritten)
        {
            _headerWritten = true;
            writer.Write(HeaderFrame);
            writer.WriteArrayHeader(4);
            writer.Write(Format);
            writer.Write(_zxid);
            writer.Write(_count);
            writer.Write(_digest);
            writer.Flush();
            return true;
        }

        writer.Write(NodesFrame);
        long bytes = 0;
        var nodes = 0;
        for (; _setAside is not null && nodes < MaxSliceNodes && bytes < MaxSliceBytes; nodes++, _setAside = _setAside.Next)
            bytes += Write(ref writer, _setAside.Node, _setAside.Image);

        // Nodes may have left the top of the table since the last slice.
        _nextSlot = Math.Min(_nextSlot, _store.Slots.Count - 1);
        for (var slots = 0; _nextSlot >= 0 && slots < MaxSliceSlots && nodes < MaxSliceNodes && bytes < MaxSliceBytes; slots++, _nextSlot--)
        {
            var node = _store.Slots[_nextSlot];
            if (node.CapturedIn == _number)
                continue;
            node.CapturedIn = _number;
            bytes += Write(ref writer, node, NodeImage.Of(node, _store.DataOf(node)));
            nodes++;
        }
        writer.Flush();

        var more = _nextSlot >= 0 || _setAside is not null;
        if (!more)
            Dispose();
        return more;
    }

    public void Dispose() => _store.EndCapture(this);

    private int Write(ref MessagePackWriter writer, TreeNode node, in NodeImage image)
    {
        var path = PathOf(node);
        writer.WriteArrayHeader(NodeFields);
        writer.WriteString(path);
        if (image.Data.Equals(default))
            writer.WriteNil();
        else
            writer.Write(image.Data.Span);
        writer.Write(image.CreatedZxid);
        writer.Write(image.ModifiedZxid);
        writer.Write(image.CreatedTime);
        writer.Write(image.ModifiedTime);
        writer.Write(image.Version);
        writer.Write(node.Owner);
        writer.Write(image.Creates);
        writer.Write(image.ChildrenZxid);
        return path.Length + image.Data.Length + 64;
    }

    /// <summary>The node's path as UTF-8, in this capture's buffer: filled from the end, leaf first.</summary>
    private ReadOnlySpan<byte> PathOf(TreeNode leaf)
    {
        if (leaf.Parent is null)
            return "/"u8;
        var start = _path.Length;
        for (var node = leaf; node.Parent is not null; node = node.Parent)
        {
            var most = 1 + Encoding.UTF8.GetMaxByteCount(node.Name.Length);
            if (most > start)
            {
                var grown = new byte[2 * _path.Length + most];
                var used = _path.Length - start;
                _path.AsSpan(start).CopyTo(grown.AsSpan(grown.Length - used));
                _path = grown;
                start = grown.Length - used;
            }
            start -= Encoding.UTF8.GetByteCount(node.Name);
            Encoding.UTF8.GetBytes(node.Name, _path.AsSpan(start));
            _path[--start] = (byte)'/';
        }
        return _path.AsSpan(start);
    }

    private sealed record SetAside(TreeNode Node, NodeImage Image, SetAside? Next);
}

/// <summary>What a snapshot holds of a node, besides its path and owner (which never change).</summary>
internal readonly record struct NodeImage(
    ReadOnlyMemory<byte> Data, long CreatedZxid, long ModifiedZxid, long CreatedTime, long ModifiedTime, int Version, long Creates,
    long ChildrenZxid)
{
    public static NodeImage Of(TreeNode node, ReadOnlyMemory<byte> data) => new(
        data, node.CreatedZxid, node.ModifiedZxid, node.CreatedTime, node.ModifiedTime, node.Version, node.Creates, node.ChildrenZxid);
}
