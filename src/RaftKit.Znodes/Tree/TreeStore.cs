using RaftKit.Consensus;

namespace RaftKit.Znodes.Tree;

/// <summary>
/// The nodes with all that is kept about them: the map, the slots, the ephemerals of each session, the digest, the open capture. Each
/// change of a node goes through here, in the same steps: the capture sees it first, its old hash leaves the digest, its new one enters. It
/// knows no rule of ZooKeeper; those are <see cref="ZnodeTree"/>'s.
/// </summary>
internal sealed class TreeStore
{
    /// <summary>
    /// What a node costs besides its name and data: the object, its bucket, slot, place among the children, its data's header and slack.
    /// </summary>
    private const int NodeBytes = 200;

    private readonly NodeMap _map = new();
    private readonly SlotTable _slots = new();
    private readonly DataPages _data;
    private TreeCapture? _capture;
    private int _captures;

    /// <summary>What a placeholder's creation is until it is filled. No zxid is negative.</summary>
    private const long Unfilled = long.MinValue;

    /// <param name="forRestore">Whether a snapshot will give the root's fields too.</param>
    public TreeStore(bool forRestore = false)
    {
        _data = new DataPages(_slots);
        Root = new TreeNode("", null) { ContentHash = TreeDigest.Content(ZnodePath.Root, default) };
        if (forRestore)
            Root.CreatedZxid = Unfilled;
        AddToIndexes(Root, ZnodePath.Root, default);
        Digest = TreeDigest.Of(Root);
    }

    public TreeNode Root { get; }

    public EphemeralIndex Ephemerals { get; } = new();

    public SlotTable Slots => _slots;

    public int Count => _map.Count;

    public ulong Digest { get; private set; }

    public long Bytes { get; private set; }

    public TreeNode? Find(ReadOnlySpan<char> path) => path is ZnodePath.Root ? Root : _map.Find(path);

    /// <summary>As <see cref="Find(ReadOnlySpan{char})"/>, while the loop may be changing the tree.</summary>
    public TreeNode? Find(ReadOnlySpan<char> path, int maxSteps, out bool gaveUp)
    {
        gaveUp = false;
        return path is ZnodePath.Root ? Root : _map.Find(path, NodeMap.Hash(path), maxSteps, out gaveUp);
    }

    /// <summary>
    /// A node's data: <c>default</c> if it is null. Never changed in place; but a small part of a page, so whoever keeps it long takes a
    /// copy. Any thread, as <see cref="DataPages.Of"/>.
    /// </summary>
    public ReadOnlyMemory<byte> DataOf(TreeNode node) => _data.Of(node);

    /// <summary>Creates a child. The caller has checked that it may.</summary>
    public TreeNode Create(TreeNode parent, string path, ReadOnlySpan<char> name, ReadOnlyMemory<byte> data, long owner, in TreeStamp stamp)
    {
        var node = NewNode(parent, name.ToString(), owner);
        node.CreatedZxid = node.ModifiedZxid = stamp.Zxid;
        node.CreatedTime = node.ModifiedTime = stamp.Time;
        node.ContentHash = TreeDigest.Content(path, data);
        Link(node, path, data, stamp.Zxid, creates: 1);
        return node;
    }

    /// <summary>Deletes a node without children.</summary>
    public void Delete(TreeNode node, in TreeStamp stamp) => Unlink(node, stamp.Zxid, creates: 0);

    public void SetData(TreeNode node, string path, ReadOnlyMemory<byte> data, in TreeStamp stamp)
    {
        BeforeChange(node);
        PutData(node, data);
        node.Version = unchecked(node.Version + 1);
        node.ModifiedZxid = stamp.Zxid;
        node.ModifiedTime = stamp.Time;
        node.ContentHash = TreeDigest.Content(path, data);
        AfterChange(node);
    }

    /// <summary>Takes back a creation of the entry at hand.</summary>
    public void UndoCreate(TreeNode node, long parentsChildrenZxid) => Unlink(node, parentsChildrenZxid, creates: -1);

    /// <summary>Takes back a deletion of the entry at hand: the node returns as it was.</summary>
    public void UndoDelete(TreeNode node, string path, ReadOnlyMemory<byte> data, long parentsChildrenZxid) =>
        Link(node, path, data, parentsChildrenZxid, creates: 0);

    /// <summary>Takes back a change of data of the entry at hand.</summary>
    public void UndoSetData(TreeNode node, in DataBefore before)
    {
        BeforeChange(node);
        PutData(node, before.Data);
        node.Version = before.Version;
        node.ModifiedZxid = before.ModifiedZxid;
        node.ModifiedTime = before.ModifiedTime;
        node.ContentHash = before.ContentHash;
        AfterChange(node);
    }

    /// <summary>Adds a node whose fields a snapshot will give, or gives now (see <see cref="Fill"/>).</summary>
    public TreeNode AddPlaceholder(TreeNode parent, string path, ReadOnlySpan<char> name, long owner)
    {
        var node = NewNode(parent, name.ToString(), owner);
        node.CreatedZxid = Unfilled;
        AddToIndexes(node, path, default);
        Digest += TreeDigest.Of(node);

        Digest -= TreeDigest.Of(parent);
        ChildrenOf(parent).Add(node.Name);
        Digest += TreeDigest.Of(parent);
        return node;
    }

    public static bool IsPlaceholder(TreeNode node) => node.CreatedZxid == Unfilled;

    /// <summary>Gives a node that <see cref="AddPlaceholder"/> added (or the root) what a snapshot says of it.</summary>
    public void Fill(TreeNode node, string path, in NodeImage image)
    {
        Digest -= TreeDigest.Of(node);
        PutData(node, image.Data);
        node.CreatedZxid = image.CreatedZxid;
        node.ModifiedZxid = image.ModifiedZxid;
        node.CreatedTime = image.CreatedTime;
        node.ModifiedTime = image.ModifiedTime;
        node.Version = image.Version;
        if (image.Creates != 0 || image.ChildrenZxid != image.CreatedZxid || node.Children is not null)
        {
            var children = ChildrenOf(node);
            children.Creates = image.Creates;
            children.ChangedZxid = image.ChildrenZxid;
        }
        node.ContentHash = TreeDigest.Content(path, image.Data);
        Digest += TreeDigest.Of(node);
    }

    /// <summary>The digest computed anew from every node: what <see cref="Digest"/> must always equal.</summary>
    public ulong ComputeDigest()
    {
        ulong digest = 0;
        for (var slot = 0; slot < _slots.Count; slot++)
        {
            var node = _slots[slot];
            Invariant.Holds(
                node.ContentHash == TreeDigest.Content(node.Path, DataOf(node)),
                $"the kept content hash of {node.Path} is not that of its content");
            digest += TreeDigest.Of(node);
        }
        return digest;
    }

    public TreeCapture BeginCapture(long zxid)
    {
        Invariant.Holds(_capture is null, "a capture of the tree was begun while another is open");
        return _capture = new TreeCapture(this, zxid, ++_captures);
    }

    public void EndCapture(TreeCapture capture)
    {
        if (ReferenceEquals(_capture, capture))
            _capture = null;
    }

    private static TreeNode NewNode(TreeNode parent, string name, long owner) =>
        owner == 0 ? new TreeNode(name, parent) : new EphemeralNode(name, parent, owner);

    private static ChildSet ChildrenOf(TreeNode node) => node.Children ??= new ChildSet { ChangedZxid = node.CreatedZxid };

    private void Link(TreeNode node, string path, ReadOnlyMemory<byte> data, long parentsChildrenZxid, int creates)
    {
        var parent = node.Parent!;
        BeforeChange(parent);
        var siblings = ChildrenOf(parent);
        siblings.Add(node.Name);
        siblings.Creates += creates;
        siblings.ChangedZxid = parentsChildrenZxid;
        AfterChange(parent);

        AddToIndexes(node, path, data);
        Digest += TreeDigest.Of(node);
    }

    private void Unlink(TreeNode node, long parentsChildrenZxid, int creates)
    {
        BeforeChange(node);
        _map.Remove(node);
        Bytes -= BytesOf(node);
        _data.Drop(node);
        _data.Moved(_slots.Remove(node));
        if (node is EphemeralNode ephemeral)
            Ephemerals.Remove(ephemeral);

        var parent = node.Parent!;
        BeforeChange(parent);
        var siblings = ChildrenOf(parent);
        siblings.Remove(node.Name);
        siblings.Creates += creates;
        siblings.ChangedZxid = parentsChildrenZxid;
        AfterChange(parent);
    }

    private void AddToIndexes(TreeNode node, string path, ReadOnlyMemory<byte> data)
    {
        node.PathHash = NodeMap.Hash(path);
        node.CapturedIn = _captures;
        _map.Add(node);
        _slots.Add(node);
        _data.Put(node, data);
        if (node is EphemeralNode ephemeral)
            Ephemerals.Add(ephemeral);
        Bytes += BytesOf(node);
    }

    private void PutData(TreeNode node, ReadOnlyMemory<byte> data)
    {
        Bytes -= node.DataLength;
        _data.Put(node, data);
        Bytes += node.DataLength;
    }

    private static long BytesOf(TreeNode node) => NodeBytes + 2 * node.Name.Length + node.DataLength;

    private void BeforeChange(TreeNode node)
    {
        _capture?.BeforeChange(node);
        Digest -= TreeDigest.Of(node);
    }

    private void AfterChange(TreeNode node) => Digest += TreeDigest.Of(node);
}

/// <summary>What a change of data changes, as it was before.</summary>
internal readonly record struct DataBefore(ReadOnlyMemory<byte> Data, int Version, long ModifiedZxid, long ModifiedTime, ulong ContentHash);
