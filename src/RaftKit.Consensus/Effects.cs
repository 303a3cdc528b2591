namespace RaftKit.Consensus;

/// <summary>
/// What the core wants done, gathered over one turn of the loop. The owner carries everything out, in this order: hand the durable
/// part to the log; send <see cref="Messages"/> at once; hold <see cref="MessagesOncePersisted"/> until the durable part of this and
/// of every earlier turn is fsynced; look at the rest; then call <see cref="Clear"/>.
/// </summary>
internal sealed class Effects
{
    /// <summary>
    /// Set when the term or vote changed, or entries were cut or appended: the durable part of this turn. Null: nothing to persist.
    /// </summary>
    public PersistRequest? Persist { get; set; }

    /// <summary>Entries from this index on were overwritten: cut them before appending. Null: none.</summary>
    public LogIndex? TruncateFrom { get; set; }

    /// <summary>Entries to append, contiguous, after the cut.</summary>
    public List<Entry> Append { get; } = [];

    /// <summary>May be sent before anything is durable: they promise nothing.</summary>
    public List<Message> Messages { get; } = [];

    /// <summary>Promise durability (votes, append and snapshot acknowledgements): sent only once this turn is fsynced.</summary>
    public List<Message> MessagesOncePersisted { get; } = [];

    /// <summary>Chunks to read from the snapshot store and send.</summary>
    public List<SnapshotSend> SnapshotSends { get; } = [];

    /// <summary>A chunk that arrived in order and is to be written aside. At most one a turn is kept per snapshot offset.</summary>
    public List<SnapshotChunk> SnapshotWrites { get; } = [];

    /// <summary>Read rounds that a quorum confirmed, or that failed.</summary>
    public List<ReadGrant> Reads { get; } = [];

    /// <summary>This observer's log ends with what is not committed any more: why it must stop. Null while nobody said so.</summary>
    public string? Diverged { get; set; }

    /// <summary>This leader's disk stands still, a quorum's do not: it began to hand leadership over.</summary>
    public bool HandsOverForItsDisk { get; set; }

    /// <summary>The role, term or known leader changed in this turn.</summary>
    public bool StatusChanged { get; set; }

    public void Clear()
    {
        Persist = null;
        TruncateFrom = null;
        Append.Clear();
        Messages.Clear();
        MessagesOncePersisted.Clear();
        SnapshotSends.Clear();
        SnapshotWrites.Clear();
        Reads.Clear();
        Diverged = null;
        HandsOverForItsDisk = false;
        StatusChanged = false;
    }
}

/// <summary>
/// The durable part of a turn. Handed back to <see cref="RaftCore.Persisted"/> when it, and everything before it, is fsynced. It names
/// the term of its last entry, so that a completion for a suffix overwritten meanwhile cannot count (the async-storage ABA race).
/// </summary>
/// <param name="Term">The term to store.</param>
/// <param name="Vote">The vote in that term to store; nobody if none.</param>
/// <param name="LastIndex">The log's last index once this is written.</param>
/// <param name="LastTerm">The term of the entry there.</param>
internal sealed record PersistRequest(Term Term, MemberId Vote, LogIndex LastIndex, Term LastTerm);

/// <summary>
/// Read up to <paramref name="MaxBytes"/> of the snapshot at the offset, and send them to the member as a <see cref="SnapshotChunk"/>.
/// </summary>
internal sealed record SnapshotSend(MemberId To, Term Term, SnapshotMark Snapshot, long Offset, int MaxBytes);

/// <summary>The end of a read round.</summary>
/// <param name="Token">The token given to <see cref="RaftCore.ReadIndex"/>.</param>
/// <param name="Index">A read is linearizable once this is applied. Zero when refused.</param>
/// <param name="Refused">Nothing can be told (no leader, the leader changed, or it has not committed in its term): ask again.</param>
/// <param name="ByLease">
/// The leader's lease proves it. If this member leads, it must check, after it took its answer, that the lease still holds.
/// </param>
/// <param name="Term">
/// Of the leader that answered another member: its entry at the index is of this term (Raft 8), so that what is applied there or behind it
/// is of no older one. Where it is, that is a history which a forced quorum gave up, and the read must be asked again.
/// </param>
internal readonly record struct ReadGrant(ulong Token, LogIndex Index, bool Refused, bool ByLease = false, Term Term = default);
