using System.Collections.Immutable;
using System.Globalization;

namespace RaftKit.TestKit;

/// <summary>
/// What a znode tree must answer, written as plainly as possible and apart from the product's tree, so that one bug cannot hide in both.
/// Immutable: a checker keeps every state that it may have to come back to.
/// </summary>
internal sealed class TreeModel
{
    public static readonly TreeModel Empty = new(ImmutableSortedDictionary.Create<string, ModelNode>(StringComparer.Ordinal)
        .Add("/", new ModelNode("", 0, 0, 0, ModelNode.NoChildren)));

    private readonly ImmutableSortedDictionary<string, ModelNode> _nodes;

    private TreeModel(ImmutableSortedDictionary<string, ModelNode> nodes) => _nodes = nodes;

    public ModelNode? Find(string path) => _nodes.GetValueOrDefault(path);

    public IEnumerable<long> Owners => _nodes.Values.Select(n => n.Owner).Where(o => o != 0).Distinct();

    /// <summary>The state after the operation, with its result checked; null when this state could not have given that result.</summary>
    public TreeModel? Apply(HistoryOperation operation)
    {
        if (operation.Kind == HistoryKind.Multi)
            return ApplyMulti(operation);
        if (operation.IsRead && operation.Error == "NONODE")
            return Find(operation.Path ?? "/") is null ? this : null;
        var (next, error, result) = Step(operation);
        if (operation.Status == HistoryStatus.Info)
            return next;
        if (error != operation.Error)
            return null;
        return error is not null || Agrees(operation, result) ? next : null;
    }

    /// <summary>The state without the session's ephemerals.</summary>
    public TreeModel Close(long owner)
    {
        var nodes = _nodes;
        foreach (var (path, node) in _nodes)
        {
            if (node.Owner == owner)
                nodes = Remove(nodes, path);
        }
        return nodes == _nodes ? this : new(nodes);
    }

    public static string ParentOf(string path) => path.LastIndexOf('/') is > 0 and var slash ? path[..slash] : "/";

    private static ImmutableSortedDictionary<string, ModelNode> Remove(ImmutableSortedDictionary<string, ModelNode> nodes, string path)
    {
        var parent = ParentOf(path);
        return nodes.Remove(path).SetItem(parent, nodes[parent] with { Children = nodes[parent].Children.Remove(NameOf(path)) });
    }

    private static string NameOf(string path) => path[(path.LastIndexOf('/') + 1)..];

    private TreeModel? ApplyMulti(HistoryOperation multi)
    {
        var state = this;
        string? failure = null;
        foreach (var part in multi.Operations)
        {
            var (next, error, result) = state.Step(part);
            if (error is not null)
            {
                failure = error;
                break;
            }
            if (multi.Status == HistoryStatus.Ok && multi.Error is null && !Agrees(part, result))
                return null;
            state = next;
        }
        if (multi.Status == HistoryStatus.Info)
            return failure is null ? state : this;
        if (failure is not null)
            return multi.Error is not null ? this : null;
        return multi.Error is null ? state : null;
    }

    private (TreeModel Next, string? Error, object? Result) Step(HistoryOperation operation)
    {
        var path = operation.Path ?? "/";
        var node = Find(path);
        switch (operation.Kind)
        {
            case HistoryKind.Create:
                return Create(operation, path);
            case HistoryKind.Set when node is null:
            case HistoryKind.Delete when node is null:
            case HistoryKind.Check when node is null:
                return (this, "NONODE", null);
            case HistoryKind.Set or HistoryKind.Delete or HistoryKind.Check
                when operation.ExpectedVersion != -1 && operation.ExpectedVersion != node!.Version:
                return (this, "BADVERSION", null);
            case HistoryKind.Set:
                var written = node! with { Data = operation.In ?? "", Version = node.Version + 1 };
                return (new(_nodes.SetItem(path, written)), null, written.Version);
            case HistoryKind.Delete when node!.Children.Count > 0:
                return (this, "NOTEMPTY", null);
            case HistoryKind.Delete:
                return (new(Remove(_nodes, path)), null, null);
            case HistoryKind.CloseSession:
                return (Close(operation.Owner), null, null);
            case HistoryKind.Get or HistoryKind.Exists:
                return (this, null, node);
            case HistoryKind.Children:
                return (this, null, node?.Children);
            default:
                return (this, null, null);
        }
    }

    private (TreeModel Next, string? Error, object? Result) Create(HistoryOperation operation, string path)
    {
        var parentPath = ParentOf(path);
        if (Find(parentPath) is not { } parent)
            return (this, "NONODE", null);
        if (parent.Owner != 0)
            return (this, "NOCHILDREN_EPH", null);
        if (operation.Sequential)
            path += parent.Creates.ToString("D10", CultureInfo.InvariantCulture);
        if (_nodes.ContainsKey(path))
            return (this, "NODEEXISTS", null);
        var nodes = _nodes.SetItem(parentPath, parent with
        {
            Creates = parent.Creates + 1,
            Children = parent.Children.Add(NameOf(path)),
        });
        return (new(nodes.Add(path, new ModelNode(operation.In ?? "", 0, operation.Owner, 0, ModelNode.NoChildren))), null, path);
    }

    private static bool Agrees(HistoryOperation operation, object? result) => operation.Kind switch
    {
        HistoryKind.Create => operation.Out is null || operation.Out == (string?)result,
        HistoryKind.Set => operation.Version is null || operation.Version == (int?)result,
        HistoryKind.Exists => operation.Exists is null || operation.Exists == result is not null,
        HistoryKind.Get when result is not ModelNode => operation.Out is null && operation.Version is null,
        HistoryKind.Get => operation.Out == ((ModelNode)result!).Data
            && (operation.Version is null || operation.Version == ((ModelNode)result).Version),
        HistoryKind.Children => result is null
            ? operation.Children is null
            : operation.Children is not null && operation.Children.SequenceEqual((IEnumerable<string>)result),
        _ => true,
    };
}

/// <summary>A znode of the model.</summary>
/// <param name="Data">Its data.</param>
/// <param name="Version">How often it was set.</param>
/// <param name="Owner">The session that owns it; 0 for none.</param>
/// <param name="Creates">How many children were ever created: the next sequence number.</param>
/// <param name="Children">The names of its children.</param>
internal sealed record ModelNode(string Data, int Version, long Owner, int Creates, ImmutableSortedSet<string> Children)
{
    public static readonly ImmutableSortedSet<string> NoChildren = ImmutableSortedSet.Create<string>(StringComparer.Ordinal);
}
