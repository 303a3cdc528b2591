namespace RaftKit.Znodes.Tree;

/// <summary>Reads of the tree from any thread (see <see cref="ReadGate"/> for why they are whole).</summary>
internal sealed class TreeView(ZnodeTree tree, ReadGate gate)
{
    // Chains are a few nodes long; only a look-up that the loop leads from chain to chain takes so many steps.
    private const int MaxSteps = 1000;

    public long Zxid => gate.Read(tree, 0, static (ZnodeTree tree, int _, bool _, out long zxid) =>
    {
        zxid = tree.Zxid;
        return true;
    });

    public int Count => gate.Read(tree, 0, static (ZnodeTree tree, int _, bool _, out int count) =>
    {
        count = tree.Count;
        return true;
    });

    public (ulong Digest, long Zxid) Digest => gate.Read(tree, 0, static (ZnodeTree tree, int _, bool _, out (ulong, long) digest) =>
    {
        digest = (tree.Digest, tree.Zxid);
        return true;
    });

    public Znode? Get(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        var (found, data, stat, zxid) = gate.Read(
            tree, path, static (ZnodeTree tree, string path, bool exclusive, out (bool, ReadOnlyMemory<byte>, ZnodeStat, long) seen) =>
            {
                var store = tree.Store;
                var node = store.Find(path, exclusive ? int.MaxValue : MaxSteps, out var gaveUp);
                seen = node is null ? default : (true, store.DataOf(node), node.Stat, tree.Zxid);
                return !gaveUp;
            });
        return found ? new Znode(path, ZnodeTree.Copied(data), stat, zxid) : null;
    }

    public ZnodeChildren? GetChildren(string path)
    {
        ArgumentNullException.ThrowIfNull(path);
        var (names, stat, zxid) = gate.Read(
            tree, path, static (ZnodeTree tree, string path, bool exclusive, out (string[]?, ZnodeStat, long) seen) =>
            {
                var node = tree.Store.Find(path, exclusive ? int.MaxValue : MaxSteps, out var gaveUp);
                seen = node is null ? default : (node.Children?.ToArray() ?? [], node.Stat, tree.Zxid);
                return !gaveUp;
            });
        return names is null ? null : new ZnodeChildren(path, names, stat, zxid);
    }
}
