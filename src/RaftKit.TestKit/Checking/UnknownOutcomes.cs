namespace RaftKit.TestKit;

/// <summary>
/// What became of writes whose clients were never told. The simulator saw what members applied, so nothing is left to be guessed by a
/// search that grows with every lost answer: most clients write values that nobody else writes, and such a value is in the log once, or
/// never.
/// </summary>
/// <param name="writesOf">Where a value was written to a znode of this path, or of one that a sequence number was appended to.</param>
/// <param name="violate">Hears what cannot be.</param>
internal sealed class UnknownOutcomes(Func<string, string, IReadOnlyList<Written>> writesOf, Action<int, string> violate)
{
    /// <summary>
    /// The history with those outcomes filled in that can be; holds all writes, answered or not, against the log on the way.
    /// </summary>
    public IReadOnlyList<HistoryOperation> Resolve(IReadOnlyList<HistoryOperation> history)
    {
        var writers = new Dictionary<(string, string), int>();
        foreach (var write in history.SelectMany(ValuesOf))
            writers[write] = writers.GetValueOrDefault(write) + 1;
        return [.. history.Select(operation => Resolve(operation, writers))];
    }

    private HistoryOperation Resolve(HistoryOperation operation, Dictionary<(string, string), int> writers)
    {
        if (operation.IsRead)
            return operation;
        var values = ValuesOf(operation).ToList();
        var found = default(Written?);
        foreach (var value in values.Where(value => writers[value] == 1))
        {
            var applied = writesOf(value.Path, value.Data);
            if (applied.Count > 0)
                found = applied[0];
        }
        if (operation.Status == HistoryStatus.Info)
            return found is { } write ? Applied(operation, write) : WouldShow(operation, values, writers)
                ? operation with { Status = HistoryStatus.Fail } : operation;
        if (found is { } was && operation.Status == HistoryStatus.Fail)
            violate(37, $"refused, and applied all the same at {was.Zxid:x}: {operation}");
        return operation;
    }

    // Whoever applies it first does so after it was committed: by then it had taken effect.
    private static HistoryOperation Applied(HistoryOperation operation, in Written write) =>
        operation with { Status = HistoryStatus.Ok, Zxid = write.Zxid, Return = Math.Max(write.At, operation.Call),
            Out = operation.Kind == HistoryKind.Create ? write.Path : null };

    // A part of a multi may be gone with the next one.
    private static bool WouldShow(
        HistoryOperation operation, List<(string Path, string Data)> values, Dictionary<(string, string), int> writers) =>
        operation.Kind is HistoryKind.Set or HistoryKind.Create && writers[values[0]] == 1;

    private static IEnumerable<(string Path, string Data)> ValuesOf(HistoryOperation operation) => operation.Kind switch
    {
        HistoryKind.Multi => operation.Operations.SelectMany(ValuesOf),
        HistoryKind.Set or HistoryKind.Create when operation.Path is { } path && operation.In is { } data => [(path, data)],
        _ => [],
    };
}

/// <summary>
/// A value that a znode was given: where, when, and under which path, which is longer than asked for where a sequence number was appended.
/// </summary>
internal readonly record struct Written(string Path, long Zxid, long At);
