using RaftKit.Znodes;

namespace RaftKit.Recipes.Tests.Fakes;

/// <summary>
/// A tree in memory with the rules that recipes rely on (sequence numbers, ephemerals, one zxid a write, events after the change), and
/// switches for what a quorum can do to its clients. Writes of a session are applied in the order in which they were made, as the real
/// one's.
/// </summary>
internal sealed class FakeQuorum : IZnodeSessions
{
    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, Node> _nodes = new(StringComparer.Ordinal) { ["/"] = new Node(0, 0, default) };
    private readonly Queue<Action> _events = new();
    private readonly Queue<Task> _held = new();
    private bool _delivering;
    private bool _holding;
    private long _zxid = 1L << 48;

    public List<FakeSession> Sessions { get; } = [];

    public IZnodeView View => throw new NotSupportedException("Recipes use sessions alone.");

    public FakeSession OpenFake(TimeSpan? timeout = null)
    {
        lock (_lock)
        {
            var session = new FakeSession(this, 0x0100_0000_0000_0000 + Sessions.Count + 1, timeout ?? TimeSpan.FromSeconds(6));
            Sessions.Add(session);
            return session;
        }
    }

    public IZnodeSession Open(TimeSpan? timeout = null) => OpenFake(timeout);

    /// <summary>No write is answered (or applied) until <see cref="Release"/>.</summary>
    public void Hold()
    {
        lock (_lock)
            _holding = true;
    }

    public void Release()
    {
        while (true)
        {
            Task next;
            lock (_lock)
            {
                if (!_held.TryDequeue(out next!))
                {
                    _holding = false;
                    return;
                }
            }

            next.RunSynchronously();
        }
    }

    /// <summary>
    /// Applies a write now, or behind those that are held. As a task that is run in its turn, not as a continuation of one: where xunit's
    /// synchronization context runs a continuation is nobody's to say, and a later write could overtake it.
    /// </summary>
    public Task<T> ApplyAsync<T>(Func<T> write)
    {
        var applied = new Task<T>(write);
        lock (_lock)
        {
            if (_holding)
            {
                _held.Enqueue(applied);
                return applied;
            }
        }

        applied.RunSynchronously();
        return applied;
    }

    public List<string> ChildrenOf(string path)
    {
        lock (_lock)
            return [.. Children(path)];
    }

    public List<string> WatchedPaths()
    {
        lock (_lock)
            return [.. Sessions.SelectMany(s => s.Watches).Select(w => w.Path)];
    }

    public void SetCounter(string path, int next)
    {
        lock (_lock)
            _nodes[path].Counter = next;
    }

    public Znode Create(string path, ReadOnlyMemory<byte> data, CreateMode mode, long session) => Change(zxid =>
    {
        var parent = path[..Math.Max(1, path.LastIndexOf('/'))];
        if (!_nodes.TryGetValue(parent, out var above))
            throw new ZnodeException(ZnodeError.NoNode, parent, $"There is no {parent}.");
        if (mode is CreateMode.EphemeralSequential or CreateMode.PersistentSequential)
            path += unchecked(above.Counter).ToString("D10", System.Globalization.CultureInfo.InvariantCulture);
        if (_nodes.ContainsKey(path))
            throw new ZnodeException(ZnodeError.NodeExists, path, $"{path} exists.");
        unchecked
        {
            above.Counter++;
        }

        var ephemeral = mode is CreateMode.Ephemeral or CreateMode.EphemeralSequential;
        _nodes[path] = new Node(zxid, ephemeral ? session : 0, data);
        Tell(WatchEventType.Created, path, zxid);
        return Read(path)!;
    });

    public void Delete(string path) => Change<object?>(zxid =>
    {
        if (!_nodes.ContainsKey(path))
            throw new ZnodeException(ZnodeError.NoNode, path, $"There is no {path}.");
        if (Children(path).Any())
            throw new ZnodeException(ZnodeError.NotEmpty, path, $"{path} has children.");
        Remove(path, zxid);
        return null;
    });

    public void RemoveEphemerals(long session) => Change<object?>(zxid =>
    {
        foreach (var path in _nodes.Where(n => n.Value.Owner == session && session != 0).Select(n => n.Key).ToList())
            Remove(path, zxid);
        return null;
    });

    public Znode? Get(string path)
    {
        lock (_lock)
            return Read(path);
    }

    public ZnodeChildren? GetChildren(string path)
    {
        lock (_lock)
            return _nodes.ContainsKey(path) ? new ZnodeChildren(path, [.. Children(path)], Read(path)!.Stat, _zxid) : null;
    }

    public void Locked(Action action)
    {
        lock (_lock)
            action();
    }

    /// <summary>Several changes with nobody's in between; their events are told after the last.</summary>
    public T Together<T>(Func<T> changes)
    {
        try
        {
            lock (_lock)
                return changes();
        }
        finally
        {
            Deliver();
        }
    }

    private T Change<T>(Func<long, T> change)
    {
        try
        {
            lock (_lock)
                return change(++_zxid);
        }
        finally
        {
            Deliver();
        }
    }

    private void Remove(string path, long zxid)
    {
        _nodes.Remove(path);
        Tell(WatchEventType.Deleted, path, zxid);
    }

    private void Tell(WatchEventType type, string path, long zxid)
    {
        var parent = path[..Math.Max(1, path.LastIndexOf('/'))];
        foreach (var session in Sessions)
        {
            foreach (var watch in session.Watches.ToList())
            {
                if (watch.Hears(type, path, parent) is not { } heard)
                    continue;
                if (watch.Mode is WatchMode.Data or WatchMode.Children)
                    session.Watches.Remove(watch);
                _events.Enqueue(() => watch.Callback(heard with { Zxid = zxid }));
            }
        }
    }

    // In order, and never inside another callback: a callback may change the tree.
    private void Deliver()
    {
        if (_lock.IsHeldByCurrentThread)
            return; // Whoever holds it delivers after it.
        while (true)
        {
            Action next;
            lock (_lock)
            {
                if (_delivering || !_events.TryDequeue(out next!))
                    return;
                _delivering = true;
            }

            try
            {
                next();
            }
            finally
            {
                lock (_lock)
                    _delivering = false;
            }
        }
    }

    private IEnumerable<string> Children(string path)
    {
        var prefix = path == "/" ? "/" : path + "/";
        return _nodes.Keys.Where(
            p => p.Length > prefix.Length && p.StartsWith(prefix, StringComparison.Ordinal) && p.IndexOf('/', prefix.Length) < 0)
            .Select(p => p[prefix.Length..]);
    }

    private Znode? Read(string path) => _nodes.TryGetValue(path, out var node)
        ? new Znode(path, node.Data, new ZnodeStat { CreatedZxid = node.Created, EphemeralOwner = node.Owner }, _zxid)
        : null;

    private sealed class Node(long created, long owner, ReadOnlyMemory<byte> data)
    {
        public long Created { get; } = created;

        public long Owner { get; } = owner;

        public ReadOnlyMemory<byte> Data { get; } = data;

        public int Counter { get; set; }
    }
}
