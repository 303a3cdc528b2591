using RaftKit.TestKit;

namespace RaftKit.Chaos;

/// <summary>
/// A history, one top-level znode with all below it at a time. The clients change each alone, and each alone must have an order; to search
/// for one through all of them at once would try the end of every session as the reason for whatever happens anywhere.
/// </summary>
internal static class Subtrees
{
    public static IEnumerable<IReadOnlyList<HistoryOperation>> Of(IReadOnlyList<HistoryOperation> history)
    {
        var roots = history.Where(o => o.Kind != HistoryKind.CloseSession).GroupBy(RootOf);
        // A session ends where it left ephemerals.
        var ends = history.Where(o => o.Kind == HistoryKind.CloseSession).ToLookup(o => o.Owner);
        return roots.Select(
            root => (IReadOnlyList<HistoryOperation>)[.. root,
            .. root.Select(o => o.Owner).Where(owner => owner != 0).Distinct().SelectMany(owner => ends[owner])]);
    }

    /// <summary>
    /// What all subtrees together have to keep: the order in time, and in each session, agrees with the zxids. As operations that have
    /// nothing else in common.
    /// </summary>
    public static IEnumerable<HistoryOperation> OrderOf(IEnumerable<HistoryOperation> history) =>
        history.Where(o => o.Zxid != 0 && o.Status == HistoryStatus.Ok).Select((o, number) => new HistoryOperation
        {
            Kind = HistoryKind.Create, Path = $"/{number}", Out = $"/{number}", Client = o.Client, Session = o.Session, Call = o.Call,
            Return = o.Return, Zxid = o.Zxid,
        });

    private static string RootOf(HistoryOperation operation)
    {
        if (operation.Path is { } path)
            return path.Split('/', 3)[1];
        var roots = operation.Operations.Select(RootOf).Distinct().ToArray();
        return roots.Length == 1 ? roots[0] : throw new FormatException($"Not of one subtree: {operation}");
    }
}
