using System.Collections.Immutable;

namespace RaftKit.TestKit;

/// <summary>
/// Replays a history in the order that its zxids claim. What has no zxid (an unknown outcome, a delete, an expiry that no client saw)
/// floats: it is placed where the next operation cannot be explained without it, and by its own return at the latest. Where several
/// placements explain an operation, the replay comes back and tries the next when the first leads nowhere.
/// </summary>
internal sealed class ZxidReplay
{
    private const int MaxFloatsAtOnce = 4;

    private readonly List<HistoryOperation> _ordered;

    // By the time of their call: those that surely took effect, and those that may have.
    private readonly List<HistoryOperation> _certain;
    private readonly List<HistoryOperation> _unknown;
    private readonly HashSet<(string? Path, string? Data)> _seen;
    private readonly long _maxSteps;
    private readonly IReadOnlyList<HistoryOperation> _history;
    private long _steps;
    private readonly bool _endsAreKnown;
    private readonly Dictionary<long, long> _ends = [];
    private bool _cut;

    /// <param name="history">What clients did.</param>
    /// <param name="maxSteps">How much to try.</param>
    /// <param name="endsAreKnown">Every end of a session is in the history, with its zxid: none is to be guessed.</param>
    public ZxidReplay(IReadOnlyList<HistoryOperation> history, long maxSteps, bool endsAreKnown = false)
    {
        _endsAreKnown = endsAreKnown;
        foreach (var end in endsAreKnown ? history.Where(o => o.Kind == HistoryKind.CloseSession) : [])
            _ends.Add(end.Owner, end.Zxid);
        _history = history;
        _maxSteps = maxSteps;
        _seen = [.. history.Where(o => o is { Kind: HistoryKind.Get, Status: HistoryStatus.Ok }).Select(o => (o.Path, o.Out))];
        // Reads see the state after every write of their zxid.
        _ordered = [.. history.Where(IsPlaced).OrderBy(o => o.Zxid).ThenBy(o => o.IsRead).ThenBy(o => o.Call)];
        _certain = [.. history.Where(o => !IsPlaced(o) && !o.IsRead && o.Status == HistoryStatus.Ok).OrderBy(o => o.Call)];
        _unknown = [.. history.Where(o => !o.IsRead && o.Status == HistoryStatus.Info).OrderBy(o => o.Call)];
    }

    public LinearizabilityResult Run() => CheckSessions() ?? CheckRealTime() ?? Replay();

    private static bool IsPlaced(HistoryOperation operation) =>
        operation.Zxid != 0 && operation.Status != HistoryStatus.Info
        && (operation.Status == HistoryStatus.Ok || operation.Error is not null) && operation.Kind != HistoryKind.Sync;

    private LinearizabilityResult? CheckSessions()
    {
        foreach (var session in _history.Where(o => o.Zxid != 0 && o.Session != 0 && o.Status == HistoryStatus.Ok).GroupBy(o => o.Session))
        {
            // Only what returned before the next was called has an order within a session.
            var highest = (Zxid: 0L, Operation: default(HistoryOperation));
            var returned = new PriorityQueue<HistoryOperation, long>();
            foreach (var operation in session.OrderBy(o => o.Call))
            {
                while (returned.TryPeek(out var earlier, out var at) && at < operation.Call)
                {
                    returned.Dequeue();
                    if (earlier.Zxid > highest.Zxid)
                        highest = (earlier.Zxid, earlier);
                }
                if (operation.Zxid < highest.Zxid && operation.Kind != HistoryKind.Sync)
                    return Bad($"Session {session.Key} went back from zxid {highest.Zxid:x} to {operation.Zxid:x}:\n  {highest.Operation}\n  {operation}");
                returned.Enqueue(operation, operation.Return);
            }
        }
        return null;
    }

    private LinearizabilityResult? CheckRealTime()
    {
        var highest = (Zxid: 0L, Operation: default(HistoryOperation));
        var returned = new PriorityQueue<HistoryOperation, long>();
        foreach (var operation in _ordered.OrderBy(o => o.Call))
        {
            while (returned.TryPeek(out var earlier, out var at) && at < operation.Call)
            {
                returned.Dequeue();
                if (earlier.Zxid > highest.Zxid)
                    highest = (earlier.Zxid, earlier);
            }
            if (operation.Zxid < highest.Zxid)
                return Bad($"Called after another had returned, yet its zxid is lower:\n  {highest.Operation}\n  {operation}");
            returned.Enqueue(operation, operation.Return);
        }
        return null;
    }

    private LinearizabilityResult Replay()
    {
        var path = new Stack<IEnumerator<Placed>>();
        var current = new Placed(TreeModel.Empty, 0, [], []);
        var at = 0;
        var furthest = 0;
        while (at < _ordered.Count)
        {
            if (++_steps > _maxSteps)
                return new(true, false, $"Not decided within {_maxSteps} steps.");
            var options = Explain(current, _ordered[at]).GetEnumerator();
            path.Push(options);
            while (path.Count > 0 && !path.Peek().MoveNext())
                path.Pop();
            furthest = Math.Max(furthest, at);
            if (path.Count == 0 && (_cut || _steps > _maxSteps))
                return new(true, false, $"Not decided: too much of unknown outcome before {_ordered[furthest]}");
            if (path.Count == 0)
                return Bad($"Replayed in the order of the zxids, no state explains: {_ordered[furthest]}");
            at = path.Count;
            current = path.Peek().Current;
        }
        return LinearizabilityResult.Good;
    }

    // Every way to explain the operation: as it stands, or after one or more floating operations that bear on it.
    private IEnumerable<Placed> Explain(Placed before, HistoryOperation operation)
    {
        foreach (var ready in PlaceOverdue(before, operation))
        {
            if (ready.State.Apply(operation) is { } next)
                yield return ready with { State = next, At = operation.Zxid };
        }
        foreach (var ready in PlaceOverdue(before, operation))
        {
            if (PlaceMissingSets(ready, operation) is { } placed && placed.State.Apply(operation) is { } next)
                yield return placed with { State = next, At = operation.Zxid };
        }
        foreach (var ready in PlaceOverdue(before, operation))
        {
            foreach (var placed in PlaceFloats(ready, operation, MaxFloatsAtOnce))
            {
                if (placed.State.Apply(operation) is { } next)
                    yield return placed with { State = next, At = operation.Zxid };
            }
        }
    }

    // What returned before this operation was called took effect before it, if need be after others of unknown outcome.
    private IEnumerable<Placed> PlaceOverdue(Placed before, HistoryOperation operation)
    {
        var overdue = before.FirstCertain;
        while (overdue < _certain.Count && _certain[overdue].Call <= operation.Return
            && (_certain[overdue].Return >= operation.Call || before.UsedCertain.Contains(overdue)))
            overdue++;
        if (overdue == _certain.Count || _certain[overdue].Call > operation.Return)
        {
            yield return before;
            yield break;
        }
        foreach (var ready in PlaceFloats(before, _certain[overdue], MaxFloatsAtOnce).Prepend(before))
        {
            if (ready.UsedCertain.Contains(overdue) || ready.FirstCertain > overdue || ready.State.Apply(_certain[overdue]) is not { } next)
                continue;
            foreach (var placed in PlaceOverdue(ready.WithCertain(overdue, next), operation))
                yield return placed;
        }
    }

    /// <summary>
    /// A version tells how many writes came in between. Those of unknown outcome that nobody read are as good as one another, so the ones
    /// called first are taken: a search through all of their orders is what made histories undecidable.
    /// </summary>
    private Placed? PlaceMissingSets(Placed before, HistoryOperation operation)
    {
        if (operation is not { Kind: HistoryKind.Set or HistoryKind.Get, Path: { } path, Version: { } version, Error: null }
            || before.State.Find(path) is not { } now)
            return null;
        var missing = version - now.Version - (operation.Kind == HistoryKind.Set ? 1 : 0);
        var chosen = new List<int>();
        int? last = null;
        for (var i = 0; i < _unknown.Count && _unknown[i].Call <= operation.Return; i++)
        {
            if (before.UsedUnknown.Contains(i) || _unknown[i] is not { Kind: HistoryKind.Set, ExpectedVersion: -1 } set || set.Path != path)
                continue;
            if (operation.Kind == HistoryKind.Get && set.In == operation.Out)
                last ??= i;
            else if (chosen.Count < missing && !_seen.Contains((path, set.In)))
                chosen.Add(i);
        }
        if (last is { } read)
            chosen = [.. chosen.Take(missing - 1), read];
        if (missing <= 0 || chosen.Count != missing)
            return null;
        var state = before.State;
        foreach (var i in chosen)
        {
            if (++_steps > _maxSteps || state.Apply(_unknown[i]) is not { } next)
                return null;
            state = next;
        }
        return before with { State = state, UsedUnknown = before.UsedUnknown.Union(chosen) };
    }

    private IEnumerable<Placed> PlaceFloats(Placed before, HistoryOperation operation, int depth)
    {
        // What was not tried proves nothing.
        _cut |= depth == 0;
        if (depth == 0 || ++_steps > _maxSteps)
            yield break;
        if (!_endsAreKnown && CloseAllThatMustBe(before, operation) is { } closed)
        {
            yield return closed;
            foreach (var further in PlaceFloats(closed, operation, depth - 1))
                yield return further;
        }
        for (var i = before.FirstCertain; i < _certain.Count && _certain[i].Call <= operation.Return; i++)
        {
            if (++_steps > _maxSteps)
                yield break;
            if (before.UsedCertain.Contains(i) || !Bears(_certain[i], operation) || before.State.Apply(_certain[i]) is not { } next)
                continue;
            var placed = before.WithCertain(i, next);
            yield return placed;
            foreach (var further in PlaceFloats(placed, operation, depth - 1))
                yield return further;
        }
        for (var i = 0; i < _unknown.Count && _unknown[i].Call <= operation.Return; i++)
        {
            if (++_steps > _maxSteps)
                yield break;
            if (before.UsedUnknown.Contains(i) || !Bears(_unknown[i], operation) || ApplyUnknown(before, _unknown[i]) is not { } next
                || next == before.State)
                continue;
            var placed = before with { State = next, UsedUnknown = before.UsedUnknown.Add(i) };
            yield return placed;
            foreach (var further in PlaceFloats(placed, operation, depth - 1))
                yield return further;
        }
        // Sessions expire without any client's call.
        if (_endsAreKnown)
            yield break;
        foreach (var owner in before.State.Owners.ToArray())
        {
            if (!OwnsWhatBears(before.State, owner, operation))
                continue;
            var placed = before with { State = before.State.Close(owner) };
            yield return placed;
            foreach (var further in PlaceFloats(placed, operation, depth - 1))
                yield return further;
        }
    }

    // What a session did before it ended, and nobody saw: its ephemerals went with it, their part in the sequence did not.
    private TreeModel? ApplyUnknown(Placed before, HistoryOperation unknown)
    {
        var after = before.State.Apply(unknown);
        return unknown is { Kind: HistoryKind.Create, Owner: not 0 and var owner } && _ends.TryGetValue(owner, out var end)
            && end <= before.At
            ? after?.Close(owner) : after;
    }

    // Children that a read does not list any more, and that were ephemeral: whatever else happened, their sessions are over.
    private static Placed? CloseAllThatMustBe(Placed before, HistoryOperation operation)
    {
        if (operation is not { Kind: HistoryKind.Children, Path: { } path, Children: { } listed }
            || before.State.Find(path) is not { } parent)
            return null;
        var state = before.State;
        foreach (var name in parent.Children.Except(listed))
        {
            if (state.Find(path == "/" ? "/" + name : path + "/" + name) is { Owner: > 0 or < 0 } gone)
                state = state.Close(gone.Owner);
        }
        return state == before.State ? null : before with { State = state };
    }

    private static IEnumerable<string> PathsOf(HistoryOperation operation) => operation.Kind == HistoryKind.Multi
        ? operation.Operations.SelectMany(PathsOf)
        : operation.Path is null ? [] : operation.Out is not null && operation.Kind == HistoryKind.Create
            ? [operation.Path, operation.Out]
            : [operation.Path];

    private static bool Bears(HistoryOperation floating, HistoryOperation on) =>
        floating.Kind == HistoryKind.CloseSession || PathsOf(floating).Any(a => PathsOf(on).Any(b => AreNear(a, b)));

    private static bool OwnsWhatBears(TreeModel state, long owner, HistoryOperation on) =>
        PathsOf(on).Any(path => state.Find(path)?.Owner == owner
            || OwnsAChildOf(state, path, owner)
            || state.Find(TreeModel.ParentOf(path))?.Owner == owner
            // A sibling that has to go before another create could have its place, and its part in the sequence.
            || (on.Sequential && OwnsAChildOf(state, TreeModel.ParentOf(path), owner)));

    private static bool OwnsAChildOf(TreeModel state, string path, long owner) =>
        state.Find(path)?.Children.Any(name => state.Find(path == "/" ? "/" + name : path + "/" + name)?.Owner == owner) ?? false;

    private static bool AreNear(string a, string b) =>
        a == b || TreeModel.ParentOf(a) == b || TreeModel.ParentOf(b) == a || TreeModel.ParentOf(a) == TreeModel.ParentOf(b);

    private static LinearizabilityResult Bad(string explanation) => new(false, true, explanation);

    private sealed record Placed(
        TreeModel State, int FirstCertain, ImmutableHashSet<int> UsedCertain, ImmutableHashSet<int> UsedUnknown, long At = 0)
    {
        public Placed WithCertain(int index, TreeModel state)
        {
            var used = UsedCertain.Add(index);
            var first = FirstCertain;
            for (; used.Contains(first); first++)
                used = used.Remove(first);
            return this with { State = state, FirstCertain = first, UsedCertain = used };
        }
    }
}
