namespace RaftKit.TestKit;

/// <summary>What a checker found.</summary>
/// <param name="Holds">Whether the history has the property. Also true when it could not be decided within the step limit.</param>
/// <param name="Decided">Whether it was decided.</param>
/// <param name="Explanation">What is wrong, with the operation at which no order was left; empty when nothing is.</param>
public sealed record LinearizabilityResult(bool Holds, bool Decided, string Explanation)
{
    internal static readonly LinearizabilityResult Good = new(true, true, "");
}

/// <summary>
/// Decides whether a recorded history could have come from one copy of the data that handles one operation at a time, each at some moment
/// between its call and its return. Two ways that complement each other: a search for such an order, one znode at a time
/// (<see cref="CheckRegisters"/>), which needs no zxids; and a replay in the order that the zxids claim (<see cref="ReplayByZxid"/>),
/// which sees whole trees, multis and sessions.
/// </summary>
public static class LinearizabilityChecker
{
    /// <summary>Runs both checks.</summary>
    /// <param name="history">The operations, in any order.</param>
    /// <param name="maxSteps">How much work to spend, in tried operations, before giving up undecided.</param>
    public static LinearizabilityResult Check(IEnumerable<HistoryOperation> history, long maxSteps = 50_000_000)
    {
        ArgumentNullException.ThrowIfNull(history);
        var operations = history as IReadOnlyList<HistoryOperation> ?? [.. history];
        var registers = CheckRegisters(operations, maxSteps);
        if (!registers.Holds)
            return registers;
        var replay = ReplayByZxid(operations, maxSteps);
        return replay.Holds && !registers.Decided ? registers : replay;
    }

    /// <summary>Runs both checks, where it is known when each session ended: nothing about that is left to be searched for.</summary>
    internal static LinearizabilityResult Check(
        IReadOnlyList<HistoryOperation> history, IEnumerable<(long Session, long Zxid)> ends, long maxSteps)
    {
        var registers = CheckRegisters(history, maxSteps);
        if (!registers.Holds)
            return registers;
        var replay = new ZxidReplay(
            [
                .. history.Where(o => o.Kind != HistoryKind.CloseSession),
                .. ends.Select(
                    e => new HistoryOperation { Kind = HistoryKind.CloseSession, Owner = e.Session, Zxid = e.Zxid,
                    Status = HistoryStatus.Ok, Return = long.MaxValue }),
            ],
            maxSteps, endsAreKnown: true).Run();
        return replay.Holds && !registers.Decided ? registers : replay;
    }

    /// <summary>
    /// Searches, for each znode by itself (linearizability is local), an order that explains every result: Wing and Gong's search with
    /// Lowe's cache of states that were tried. An ephemeral may vanish at any time, because its session may expire.
    /// </summary>
    public static LinearizabilityResult CheckRegisters(IEnumerable<HistoryOperation> history, long maxSteps = 50_000_000)
    {
        ArgumentNullException.ThrowIfNull(history);
        var decided = true;
        foreach (var (path, operations) in SplitByPath(history))
        {
            var search = new RegisterSearch(operations, maxSteps);
            if (search.Run() is { } stuck)
                return new(false, true, $"No order explains the operations on {path}. The first that fits nowhere: {stuck}");
            decided &= search.Decided;
        }
        return decided ? LinearizabilityResult.Good : new(true, false, $"Not decided within {maxSteps} steps.");
    }

    /// <summary>
    /// Replays the writes in the order of their zxids into a model of the tree, in linear time when outcomes are known: every result must
    /// match, each read must equal the state at its zxid, the order of zxids must agree with real time, and no session's zxids may fall.
    /// Operations without a zxid, or of unknown outcome, are placed where they explain what follows.
    /// </summary>
    public static LinearizabilityResult ReplayByZxid(IEnumerable<HistoryOperation> history, long maxSteps = 50_000_000)
    {
        ArgumentNullException.ThrowIfNull(history);
        return new ZxidReplay([.. history], maxSteps).Run();
    }

    private static SortedDictionary<string, List<RegisterOperation>> SplitByPath(IEnumerable<HistoryOperation> history)
    {
        var byPath = new SortedDictionary<string, List<RegisterOperation>>(StringComparer.Ordinal);
        foreach (var operation in history)
        {
            if (operation.Status == HistoryStatus.Fail && operation.Error is null)
                continue;
            if (operation.Kind == HistoryKind.Multi)
            {
                // A refused multi changed nothing, and which of its parts was refused is another znode's matter.
                if (operation.Error is not null)
                    continue;
                foreach (var parts in operation.Operations.GroupBy(KeyOf).Where(g => g.Key is not null))
                    Add(parts.Key!, new RegisterOperation(operation, [.. parts]));
            }
            else if (KeyOf(operation) is { } key)
            {
                Add(key, new RegisterOperation(operation, [operation]));
            }
        }
        return byPath;

        void Add(string path, RegisterOperation operation)
        {
            if (!byPath.TryGetValue(path, out var list))
                byPath.Add(path, list = []);
            list.Add(operation);
        }
    }

    // A sequential create is about the znode that it made; nobody knows which one if its outcome is unknown.
    private static string? KeyOf(HistoryOperation operation) => operation.Kind switch
    {
        HistoryKind.Create when operation.Sequential => operation.Error is null ? operation.Out : null,
        HistoryKind.Create or HistoryKind.Get or HistoryKind.Exists or HistoryKind.Set or HistoryKind.Delete or HistoryKind.Check =>
            operation.Path,
        _ => null,
    };
}
