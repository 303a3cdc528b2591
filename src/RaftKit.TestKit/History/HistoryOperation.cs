namespace RaftKit.TestKit;

/// <summary>How a recorded operation ended.</summary>
public enum HistoryStatus
{
    /// <summary>It took effect, with the result that is recorded.</summary>
    Ok,

    /// <summary>
    /// It surely changed nothing. With an <see cref="HistoryOperation.Error"/>, the state that it met was the reason; without, it never
    /// reached the log.
    /// </summary>
    Fail,

    /// <summary>Nobody knows whether it took effect, or when: it may still do so at any later time.</summary>
    Info,
}

/// <summary>What a recorded operation was.</summary>
public enum HistoryKind
{
    /// <summary>Creates a znode.</summary>
    Create,

    /// <summary>Reads a znode's data and version.</summary>
    Get,

    /// <summary>Reads whether a znode exists.</summary>
    Exists,

    /// <summary>Sets data, if the version is the expected one.</summary>
    Set,

    /// <summary>Deletes a znode, if the version is the expected one.</summary>
    Delete,

    /// <summary>Reads the names of a znode's children.</summary>
    Children,

    /// <summary>Applies several operations, or none.</summary>
    Multi,

    /// <summary>Checks a version (inside a multi).</summary>
    Check,

    /// <summary>Closes a session: its ephemerals go.</summary>
    CloseSession,

    /// <summary>Waits for everything acknowledged before.</summary>
    Sync,
}

/// <summary>
/// One operation of one client, as it saw it. Times are nanoseconds on one monotonic clock, shared by all clients of the history.
/// </summary>
public sealed record HistoryOperation
{
    /// <summary>Who called: operations of one client do not overlap.</summary>
    public int Client { get; init; }

    /// <summary>The session it was called in.</summary>
    public long Session { get; init; }

    /// <summary>When it was called.</summary>
    public long Call { get; init; }

    /// <summary>
    /// When it returned, or, for <see cref="HistoryStatus.Info"/>, when its caller gave up: it may take effect after that.
    /// </summary>
    public long Return { get; init; }

    /// <summary>How it ended.</summary>
    public HistoryStatus Status { get; init; }

    /// <summary>What it was.</summary>
    public required HistoryKind Kind { get; init; }

    /// <summary>The znode it was about; null for none.</summary>
    public string? Path { get; init; }

    /// <summary>The data written.</summary>
    public string? In { get; init; }

    /// <summary>The data read; for a create, the path that was created.</summary>
    public string? Out { get; init; }

    /// <summary>Whether a create appended a sequence number.</summary>
    public bool Sequential { get; init; }

    /// <summary>The session that owns the ephemeral to create, or that is closed; 0 for none.</summary>
    public long Owner { get; init; }

    /// <summary>The version asked for; -1 for any.</summary>
    public int ExpectedVersion { get; init; } = -1;

    /// <summary>The version read, or after a set; null when the result is not known.</summary>
    public int? Version { get; init; }

    /// <summary>What an exists or a get found; null when not known.</summary>
    public bool? Exists { get; init; }

    /// <summary>The names that were read, in ordinal order.</summary>
    public IReadOnlyList<string>? Children { get; init; }

    /// <summary>The operations of a multi.</summary>
    public IReadOnlyList<HistoryOperation> Operations { get; init; } = [];

    /// <summary>The zxid of the write, or the state that was read; 0 when not known.</summary>
    public long Zxid { get; init; }

    /// <summary>Why it was refused: NODEEXISTS, NONODE, BADVERSION, NOTEMPTY, NOCHILDREN_EPH; null if it was not.</summary>
    public string? Error { get; init; }

    /// <summary>Whether it only reads.</summary>
    public bool IsRead => Kind is HistoryKind.Get or HistoryKind.Exists or HistoryKind.Children or HistoryKind.Sync;

    /// <inheritdoc/>
    public override string ToString() => HistoryFormat.ToLine(this);
}
