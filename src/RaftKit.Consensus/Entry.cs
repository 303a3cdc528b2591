namespace RaftKit.Consensus;

/// <summary>What an entry of the log holds. The numbers are in the log's format: never renumber.</summary>
internal enum EntryKind : byte
{
    /// <summary>The first entry of a leader's term: commits everything before it (Raft 8).</summary>
    NoOp = 1,

    /// <summary>A proposal's envelope, for the state machines.</summary>
    Command = 2,

    /// <summary>A <see cref="Membership"/>, effective as soon as it is appended (Raft 6).</summary>
    Membership = 3,
}

/// <summary>One entry of the replicated log. The payload is never changed once the entry exists.</summary>
/// <param name="Term">The term of the leader that made it.</param>
/// <param name="Index">Its position.</param>
/// <param name="Kind">What the payload is.</param>
/// <param name="Stamp">The leader's time in milliseconds since the Unix epoch; never less than the entry's before it.</param>
/// <param name="Payload">The bytes; empty for a no-op.</param>
internal readonly record struct Entry(Term Term, LogIndex Index, EntryKind Kind, long Stamp, ReadOnlyMemory<byte> Payload)
{
    /// <summary>What a window counts this entry as, in bytes: its payload and a little for its header.</summary>
    public int Weight => Payload.Length + 32;
}
