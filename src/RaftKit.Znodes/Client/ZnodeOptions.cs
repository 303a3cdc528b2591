namespace RaftKit.Znodes;

/// <summary>What can be set about sessions on this member. Members may differ in it.</summary>
internal sealed record ZnodeOptions
{
    /// <summary>How long a session survives silence when it does not ask for a time of its own.</summary>
    public TimeSpan SessionTimeout { get; init; } = TimeSpan.FromSeconds(6);

    /// <summary>
    /// Take a host that refuses connections for dead, without proof: its sessions end at once, but a process that lives and cannot be
    /// reached may believe in its lease until that runs out, while others own what it owned.
    /// </summary>
    public bool ExpireOnRefusedConnection { get; init; }

    /// <summary>How many events of a session may wait for its callbacks; then the session is closed.</summary>
    public int MaxQueuedEvents { get; init; } = 100_000;

    /// <summary>How many calls of a session may be under way; further ones are refused as not applied.</summary>
    public int MaxCallsPerSession { get; init; } = 65_536;

    /// <summary>How many events a stream holds for a reader that is not asking; beyond, they come from the journal.</summary>
    public int StreamBuffer { get; init; } = 1024;

    /// <summary>How many changes the journal holds for streams that resume, and how many bytes of paths and numbers at the most.</summary>
    public int JournalChanges { get; init; } = History.ChangeJournal.DefaultMaxChanges;

    public long JournalBytes { get; init; } = History.ChangeJournal.DefaultMaxBytes;
}
