using RaftKit.Node.Loop;

namespace RaftKit.Znodes.Tree;

/// <summary>
/// The replicated tree: ZooKeeper's rules over a <see cref="TreeStore"/>. Deterministic, and never throws on a command: a refusal is a
/// result. Everything but <see cref="View"/> belongs to the loop's thread.
/// </summary>
internal sealed class ZnodeTree
{
    private readonly ReadGate _gate = new();
    private readonly List<Undo> _undo = [];
    private TreeStore _store = new();
    private long _zxid;
    private int _entryDepth;

    public ZnodeTree() => View = new TreeView(this, _gate);

    /// <summary>Reads for any thread: whole entries only.</summary>
    public TreeView View { get; }

    /// <summary>The zxid of the last entry.</summary>
    public long Zxid => _zxid;

    /// <summary>How many znodes there are, the root included.</summary>
    public int Count => _store.Count;

    /// <summary>About how much memory they take.</summary>
    public long ApproximateBytes => _store.Bytes;

    /// <summary>A digest of the whole state, kept up with each change; equal on all members at the same zxid.</summary>
    public ulong Digest => _store.Digest;

    internal TreeStore Store => _store;

    /// <summary>
    /// Brackets everything that one entry of the log does: other threads see all of it or nothing, and its zxid even if it changes nothing.
    /// <see cref="Apply"/> and <see cref="RemoveEphemerals"/> bracket themselves when they stand alone.
    /// </summary>
    public Entry BeginEntry(long zxid) => new(this, zxid);

    /// <summary>
    /// Applies a command, and adds what it changed to <paramref name="changes"/>. A multi that fails leaves nothing behind.
    /// </summary>
    public TreeResult Apply(TreeCommand command, long sessionId, in TreeStamp stamp, List<TreeChange> changes)
    {
        using var entry = BeginEntry(stamp.Zxid);
        return command is TreeCommand.Multi multi
            ? ApplyMulti(multi, sessionId, stamp, changes)
            : new TreeResult(ApplyOne(command, sessionId, stamp, changes, undo: null));
    }

    /// <summary>Removes all ephemerals of a session, in the ordinal order of their paths; always possible, whatever their number.</summary>
    public void RemoveEphemerals(long sessionId, in TreeStamp stamp, List<TreeChange> changes)
    {
        using var entry = BeginEntry(stamp.Zxid);
        var (paths, nodes) = _store.Ephemerals.Sorted(sessionId);
        for (var i = 0; i < nodes.Length; i++)
        {
            _store.Delete(nodes[i], stamp);
            changes.Add(new TreeChange(TreeChangeKind.Deleted, paths[i], stamp.Zxid));
        }
    }

    /// <summary>The paths of a session's ephemerals, in ordinal order.</summary>
    public IReadOnlyCollection<string> EphemeralsOf(long sessionId) => _store.Ephemerals.Sorted(sessionId).Paths;

    public int CountEphemeralsOf(long sessionId) => _store.Ephemerals.CountOf(sessionId);

    /// <summary>Reads a znode. Its data is a copy; <c>default</c> if it is null.</summary>
    public bool TryGet(string path, out ReadOnlyMemory<byte> data, out ZnodeStat stat)
    {
        var node = _store.Find(path);
        data = node is null ? default : Copied(_store.DataOf(node));
        stat = node?.Stat ?? default;
        return node is not null;
    }

    public bool TryGetStat(string path, out ZnodeStat stat)
    {
        var node = _store.Find(path);
        stat = node?.Stat ?? default;
        return node is not null;
    }

    /// <summary>The children's names in ordinal order, as a copy; null if there is no such znode.</summary>
    public IReadOnlyList<string>? Children(string path, out ZnodeStat stat)
    {
        var node = _store.Find(path);
        stat = node?.Stat ?? default;
        return node is null ? null : node.Children?.ToArray() ?? [];
    }

    /// <summary>
    /// Begins a snapshot of this moment, to be written in slices while applying goes on: a node that is to change before it was written is
    /// put aside first, a node created later is left out. One at a time.
    /// </summary>
    public ISnapshotCapture Capture() => _store.BeginCapture(_zxid);

    /// <summary>Begins to replace the whole tree. Reads see the old one until it is complete.</summary>
    public IStateRestorer BeginRestore() => new TreeRestorer(this);

    internal void Replace(TreeStore store, long zxid)
    {
        using var entry = BeginEntry(zxid);
        _store = store;
    }

    private TreeResult ApplyMulti(TreeCommand.Multi multi, long sessionId, in TreeStamp stamp, List<TreeChange> changes)
    {
        var results = new ZnodeOperationResult[multi.Operations.Count];
        var changesBefore = changes.Count;
        _undo.Clear();
        for (var i = 0; i < results.Length; i++)
        {
            results[i] = ApplyOne(multi.Operations[i], sessionId, stamp, changes, _undo);
            if (results[i].Error == ZnodeError.None)
                continue;

            for (var u = _undo.Count - 1; u >= 0; u--)
                TakeBack(_undo[u]);
            changes.RemoveRange(changesBefore, changes.Count - changesBefore);
            // As ZooKeeper answers: 0 before the one that failed, its error, RuntimeInconsistency after it. No Stat of what never was.
            for (var other = 0; other < results.Length; other++)
                if (other != i)
                    results[other] = new ZnodeOperationResult(
                        other < i ? ZnodeError.None : ZnodeError.RuntimeInconsistency, PathOf(multi.Operations[other]), default);
            break;
        }
        _undo.Clear();
        return new TreeResult(results);
    }

    private ZnodeOperationResult ApplyOne(
        TreeCommand command, long sessionId, in TreeStamp stamp, List<TreeChange> changes, List<Undo>? undo) => command switch
        {
            TreeCommand.Create create => Create(create, sessionId, stamp, changes, undo),
            TreeCommand.Set set => Set(set, stamp, changes, undo),
            TreeCommand.Delete delete => Delete(delete, stamp, changes, undo),
            TreeCommand.Check check => Check(check),
            _ => Refuse(ZnodeError.BadArguments, PathOf(command)),
        };

    // The order of the checks is ZooKeeper's: a missing parent wins over a bad last element, which wins over an existing node.
    private ZnodeOperationResult Create(
        TreeCommand.Create create, long sessionId, in TreeStamp stamp, List<TreeChange> changes, List<Undo>? undo)
    {
        var path = create.Path;
        var ephemeral = create.Mode is CreateMode.Ephemeral or CreateMode.EphemeralSequential;
        if (create.Mode is < CreateMode.Persistent or > CreateMode.EphemeralSequential || (ephemeral && sessionId == 0))
            return Refuse(ZnodeError.BadArguments, path);
        var slash = path.LastIndexOf('/');
        if (slash < 0 || path.Contains('\0'))
            return Refuse(ZnodeError.BadArguments, path);
        var parent = slash == 0 ? _store.Root : _store.Find(path.AsSpan(0, slash));
        if (parent is null)
            return Refuse(ZnodeError.NoNode, path);
        if (create.Mode is CreateMode.PersistentSequential or CreateMode.EphemeralSequential)
            path = SequenceNumber.Append(path, parent.Creates);
        if (!ZnodePath.IsValid(path, out _))
            return Refuse(ZnodeError.BadArguments, create.Path);
        if (_store.Find(path) is not null)
            return Refuse(ZnodeError.NodeExists, path);
        if (parent is EphemeralNode)
            return Refuse(ZnodeError.NoChildrenForEphemerals, path);

        undo?.Add(new Undo(TreeChangeKind.Created, null, path, parent.ChildrenZxid, default));
        var node = _store.Create(parent, path, path.AsSpan(slash + 1), create.Data, ephemeral ? sessionId : 0, stamp);
        changes.Add(new TreeChange(TreeChangeKind.Created, path, stamp.Zxid));
        return new ZnodeOperationResult(ZnodeError.None, path, node.Stat);
    }

    private ZnodeOperationResult Set(TreeCommand.Set set, in TreeStamp stamp, List<TreeChange> changes, List<Undo>? undo)
    {
        if (!ZnodePath.IsValid(set.Path, out _))
            return Refuse(ZnodeError.BadArguments, set.Path);
        if (_store.Find(set.Path) is not { } node)
            return Refuse(ZnodeError.NoNode, set.Path);
        if (!IsExpected(node, set.ExpectedVersion))
            return Refuse(ZnodeError.BadVersion, set.Path);

        undo?.Add(new Undo(
            TreeChangeKind.DataChanged, node, set.Path, 0,
            new DataBefore(_store.DataOf(node), node.Version, node.ModifiedZxid, node.ModifiedTime, node.ContentHash)));
        _store.SetData(node, set.Path, set.Data, stamp);
        changes.Add(new TreeChange(TreeChangeKind.DataChanged, set.Path, stamp.Zxid));
        return new ZnodeOperationResult(ZnodeError.None, set.Path, node.Stat);
    }

    // A malformed path is just a node that is not there, unless it names no parent at all or cannot be a path in any store.
    private ZnodeOperationResult Delete(TreeCommand.Delete delete, in TreeStamp stamp, List<TreeChange> changes, List<Undo>? undo)
    {
        if (delete.Path is ZnodePath.Root || !delete.Path.Contains('/') || delete.Path.Contains('\0'))
            return Refuse(ZnodeError.BadArguments, delete.Path);
        if (_store.Find(delete.Path) is not { } node)
            return Refuse(ZnodeError.NoNode, delete.Path);
        if (!IsExpected(node, delete.ExpectedVersion))
            return Refuse(ZnodeError.BadVersion, delete.Path);
        if (node.ChildCount > 0)
            return Refuse(ZnodeError.NotEmpty, delete.Path);

        undo?.Add(new Undo(
            TreeChangeKind.Deleted, node, delete.Path, node.Parent!.ChildrenZxid, new DataBefore { Data = _store.DataOf(node) }));
        _store.Delete(node, stamp);
        changes.Add(new TreeChange(TreeChangeKind.Deleted, delete.Path, stamp.Zxid));
        return new ZnodeOperationResult(ZnodeError.None, delete.Path, default);
    }

    private ZnodeOperationResult Check(TreeCommand.Check check)
    {
        if (!ZnodePath.IsValid(check.Path, out _))
            return Refuse(ZnodeError.BadArguments, check.Path);
        if (_store.Find(check.Path) is not { } node)
            return Refuse(ZnodeError.NoNode, check.Path);
        return IsExpected(node, check.ExpectedVersion)
            ? new ZnodeOperationResult(ZnodeError.None, check.Path, default)
            : Refuse(ZnodeError.BadVersion, check.Path);
    }

    private void TakeBack(in Undo undo)
    {
        switch (undo.Kind)
        {
            case TreeChangeKind.Created:
                _store.UndoCreate(_store.Find(undo.Path)!, undo.ParentsChildrenZxid);
                break;
            case TreeChangeKind.Deleted:
                _store.UndoDelete(undo.Node!, undo.Path, undo.Data.Data, undo.ParentsChildrenZxid);
                break;
            case TreeChangeKind.DataChanged:
                _store.UndoSetData(undo.Node!, undo.Data);
                break;
        }
    }

    /// <summary>For those outside, who may keep it: a slice would keep its whole page.</summary>
    internal static ReadOnlyMemory<byte> Copied(ReadOnlyMemory<byte> data) => data.Equals(default) ? default : data.ToArray();

    private static bool IsExpected(TreeNode node, int version) => version == TreeCommand.AnyVersion || version == node.Version;

    private static ZnodeOperationResult Refuse(ZnodeError error, string path) => new(error, path, default);

    private static string PathOf(TreeCommand command) => command switch
    {
        TreeCommand.Create create => create.Path,
        TreeCommand.Set set => set.Path,
        TreeCommand.Delete delete => delete.Path,
        TreeCommand.Check check => check.Path,
        _ => "",
    };

    /// <summary>How one operation of a multi is taken back.</summary>
    private readonly record struct Undo(TreeChangeKind Kind, TreeNode? Node, string Path, long ParentsChildrenZxid, DataBefore Data);

    /// <summary>See <see cref="BeginEntry"/>.</summary>
    internal readonly ref struct Entry : IDisposable
    {
        private readonly ZnodeTree _tree;

        public Entry(ZnodeTree tree, long zxid)
        {
            _tree = tree;
            if (tree._entryDepth++ == 0)
                tree._gate.Enter();
            tree._zxid = zxid;
        }

        public void Dispose()
        {
            if (--_tree._entryDepth == 0)
                _tree._gate.Exit();
        }
    }
}
