using RaftKit.Node.Loop;
using RaftKit.Znodes.Sessions;
using RaftKit.Znodes.Tree;

namespace RaftKit.Znodes.Watches;

/// <summary>
/// A consistent copy of a path and all below it, made a slice a turn while entries are applied in between. What changes meanwhile is heard
/// like by any watcher and read again; once everything is visited and nothing is left to be read again, the copy is the state of that very
/// moment. Loop thread only.
/// </summary>
internal sealed class SubtreeCopy(
    LocalSession session, string root, bool recursive, Action<IReadOnlyCollection<Znode>, long> done, Action abandoned)
    : ISessionWatcher, ILoopCall
{
    private const int NodesPerSlice = 1024;

    private readonly Dictionary<string, Znode> _copied = [];
    private readonly Stack<string> _unvisited = new();
    private readonly HashSet<string> _changed = [];
    private bool _ended;

    object IWatcher.Owner => session;

    private SessionKeeper Keeper => session.Keeper;

    public void Begin()
    {
        Keeper.Watch(this, root, recursive ? WatchMode.PersistentRecursive : WatchMode.Persistent);
        Keeper.Copies.Add(this);
        Restart();
        Run();
    }

    /// <summary>The whole tree was replaced: nothing that was read counts any more.</summary>
    public void Restart()
    {
        _copied.Clear();
        _changed.Clear();
        _unvisited.Clear();
        _unvisited.Push(root);
    }

    /// <summary>The next slice.</summary>
    public void Run()
    {
        if (_ended)
            return;
        var tree = Keeper.Machine.Tree;
        for (var left = NodesPerSlice; left > 0; left--)
        {
            if (_unvisited.TryPop(out var path))
            {
                Visit(tree, path);
            }
            else if (_changed.Count > 0)
            {
                path = _changed.First();
                _changed.Remove(path);
                ReadAgain(tree, path);
            }
            else
            {
                End();
                done(_copied.Values, Keeper.Machine.Zxid);
                return;
            }
        }
        session.Inbox.Post(new NodeInput.Call(this));
    }

    void ILoopCall.Stopped()
    {
        // Its session has ended with the loop, and said so.
    }

    void IWatcher.Notify(in WatchEvent watchEvent)
    {
        _changed.Add(watchEvent.Path);
        // Its parent's counters changed with it, of which a recursive watcher is not told.
        if (watchEvent.Type is WatchEventType.Created or WatchEventType.Deleted && watchEvent.Path.Length > root.Length)
            _changed.Add(watchEvent.Path[..Math.Max(1, watchEvent.Path.LastIndexOf('/'))]);
    }

    void ISessionWatcher.SessionEnded()
    {
        End();
        abandoned();
    }

    private void Visit(ZnodeTree tree, string path)
    {
        ReadAgain(tree, path);
        if (!recursive || !_copied.ContainsKey(path) || tree.Children(path, out _) is not { } names)
            return;
        foreach (var name in names)
            _unvisited.Push(path == ZnodePath.Root ? "/" + name : path + "/" + name);
    }

    private void ReadAgain(ZnodeTree tree, string path)
    {
        if (tree.TryGet(path, out var data, out var stat))
            _copied[path] = new Znode(path, data, stat, 0);
        else
            _copied.Remove(path);
    }

    private void End()
    {
        _ended = true;
        Keeper.Watches.Remove(this);
        Keeper.Copies.Remove(this);
    }
}
