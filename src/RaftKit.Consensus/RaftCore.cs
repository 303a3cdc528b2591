namespace RaftKit.Consensus;

/// <summary>
/// One member's Raft, as a deterministic function: inputs come through its methods, what is to be done comes out of
/// <see cref="Effects"/>. It knows no clock, no I/O and no thread; one owner calls it from one thread at a time.
/// </summary>
internal sealed class RaftCore
{
    public RaftCore(RaftCoreOptions options, RestoredState restored, IEntryReader reader) => throw new NotImplementedException();

    /// <summary>What is to be done since the owner last cleared it.</summary>
    public Effects Effects { get; } = new();

    public MemberId Self => throw new NotImplementedException();
    public RaftRole Role => throw new NotImplementedException();
    public Term Term => throw new NotImplementedException();
    public MemberId Vote => throw new NotImplementedException();

    /// <summary>The leader of the current term, itself included; nobody when unknown.</summary>
    public MemberId Leader => throw new NotImplementedException();
    public LogIndex Commit => throw new NotImplementedException();
    public LogIndex Applied => throw new NotImplementedException();
    public LogIndex LastIndex => throw new NotImplementedException();
    public Term LastTerm => throw new NotImplementedException();

    /// <summary>The last index that this member's own disk holds durably.</summary>
    public LogIndex Durable => throw new NotImplementedException();

    /// <summary>The last index that the newest snapshot covers.</summary>
    public LogIndex SnapshotIndex => throw new NotImplementedException();

    /// <summary>The membership in effect: the newest in the log, committed or not (Raft 6).</summary>
    public Membership Membership => throw new NotImplementedException();
    public LogIndex MembershipIndex => throw new NotImplementedException();

    /// <summary>Leads, and an entry of its own term is committed: only now may it answer reads, keepalives and membership changes.</summary>
    public bool HasCommittedInTerm => throw new NotImplementedException();

    /// <summary>The stamp of the last entry in the log; new entries never go below it.</summary>
    public long LastStamp => throw new NotImplementedException();

    /// <summary>The member that leadership is being handed to; nobody when no transfer is under way.</summary>
    public MemberId TransferTarget => throw new NotImplementedException();

    /// <summary>One tick of this member's time passed.</summary>
    public void Tick() => throw new NotImplementedException();

    /// <summary>A message arrived. Anything may arrive: old, twice, out of order, from a stranger.</summary>
    public void Step(Message message) => throw new NotImplementedException();

    /// <summary>Appends a command, when leading. Call often within one turn: all of it becomes one batch.</summary>
    /// <param name="payload">The command; not changed afterwards.</param>
    /// <param name="now">The time in Unix milliseconds; the entry's stamp is this or the last stamp, whichever is later.</param>
    /// <param name="index">Where it stands.</param>
    public ProposeOutcome Propose(ReadOnlyMemory<byte> payload, long now, out LogIndex index) => throw new NotImplementedException();

    /// <summary>Appends a membership that is adjacent to the one in effect, or joint with it.</summary>
    public ProposeOutcome ProposeMembership(Membership membership, long now, out LogIndex index) => throw new NotImplementedException();

    /// <summary>Everything up to and including this request is fsynced.</summary>
    public void Persisted(PersistRequest request) => throw new NotImplementedException();

    /// <summary>The state machines have applied everything up to this index.</summary>
    public void AppliedTo(LogIndex index) => throw new NotImplementedException();

    /// <summary>Asks for a read index; the answer comes in <see cref="Effects.Reads"/>, here or through the leader.</summary>
    /// <param name="token">Unique within this member's life.</param>
    public void ReadIndex(ulong token) => throw new NotImplementedException();

    /// <summary>There is evidence that the member's process died: clears this member's contact with it, if it led (DESIGN promise 6).</summary>
    public void PeerDied(MemberId member) => throw new NotImplementedException();

    /// <summary>The link to a peer broke or came back: an optimistic pipeline to it starts over with a probe.</summary>
    public void PeerUnreachable(MemberId member) => throw new NotImplementedException();

    /// <summary>Hands leadership to the member, or to the most caught-up voter when nobody is named. False: not leading, or nobody fits.</summary>
    public bool TransferLeadership(MemberId to) => throw new NotImplementedException();

    /// <summary>A snapshot of this member's own state is durable: the log before it may go. Keeps <paramref name="keep"/> entries before it for slow peers.</summary>
    public void SnapshotTaken(SnapshotMark snapshot, long keep) => throw new NotImplementedException();

    /// <summary>The next chunk from <paramref name="from"/> was written aside up to <paramref name="nextOffset"/>.</summary>
    public void SnapshotChunkWritten(MemberId from, Term term, LogIndex snapshotIndex, long nextOffset) => throw new NotImplementedException();

    /// <summary>A snapshot from the leader is installed and durable, and the state machines hold it: the log now starts after it.</summary>
    public void SnapshotInstalled(SnapshotMark snapshot, MemberId from) => throw new NotImplementedException();

    /// <summary>Entries in memory are kept up to this many bytes before the commit; older ones are read back through <see cref="IEntryReader"/>.</summary>
    public void TrimMemory(long keepBytes) => throw new NotImplementedException();

    /// <summary>Reads entries to apply, from memory or through the reader: at least one, then as many as fit.</summary>
    public void ReadCommitted(LogIndex from, int maxBytes, List<Entry> into) => throw new NotImplementedException();
}
