using RaftKit.Znodes;
using RaftKit.Znodes.Tree;

namespace RaftKit.TestKit;

/// <summary>
/// What a watch must hear, in order, by the oracle's history: every change that concerns it, except that a member whose state jumped with a
/// snapshot tells what a comparison of the states before and after shows (what was made and removed in between cannot be seen), and that a
/// stream ends there.
/// </summary>
internal sealed class WatchTimeline(TreeOracle oracle, string path, WatchMode mode, bool isStream = false)
{
    private readonly List<Jump> _jumps = [];

    /// <summary>The member's state went from the one at this zxid to the one at that.</summary>
    public void Jumped(long from, long to) => _jumps.Add(new Jump(from, to, isStream ? [] : Compare(from, to)));

    /// <summary>The place behind everything that led to the state at this zxid.</summary>
    public Place After(long zxid)
    {
        var (low, high) = (0, oracle.Changes.Length);
        while (low < high)
        {
            var middle = (low + high) / 2;
            if (oracle.Changes[middle].Zxid <= zxid)
                low = middle + 1;
            else
                high = middle;
        }
        // Jumps are few; those of before go by without a word.
        return new Place(low, 0);
    }

    /// <summary>What is next after this place in the history; false when nothing more has happened.</summary>
    public bool TryNext(Place at, out Step step)
    {
        if (at.Jump < _jumps.Count && (at.Change == oracle.Changes.Length || oracle.Changes[at.Change].Zxid > _jumps[at.Jump].From))
        {
            var jump = _jumps[at.Jump];
            var behind = at.Change;
            while (behind < oracle.Changes.Length && oracle.Changes[behind].Zxid <= jump.To)
                behind++;
            step = new Step(jump.From, jump.To, jump.Events, new Place(behind, at.Jump + 1), isStream);
            return true;
        }
        if (at.Change == oracle.Changes.Length)
        {
            step = default;
            return false;
        }
        var change = oracle.Changes[at.Change];
        step = new Step(change.Zxid - 1, change.Zxid, Concerning(change), at with { Change = at.Change + 1 }, false);
        return true;
    }

    private List<WatchEvent> Compare(long from, long to)
    {
        var found = new List<WatchEvent>();
        foreach (var watched in mode == WatchMode.PersistentRecursive ? oracle.Paths.Where(IsAtOrBelow) : [path])
        {
            var before = oracle.At(watched, from) is { Exists: true } was ? was : (NodeVersion?)null;
            if (oracle.At(watched, to) is not { Exists: true, Stat: var stat })
            {
                if (before is not null)
                    Add(WatchEventType.Deleted, watched, to);
                continue;
            }
            var isNew = before?.Stat.CreatedZxid != stat.CreatedZxid;
            if (isNew && before is not null)
                Add(WatchEventType.Deleted, watched, stat.CreatedZxid);
            if (isNew)
                Add(WatchEventType.Created, watched, stat.CreatedZxid);
            var since = isNew ? stat.CreatedZxid : from;
            if (stat.ModifiedZxid > since)
                Add(WatchEventType.DataChanged, watched, stat.ModifiedZxid);
            if (stat.ChildrenZxid > since && mode == WatchMode.Persistent)
                Add(WatchEventType.ChildrenChanged, watched, stat.ChildrenZxid);
        }
        return [.. found.OrderBy(f => f.Zxid).ThenBy(f => f.Type == WatchEventType.Deleted ? 0 : 1).ThenBy(
            f => f.Path, StringComparer.Ordinal)];

        void Add(WatchEventType type, string where, long zxid) => found.Add(new WatchEvent(type, where, zxid));
    }

    // Most changes concern nobody: nothing is allocated for them.
    private IReadOnlyList<WatchEvent> Concerning(TreeChange change)
    {
        var isOwn = mode switch
        {
            WatchMode.PersistentRecursive => IsAtOrBelow(change.Path),
            WatchMode.Data or WatchMode.Persistent => change.Path == path,
            _ => change.Kind == TreeChangeKind.Deleted && change.Path == path,
        };
        var isOfChildren = mode is not (WatchMode.PersistentRecursive or WatchMode.Data) && change.ChangesParentsChildren
            && change.ParentSpan.SequenceEqual(path);
        if (!isOwn && !isOfChildren)
            return [];
        var own = new WatchEvent((WatchEventType)change.Kind, change.Path, change.Zxid);
        var children = new WatchEvent(WatchEventType.ChildrenChanged, path, change.Zxid);
        return (isOwn, isOfChildren) switch
        {
            (true, true) => [own, children],
            (true, false) => [own],
            _ => [children],
        };
    }

    private bool IsAtOrBelow(string other) =>
        other == path || path == "/" || (other.StartsWith(path, StringComparison.Ordinal) && other[path.Length] == '/');

    /// <summary>A place in the history: the next change, and the next jump.</summary>
    internal readonly record struct Place(int Change, int Jump);

    /// <summary>One entry's changes, or one jump.</summary>
    /// <param name="From">The state before.</param>
    /// <param name="To">The state after.</param>
    /// <param name="Events">What the watch hears of it.</param>
    /// <param name="Behind">Where the history goes on.</param>
    /// <param name="Ends">Nothing that the watch may hear comes behind it.</param>
    internal readonly record struct Step(long From, long To, IReadOnlyList<WatchEvent> Events, Place Behind, bool Ends);

    private sealed record Jump(long From, long To, IReadOnlyList<WatchEvent> Events);
}
