using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Loop;

namespace RaftKit.Znodes.Tree;

/// <summary>
/// Builds a tree from the frames of a capture, in whatever order they come: a node may come before its parent, which then is a placeholder
/// until it comes itself. The tree is replaced at the end, in one step, and only by one whose digest is the one that the snapshot recorded.
/// </summary>
internal sealed class TreeRestorer(ZnodeTree tree) : IStateRestorer
{
    private readonly TreeStore _store = new(forRestore: true);
    private (long Zxid, int Count, ulong Digest)? _header;
    private int _unfilled = 1;

    public void Frame(ReadOnlyMemory<byte> frame)
    {
        var reader = new MessagePackReader(frame);
        var kind = reader.ReadInt32();
        if (kind == TreeCapture.HeaderFrame)
        {
            Invariant.Holds(_header is null, "a snapshot of the tree has two headers");
            reader.ReadArrayHeader(4);
            var format = reader.ReadInt32();
            Invariant.Holds(
                format == TreeCapture.Format, $"a snapshot of the tree has format {format}; this version reads {TreeCapture.Format}");
            _header = (reader.ReadInt64(), reader.ReadInt32(), reader.ReadUInt64());
            return;
        }

        Invariant.Holds(
            kind == TreeCapture.NodesFrame, $"a snapshot of the tree has a frame of kind {kind}, which this version does not know");
        while (!reader.End)
            ReadNode(ref reader);
    }

    public void Complete(in CommandContext context)
    {
        Invariant.Holds(_header is not null, "a snapshot of the tree has no header");
        var (zxid, count, digest) = _header!.Value;
        Invariant.Holds(_unfilled == 0, $"a snapshot of the tree lacks {_unfilled} nodes that are parents of others");
        Invariant.Holds(_store.Count == count, $"a snapshot of the tree holds {_store.Count} nodes; its header says {count}");
        Invariant.Holds(_store.Digest == digest, $"a snapshot of the tree gives the digest {_store.Digest}; its header says {digest}");
        Invariant.Holds(context.Zxid >= zxid, $"a snapshot of the tree as of zxid {zxid} was installed as of {context.Zxid}, before it");
        // Not what the snapshot ends with: that may be an entry of the node's own, and whoever applied it stayed at the zxid before it.
        tree.Replace(_store, zxid);
    }

    private void ReadNode(ref MessagePackReader reader)
    {
        reader.ReadArrayHeader(TreeCapture.NodeFields);
        var path = reader.ReadRequiredString();
        Invariant.Holds(ZnodePath.IsValid(path, out _), $"a snapshot of the tree holds a node whose path no node can have: {path}");
        var data = reader.TryReadNil() ? default : reader.ReadBytesMemory();
        var (createdZxid, modifiedZxid) = (reader.ReadInt64(), reader.ReadInt64());
        var (createdTime, modifiedTime) = (reader.ReadInt64(), reader.ReadInt64());
        var version = reader.ReadInt32();
        var owner = reader.ReadInt64();
        var image = new NodeImage(
            data, createdZxid, modifiedZxid, createdTime, modifiedTime, version, reader.ReadInt64(), reader.ReadInt64());

        var node = FindOrAdd(path, owner);
        Invariant.Holds(TreeStore.IsPlaceholder(node), $"a snapshot of the tree holds {path} twice");
        Invariant.Holds(node.Owner == owner, $"a snapshot of the tree holds {path} with children, and as an ephemeral of session {owner}");
        _store.Fill(node, path, image);
        _unfilled--;
    }

    private TreeNode FindOrAdd(string path, long owner)
    {
        if (_store.Find(path) is { } found)
            return found;

        // Up to the nearest ancestor that is there, then down again: a loop, since a path may have hundreds of thousands of elements.
        var missing = new Stack<string>();
        TreeNode? node;
        for (var at = path; (node = _store.Find(at)) is null; at = ZnodePath.Parent(at)!)
            missing.Push(at);
        while (missing.TryPop(out var next))
        {
            Invariant.Holds(node is not EphemeralNode, $"a snapshot of the tree holds {next} below an ephemeral");
            node = _store.AddPlaceholder(node, next, ZnodePath.Name(next), missing.Count == 0 ? owner : 0);
            _unfilled++;
        }
        return node;
    }
}
