using RaftKit.Znodes.Tree;

namespace RaftKit.Znodes.Tests.Tree;

/// <summary>
/// ZooKeeper's tree in the most naive form: a dictionary by path that a multi copies whole. What ZnodeTree must agree with.
/// </summary>
internal sealed class TreeModel
{
    public sealed record ModelNode(
        byte[]? Data, long Czxid, long Mzxid, long Ctime, long Mtime, int Version, long Owner, long Creates, long Deletes, long Pzxid);

    public Dictionary<string, ModelNode> Nodes { get; private set; } = new() { ["/"] = new(null, 0, 0, 0, 0, 0, 0, 0, 0, 0) };

    public TreeModel Copy() => new() { Nodes = new(Nodes) };

    public ZnodeStat Stat(string path)
    {
        var n = Nodes[path];
        return new(
            n.Czxid, n.Mzxid, n.Ctime, n.Mtime, n.Version, (int)(n.Creates + n.Deletes), 0, n.Owner, n.Data?.Length ?? 0,
            Children(path).Count, n.Pzxid);
    }

    public List<string> Children(string path) =>
        Nodes.Keys.Where(p => p != "/" && ParentOf(p) == path).Select(p => p[(p.LastIndexOf('/') + 1)..]).Order(
            StringComparer.Ordinal).ToList();

    public List<string> Ephemerals(long session) =>
        Nodes.Where(n => n.Value.Owner == session).Select(n => n.Key).Order(StringComparer.Ordinal).ToList();

    public (List<ZnodeOperationResult> Results, List<TreeChange> Changes) Apply(TreeCommand command, long session, TreeStamp stamp)
    {
        var changes = new List<TreeChange>();
        if (command is not TreeCommand.Multi multi)
            return ([One(command, session, stamp, changes)], changes);

        var saved = new Dictionary<string, ModelNode>(Nodes);
        var results = new List<ZnodeOperationResult>();
        foreach (var operation in multi.Operations)
        {
            results.Add(One(operation, session, stamp, changes));
            if (results[^1].Error == ZnodeError.None)
                continue;
            Nodes = saved;
            for (var i = 0; i < multi.Operations.Count; i++)
            {
                var result = new ZnodeOperationResult(
                    i < results.Count - 1 ? ZnodeError.None : ZnodeError.RuntimeInconsistency,
                    RandomCommands.PathOf(multi.Operations[i]), default);
                if (i >= results.Count)
                    results.Add(result);
                else if (results[i].Error == ZnodeError.None)
                    results[i] = result;
            }
            return (results, []);
        }
        return (results, changes);
    }

    public List<TreeChange> EndSession(long session, TreeStamp stamp)
    {
        var changes = new List<TreeChange>();
        foreach (var path in Ephemerals(session))
            One(new TreeCommand.Delete(path), 0, stamp, changes);
        return changes;
    }

    private ZnodeOperationResult One(TreeCommand command, long session, TreeStamp stamp, List<TreeChange> changes)
    {
        switch (command)
        {
            case TreeCommand.Create create:
            {
                var path = create.Path;
                if (!path.Contains('/'))
                    return new(ZnodeError.BadArguments, path, default);
                var parent = ParentOf(path);
                if (!Nodes.TryGetValue(parent, out var p))
                    return new(ZnodeError.NoNode, path, default);
                if ((int)create.Mode >= 2)
                    path += p.Creates.ToString("D10");
                if (!IsValid(path))
                    return new(ZnodeError.BadArguments, create.Path, default);
                if (Nodes.ContainsKey(path))
                    return new(ZnodeError.NodeExists, path, default);
                if (p.Owner != 0)
                    return new(ZnodeError.NoChildrenForEphemerals, path, default);
                Nodes[parent] = p with { Creates = p.Creates + 1, Pzxid = stamp.Zxid };
                Nodes[path] = new(
                    DataOf(create.Data), stamp.Zxid, stamp.Zxid, stamp.Time, stamp.Time, 0,
                    (int)create.Mode % 2 == 1 ? session : 0, 0, 0, stamp.Zxid);
                changes.Add(new(TreeChangeKind.Created, path, stamp.Zxid));
                return new(ZnodeError.None, path, Stat(path));
            }
            case TreeCommand.Set set:
            {
                if (Conditional(set.Path, set.ExpectedVersion, mustBeValid: true) is { } error)
                    return new(error, set.Path, default);
                var n = Nodes[set.Path];
                Nodes[set.Path] = n with { Data = DataOf(set.Data), Mzxid = stamp.Zxid, Mtime = stamp.Time, Version = n.Version + 1 };
                changes.Add(new(TreeChangeKind.DataChanged, set.Path, stamp.Zxid));
                return new(ZnodeError.None, set.Path, Stat(set.Path));
            }
            case TreeCommand.Delete delete:
            {
                if (delete.Path == "/" || !delete.Path.Contains('/'))
                    return new(ZnodeError.BadArguments, delete.Path, default);
                if (Conditional(delete.Path, delete.ExpectedVersion, mustBeValid: false) is { } error)
                    return new(error, delete.Path, default);
                if (Children(delete.Path).Count > 0)
                    return new(ZnodeError.NotEmpty, delete.Path, default);
                Nodes.Remove(delete.Path);
                var parent = ParentOf(delete.Path);
                Nodes[parent] = Nodes[parent] with { Deletes = Nodes[parent].Deletes + 1, Pzxid = stamp.Zxid };
                changes.Add(new(TreeChangeKind.Deleted, delete.Path, stamp.Zxid));
                return new(ZnodeError.None, delete.Path, default);
            }
            case TreeCommand.Check check:
                return new(Conditional(check.Path, check.ExpectedVersion, mustBeValid: true) ?? ZnodeError.None, check.Path, default);
            default:
                throw new ArgumentException("a multi in a multi is not modelled");
        }
    }

    private ZnodeError? Conditional(string path, int version, bool mustBeValid)
    {
        if (mustBeValid && !IsValid(path))
            return ZnodeError.BadArguments;
        if (!Nodes.TryGetValue(path, out var node))
            return ZnodeError.NoNode;
        return version != -1 && version != node.Version ? ZnodeError.BadVersion : null;
    }

    private static bool IsValid(string path) =>
        path == "/" || (path.StartsWith('/') && path[1..].Split('/').All(element => element is not ("" or "." or "..")));

    private static string ParentOf(string path) => path.LastIndexOf('/') is var slash && slash <= 0 ? "/" : path[..slash];

    private static byte[]? DataOf(ReadOnlyMemory<byte> data) => data.Equals(default) ? null : data.ToArray();
}

/// <summary>
/// Random commands over few paths, so that they meet: creations of what exists, deletions of what has children, stale versions.
/// </summary>
internal sealed class RandomCommands(int seed)
{
    private static readonly string[] Names = ["a", "b", "c", "seq-"];
    private readonly Random _random = new(seed);

    public Random Random => _random;

    public long Session() => _random.Next(1, 4);

    public TreeCommand Next()
    {
        if (_random.Next(5) > 0)
            return One();
        var operations = new TreeCommand[_random.Next(0, 7)];
        for (var i = 0; i < operations.Length; i++)
            operations[i] = One();
        return new TreeCommand.Multi(operations);
    }

    public static string PathOf(TreeCommand command) => command switch
    {
        TreeCommand.Create create => create.Path,
        TreeCommand.Set set => set.Path,
        TreeCommand.Delete delete => delete.Path,
        TreeCommand.Check check => check.Path,
        _ => "",
    };

    private TreeCommand One() => _random.Next(10) switch
    {
        < 5 => new TreeCommand.Create(Path(), Data(), (CreateMode)_random.Next(4)),
        < 7 => new TreeCommand.Set(Path(), Data(), Version()),
        < 9 => new TreeCommand.Delete(Path(), Version()),
        _ => new TreeCommand.Check(Path(), Version()),
    };

    private string Path()
    {
        switch (_random.Next(40))
        {
            case 0: return "/";
            case 1: return "relative";
            case 2: return "/a/";
            case 3: return "/a/..";
            case 4: return "//a";
        }
        var path = "";
        for (var depth = _random.Next(1, 4); depth > 0; depth--)
            path += "/" + Names[_random.Next(Names.Length)];
        // Sometimes a node that a sequential create may have made.
        return _random.Next(4) == 0 ? path + _random.Next(4).ToString("D10") : path;
    }

    private ReadOnlyMemory<byte> Data()
    {
        if (_random.Next(8) == 0)
            return default;
        var data = new byte[_random.Next(0, 40)];
        _random.NextBytes(data);
        return data;
    }

    private int Version() => _random.Next(3) == 0 ? _random.Next(-2, 3) : -1;
}
