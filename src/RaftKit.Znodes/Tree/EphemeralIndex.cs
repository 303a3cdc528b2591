namespace RaftKit.Znodes.Tree;

/// <summary>Which ephemerals each session owns: a list through the nodes, so that a session may own any number.</summary>
internal sealed class EphemeralIndex
{
    private readonly Dictionary<long, Owned> _sessions = [];

    public int CountOf(long sessionId) => _sessions.TryGetValue(sessionId, out var owned) ? owned.Count : 0;

    public void Add(EphemeralNode node)
    {
        if (!_sessions.TryGetValue(node.Owner, out var owned))
            _sessions.Add(node.Owner, owned = new Owned());
        node.PreviousOfOwner = null;
        node.NextOfOwner = owned.First;
        if (owned.First is not null)
            owned.First.PreviousOfOwner = node;
        owned.First = node;
        owned.Count++;
    }

    public void Remove(EphemeralNode node)
    {
        var owned = _sessions[node.Owner];
        if (node.PreviousOfOwner is null)
            owned.First = node.NextOfOwner;
        else
            node.PreviousOfOwner.NextOfOwner = node.NextOfOwner;
        if (node.NextOfOwner is not null)
            node.NextOfOwner.PreviousOfOwner = node.PreviousOfOwner;
        if (--owned.Count == 0)
            _sessions.Remove(node.Owner);
    }

    /// <summary>
    /// The session's ephemerals and their paths, by ordinal order of the paths: the list's own order differs after a restore, and what
    /// is done with them must not.
    /// </summary>
    public (string[] Paths, EphemeralNode[] Nodes) Sorted(long sessionId)
    {
        if (!_sessions.TryGetValue(sessionId, out var owned))
            return ([], []);
        var paths = new string[owned.Count];
        var nodes = new EphemeralNode[owned.Count];
        var node = owned.First;
        for (var i = 0; i < nodes.Length; i++, node = node.NextOfOwner)
        {
            nodes[i] = node!;
            paths[i] = node!.Path;
        }
        Array.Sort(paths, nodes, StringComparer.Ordinal);
        return (paths, nodes);
    }

    private sealed class Owned
    {
        public EphemeralNode? First;
        public int Count;
    }
}
