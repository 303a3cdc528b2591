using RaftKit.Znodes.Tree;

namespace RaftKit.Znodes.Watches;

/// <summary>
/// Who watches what on this member: local, never replicated. Told of every change in zxid order, it tells each watcher once, before the
/// write that caused it is answered. Loop thread only.
/// </summary>
internal sealed class WatchTable
{
    private readonly Dictionary<string, PathWatches> _paths = [];
    private readonly Dictionary<string, PathWatches>.AlternateLookup<ReadOnlySpan<char>> _bySpan;
    private readonly Dictionary<IWatcher, HashSet<string>> _watchers = [];
    private readonly Dictionary<object, HashSet<IWatcher>> _owners = [];
    private readonly List<(IWatcher Watcher, WatchModes Left)> _told = [];
    private readonly HashSet<IWatcher> _toldOnce = [];
    private int _recursive;

    public WatchTable() => _bySpan = _paths.GetAlternateLookup<ReadOnlySpan<char>>();

    /// <summary>How many paths are watched.</summary>
    public int PathCount => _paths.Count;

    /// <summary>How many events were handed to watchers.</summary>
    public long EventCount { get; private set; }

    public IEnumerable<PathWatches> Paths => _paths.Values;

    public void Add(IWatcher watcher, string path, WatchMode mode)
    {
        if (!_paths.TryGetValue(path, out var watches))
            _paths.Add(path, watches = new PathWatches(path));
        var before = watches[watcher];
        var after = before | Of(mode);
        watches[watcher] = after;
        if ((after & ~before & WatchModes.Recursive) != 0)
            _recursive++;
        if (!_watchers.TryGetValue(watcher, out var paths))
        {
            _watchers.Add(watcher, paths = []);
            if (!_owners.TryGetValue(watcher.Owner, out var watchers))
                _owners.Add(watcher.Owner, watchers = []);
            watchers.Add(watcher);
        }
        paths.Add(path);
    }

    /// <summary>Ends one watch.</summary>
    /// <returns>Whether there was one.</returns>
    public bool Remove(IWatcher watcher, string path, WatchMode mode)
    {
        if (!_paths.TryGetValue(path, out var watches))
            return false;
        var before = watches[watcher];
        var after = before & ~Of(mode);
        if (after == before)
            return false;
        Set(watches, watcher, before, after);
        return true;
    }

    /// <summary>Ends every watch of a watcher.</summary>
    public void Remove(IWatcher watcher)
    {
        if (!_watchers.TryGetValue(watcher, out var paths))
            return;
        foreach (var path in paths.ToArray())
        {
            var watches = _paths[path];
            Set(watches, watcher, watches[watcher], WatchModes.None);
        }
    }

    /// <summary>Ends every watch of an owner, and says who watched for it.</summary>
    public IReadOnlyCollection<IWatcher> RemoveAllOf(object owner)
    {
        if (!_owners.TryGetValue(owner, out var watchers))
            return [];
        var all = watchers.ToArray();
        foreach (var watcher in all)
            Remove(watcher);
        return all;
    }

    /// <summary>How many watchers there are.</summary>
    public int WatcherCount => _watchers.Count;

    public bool Watches(IWatcher watcher, string path, WatchMode mode) =>
        _paths.TryGetValue(path, out var watches) && (watches[watcher] & Of(mode)) != 0;

    /// <summary>Tells everybody whom a change concerns.</summary>
    public void Tell(in TreeChange change)
    {
        if (_paths.Count == 0)
            return;
        // A deletion ends the data and the child watches of the znode; its watcher hears of it once even if it had both.
        var any = change.Kind == TreeChangeKind.Deleted
            ? WatchModes.OneShot | WatchModes.Persistent
            : WatchModes.Data | WatchModes.Persistent;
        TellPath(new WatchEvent((WatchEventType)change.Kind, change.Path, change.Zxid), any);
        if (change.ChangesParentsChildren && _bySpan.TryGetValue(change.ParentSpan, out var parent))
        {
            parent.Take(WatchModes.Children | WatchModes.Persistent, WatchModes.Children, _told);
            Notify(new WatchEvent(WatchEventType.ChildrenChanged, parent.Path, change.Zxid), parent);
        }
    }

    /// <summary>Tells of an event that was found by comparing states, as if the change had been applied here.</summary>
    public void TellFound(in WatchEvent found)
    {
        switch (found.Type)
        {
            case WatchEventType.ChildrenChanged:
                if (_paths.TryGetValue(found.Path, out var watches))
                {
                    watches.Take(WatchModes.Children | WatchModes.Persistent, WatchModes.Children, _told);
                    Notify(found, watches);
                }
                break;
            case WatchEventType.Deleted:
                TellPath(found, WatchModes.OneShot | WatchModes.Persistent);
                break;
            default:
                TellPath(found, WatchModes.Data | WatchModes.Persistent);
                break;
        }
    }

    private void TellPath(in WatchEvent watchEvent, WatchModes any)
    {
        _paths.TryGetValue(watchEvent.Path, out var own);
        own?.Take(any | WatchModes.Recursive, any & WatchModes.OneShot, _told);
        if (_recursive > 0)
            AddAncestors(watchEvent.Path);
        Notify(watchEvent, own);
    }

    private void AddAncestors(ReadOnlySpan<char> path)
    {
        while (path.Length > 1)
        {
            path = path[..Math.Max(1, path.LastIndexOf('/'))];
            if (_bySpan.TryGetValue(path, out var above))
                above.Take(WatchModes.Recursive, WatchModes.None, _told);
        }
    }

    /// <summary>Tells those taken, once each, and forgets the watches that they have used up at <paramref name="own"/>.</summary>
    private void Notify(in WatchEvent watchEvent, PathWatches? own)
    {
        if (_told.Count == 0)
            return;
        var single = _told.Count == 1;
        foreach (var (watcher, left) in _told)
        {
            if (left == WatchModes.None && own is not null)
                ForgetPath(watcher, own.Path);
            if (!single && !_toldOnce.Add(watcher))
                continue;
            EventCount++;
            watcher.Notify(watchEvent);
        }
        _told.Clear();
        _toldOnce.Clear();
        if (own is { IsEmpty: true })
            _paths.Remove(own.Path);
    }

    private void Set(PathWatches watches, IWatcher watcher, WatchModes before, WatchModes after)
    {
        watches[watcher] = after;
        if ((before & ~after & WatchModes.Recursive) != 0)
            _recursive--;
        if (after == WatchModes.None)
            ForgetPath(watcher, watches.Path);
        if (watches.IsEmpty)
            _paths.Remove(watches.Path);
    }

    private void ForgetPath(IWatcher watcher, string path)
    {
        if (!_watchers.TryGetValue(watcher, out var paths) || !paths.Remove(path) || paths.Count > 0)
            return;
        _watchers.Remove(watcher);
        if (_owners.TryGetValue(watcher.Owner, out var watchers) && watchers.Remove(watcher) && watchers.Count == 0)
            _owners.Remove(watcher.Owner);
    }

    private static WatchModes Of(WatchMode mode) => mode switch
    {
        WatchMode.Data => WatchModes.Data,
        WatchMode.Children => WatchModes.Children,
        WatchMode.Persistent => WatchModes.Persistent,
        WatchMode.PersistentRecursive => WatchModes.Recursive,
        _ => throw new ArgumentOutOfRangeException(nameof(mode), mode, "Unknown watch mode."),
    };
}
