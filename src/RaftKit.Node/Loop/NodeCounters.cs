namespace RaftKit.Node.Loop;

/// <summary>
/// What a node has done since it started. Written by the loop and the log lane, read by anybody: each number is right, the set is not a
/// moment.
/// </summary>
public sealed class NodeCounters
{
    internal long TurnsCount;
    internal long AppliedEntriesCount;
    internal long LogBatchesCount;
    internal long FsyncsCount;
    internal long EntriesWrittenCount;
    internal long ElectionsCount;
    internal long SnapshotsTakenCount;
    internal long SnapshotsInstalledCount;
    internal long ProposalsCount;
    internal long RepairsCount;
    internal long RotMetCount;
    internal long HealingSnapshotsCount;
    internal long StallsCount;
    internal long LongestSnapshotTurnTicks;
    internal long LongestSnapshotTurnWorkTicks;
    private long _callsRefused;
    private long _messagesDropped;

    /// <summary>Turns of the loop.</summary>
    public long Turns => Volatile.Read(ref TurnsCount);

    /// <summary>Entries applied to the state machines.</summary>
    public long AppliedEntries => Volatile.Read(ref AppliedEntriesCount);

    /// <summary>Batches handed to the log.</summary>
    public long LogBatches => Volatile.Read(ref LogBatchesCount);

    /// <summary>fsyncs of the log; several batches may share one.</summary>
    public long Fsyncs => Volatile.Read(ref FsyncsCount);

    /// <summary>Entries written to the log.</summary>
    public long EntriesWritten => Volatile.Read(ref EntriesWrittenCount);

    /// <summary>Times this member began to lead.</summary>
    public long Elections => Volatile.Read(ref ElectionsCount);

    /// <summary>Snapshots of its own state.</summary>
    public long SnapshotsTaken => Volatile.Read(ref SnapshotsTakenCount);

    /// <summary>Snapshots received from a leader and installed.</summary>
    public long SnapshotsInstalled => Volatile.Read(ref SnapshotsInstalledCount);

    /// <summary>Times that a leader had sent again all that rotted on this member's disk: see <see cref="NodeStatus.RottenEnd"/>.</summary>
    public long Repairs => Volatile.Read(ref RepairsCount);

    /// <summary>
    /// Times that something which this member had stored turned out, while it ran, not to be what was written: each brings about a snapshot
    /// of its state, which takes the place of that.
    /// </summary>
    public long RotMet => Volatile.Read(ref RotMetCount);

    /// <summary>
    /// Snapshots that were begun to take the place of something that rotted while this member ran. Where it goes on growing, the disk rots
    /// what is written: replace it. They begin at least 1 s apart, and up to 64 s where they follow one another.
    /// </summary>
    public long HealingSnapshots => Volatile.Read(ref HealingSnapshotsCount);

    /// <summary>Times that this member led, its disk stood still while a quorum's did not, and it began to hand leadership over.</summary>
    public long Stalls => Volatile.Read(ref StallsCount);

    /// <summary>Proposals made by this member.</summary>
    public long Proposals => Volatile.Read(ref ProposalsCount);

    /// <summary>
    /// The longest that a snapshot held up one turn: being begun, sliced, or restored. All the time that passed, whoever took it.
    /// </summary>
    public TimeSpan LongestSnapshotTurn => TimeSpan.FromTicks(Volatile.Read(ref LongestSnapshotTurnTicks));

    /// <summary>The same without the time for which the runtime had all threads stopped meanwhile, to collect garbage.</summary>
    public TimeSpan LongestSnapshotTurnWork => TimeSpan.FromTicks(Volatile.Read(ref LongestSnapshotTurnWorkTicks));

    /// <summary>Calls of this process that were refused because too many waited for the node's loop.</summary>
    public long CallsRefused => Volatile.Read(ref _callsRefused);

    /// <summary>Messages of other members that were dropped because too many waited for the node's loop.</summary>
    public long MessagesDropped => Volatile.Read(ref _messagesDropped);

    /// <summary>There was no room in the inbox. Under its lock.</summary>
    internal void Count(InboxShare refused)
    {
        if (refused == InboxShare.Call)
            _callsRefused++;
        else
            _messagesDropped++;
    }
}
