namespace RaftKit.Node.Loop;

/// <summary>What an input to the loop counts as, when too much waits.</summary>
internal enum InboxShare : byte
{
    /// <summary>
    /// Always taken: ticks, links, completions of what the loop itself began, ends. Their number is bounded by what they answer.
    /// </summary>
    Owed,

    /// <summary>Asked by this process: refused as surely not applied.</summary>
    Call,

    /// <summary>
    /// From a peer, in its priority lane (heartbeats, votes, session touches): has room of its own, which no load of the other kinds takes.
    /// </summary>
    Urgent,

    /// <summary>From a peer, entries or snapshot chunks: dropped as on the network, and sent again.</summary>
    Bulk,
}

/// <summary>
/// How much may wait for a loop's next turn, by share: far above what a healthy member sees, low enough to keep a stuck one from taking the
/// machine's memory.
/// </summary>
internal sealed record InboxLimits
{
    public static InboxLimits Default { get; } = new();

    public int MaxCalls { get; init; } = 65_536;

    public long MaxCallBytes { get; init; } = 64L << 20;

    public int MaxUrgent { get; init; } = 262_144;

    public long MaxUrgentBytes { get; init; } = 64L << 20;

    public int MaxBulk { get; init; } = 65_536;

    public long MaxBulkBytes { get; init; } = 128L << 20;
}

/// <summary>Counts what waits for the next turn against the limits. Its owner's lock guards it.</summary>
internal struct InboxGauge(InboxLimits limits)
{
    private int _calls, _urgent, _bulk;
    private long _callBytes, _urgentBytes, _bulkBytes;

    /// <summary>Counts an input in; false: there is no room for it.</summary>
    public bool TryTake(NodeInput input) => input.Share switch
    {
        InboxShare.Owed => true,
        InboxShare.Call => Fits(ref _calls, ref _callBytes, input.Weight, limits.MaxCalls, limits.MaxCallBytes),
        InboxShare.Urgent => Fits(ref _urgent, ref _urgentBytes, input.Weight, limits.MaxUrgent, limits.MaxUrgentBytes),
        _ => Fits(ref _bulk, ref _bulkBytes, input.Weight, limits.MaxBulk, limits.MaxBulkBytes),
    };

    /// <summary>The loop took everything.</summary>
    public void Clear() => this = new InboxGauge(limits);

    public readonly string BusyReason =>
        $"The node is busy: {_calls} calls of {_callBytes} bytes wait for its loop already (at most {limits.MaxCalls} and {limits.MaxCallBytes} bytes may). "
        + "Await some of them before making more.";

    // One always fits, or a single large one could never be asked.
    private static bool Fits(ref int count, ref long bytes, int weight, int most, long mostBytes)
    {
        if (count >= most || (count > 0 && bytes + weight > mostBytes))
            return false;
        count++;
        bytes += weight;
        return true;
    }
}
