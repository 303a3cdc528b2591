using RaftKit.Znodes.Tree;

namespace RaftKit.Znodes.Watches;

/// <summary>
/// Finds what a watch missed when a snapshot jumped over entries: what was watched is noted before, and compared with the restored state
/// after. What was created and deleted in between cannot be seen and is not told; everything else is, once, in the order of zxids.
/// </summary>
internal sealed class RestoreComparison
{
    private readonly WatchTable _watches;
    private readonly long _zxidBefore;
    private readonly Dictionary<string, long> _createdBefore = [];
    private readonly List<string> _recursive = [];
    private readonly List<WatchEvent> _found = [];

    /// <summary>Before the restore: notes what is watched and when it was created.</summary>
    public RestoreComparison(WatchTable watches, ZnodeTree tree, long zxid)
    {
        _watches = watches;
        _zxidBefore = zxid;
        foreach (var watched in watches.Paths)
            Note(tree, watched.Path, (watched.Union & WatchModes.Recursive) != 0);
    }

    /// <summary>A path is watched, by somebody who saw the tree as it was before.</summary>
    public void Note(ZnodeTree tree, string path, bool recursive)
    {
        if (tree.TryGetStat(path, out var stat))
            _createdBefore[path] = stat.CreatedZxid;
        if (!recursive)
            return;
        _recursive.Add(path);
        Walk(tree, path, (below, before) => _createdBefore[below] = before.CreatedZxid);
    }

    /// <summary>After the restore: tells every watcher what it would have heard.</summary>
    public void Tell(ZnodeTree tree, long zxid)
    {
        var paths = new HashSet<string>(_createdBefore.Keys);
        foreach (var watched in _watches.Paths)
            paths.Add(watched.Path);
        foreach (var root in _recursive)
            Walk(tree, root, (path, _) => paths.Add(path));
        foreach (var path in paths)
            Compare(tree, path, zxid);

        // A deletion stands before the creation that followed it, also under the same number: OrderBy is stable.
        foreach (var found in _found.OrderBy(f => f.Zxid).ThenBy(f => f.Type == WatchEventType.Deleted ? 0 : 1).ThenBy(
            f => f.Path, StringComparer.Ordinal))
            _watches.TellFound(found);
    }

    private void Compare(ZnodeTree tree, string path, long zxid)
    {
        var existed = _createdBefore.TryGetValue(path, out var createdBefore);
        if (!tree.TryGetStat(path, out var stat))
        {
            if (existed)
                _found.Add(new WatchEvent(WatchEventType.Deleted, path, zxid));
            return;
        }
        var created = !existed || stat.CreatedZxid != createdBefore;
        if (created && existed)
            _found.Add(new WatchEvent(WatchEventType.Deleted, path, stat.CreatedZxid));
        if (created)
            _found.Add(new WatchEvent(WatchEventType.Created, path, stat.CreatedZxid));
        var since = created ? stat.CreatedZxid : _zxidBefore;
        if (stat.ModifiedZxid > since)
            _found.Add(new WatchEvent(WatchEventType.DataChanged, path, stat.ModifiedZxid));
        if (stat.ChildrenZxid > since)
            _found.Add(new WatchEvent(WatchEventType.ChildrenChanged, path, stat.ChildrenZxid));
    }

    private static void Walk(ZnodeTree tree, string root, Action<string, ZnodeStat> visit)
    {
        var open = new Stack<string>([root]);
        while (open.TryPop(out var path))
        {
            if (tree.Children(path, out var stat) is not { } names)
                continue;
            visit(path, stat);
            foreach (var name in names)
                open.Push(path == ZnodePath.Root ? "/" + name : path + "/" + name);
        }
    }
}
