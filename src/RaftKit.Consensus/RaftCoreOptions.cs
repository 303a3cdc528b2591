namespace RaftKit.Consensus;

/// <summary>How one member's core behaves. Times are in ticks: only the owner knows how long a tick is.</summary>
internal sealed record RaftCoreOptions
{
    public required MemberId Self { get; init; }

    /// <summary>Seeds every random choice of this core.</summary>
    public required ulong Seed { get; init; }

    /// <summary>Which life of this member this is: a membership that names another one gives it no vote.</summary>
    public int Incarnation { get; init; } = 1;

    /// <summary>
    /// Which start of this member this is: the persisted boot number. Keeps the numbers that a former life sent from meaning anything now.
    /// </summary>
    public uint Boot { get; init; }

    /// <summary>An observer asks these members first, whatever membership it has heard of.</summary>
    public IReadOnlyList<MemberId> Seeds { get; init; } = [];

    /// <summary>The leader tells that it lives this often.</summary>
    public int HeartbeatTicks { get; init; } = 6;

    /// <summary>
    /// A follower campaigns after this to twice this many ticks without its leader; check-quorum uses it too (thesis 6.2).
    /// </summary>
    public int ElectionTicks { get; init; } = 40;

    /// <summary>With evidence that the leader died, a pre-vote follows within 0 to this many ticks.</summary>
    public int EvidenceJitterTicks { get; init; } = 2;

    /// <summary>The most entry bytes in one append message (one entry always fits).</summary>
    public int MaxAppendBytes { get; init; } = 1 << 20;

    /// <summary>The most unacknowledged append messages to one peer.</summary>
    public int MaxInflightMessages { get; init; } = 64;

    /// <summary>The most unacknowledged entry bytes to one peer.</summary>
    public long MaxInflightBytes { get; init; } = 16 << 20;

    /// <summary>The most bytes that a leader accepts beyond what is committed; more is refused as busy.</summary>
    public long MaxUncommittedBytes { get; init; } = 64 << 20;

    /// <summary>
    /// The most snapshots that are sent at a time, to members, and as many again to observers; others wait for their turn. Each has one
    /// chunk under way.
    /// </summary>
    public int MaxSnapshotTransfers { get; init; } = 3;

    /// <summary>The most bytes asked for in one snapshot chunk.</summary>
    public int SnapshotChunkBytes { get; init; } = 1 << 20;

    /// <summary>
    /// For how long, by its own clock, a voter that answered the leader's heartbeat lets nobody else lead. As a leader it asks for this
    /// much, as a voter it gives at most this much. Zero: leases are off.
    /// </summary>
    public TimeSpan VoterPromise { get; init; }

    /// <summary>How much any member's clock may run faster or slower than true time, as a fraction of it.</summary>
    public double ClockDrift { get; init; } = 0.01;

    /// <summary>Until when, on the owner's clock, what earlier starts of this member promised may still hold.</summary>
    public TimeSpan PromisedUntil { get; init; } = TimeSpan.MinValue;

    /// <summary>
    /// How long a lease lasts by the leader's clock: even if that is the slowest there may be, and the voters' the fastest, it ends before
    /// their promises.
    /// </summary>
    public TimeSpan LeaseLength => VoterPromise * ((1 - ClockDrift) / (1 + ClockDrift));
}

/// <summary>What a member knows when it starts, read from its disk.</summary>
/// <param name="Term">The last term stored.</param>
/// <param name="Vote">The vote stored with it.</param>
/// <param name="Membership">The newest membership in the log or the snapshot.</param>
/// <param name="MembershipIndex">Where that membership stands in the log.</param>
/// <param name="Snapshot">The newest snapshot; null if none.</param>
/// <param name="Entries">Every entry after the snapshot (or the newest of them), durable, contiguous.</param>
internal sealed record RestoredState(
    Term Term, MemberId Vote, Membership Membership, LogIndex MembershipIndex, SnapshotMark? Snapshot, IReadOnlyList<Entry> Entries)
{
    /// <summary>
    /// The membership that the cluster was formed with, where the log does not hold it: what holds again if every later one is cut.
    /// </summary>
    public Membership Initial { get; init; } = Membership.Empty;

    /// <summary>
    /// Where the log ended, at the least, before some of it rotted; null: all of it can be read. <see cref="Entries"/> then end before what
    /// cannot be. It was acknowledged, perhaps, so this member counts as one whose log ends there until the leader has given it back
    /// (Alagappan et al., FAST'18).
    /// </summary>
    public LogEnd? RottenEnd { get; init; }
}

/// <summary>Where a log ends, as elections compare it (Raft 5.4.1).</summary>
/// <param name="Index">The last entry.</param>
/// <param name="Term">Its term.</param>
internal readonly record struct LogEnd(LogIndex Index, Term Term)
{
    /// <summary>Whether a log that ends here is at least as up to date as one that ends there.</summary>
    public bool Reaches(LogEnd other) => Term > other.Term || (Term == other.Term && Index >= other.Index);

    public override string ToString() => $"{Index}/{Term}";
}

/// <summary>
/// Reads entries that the core no longer holds in memory. Called on the loop; the entries are durable and still in the log.
/// </summary>
internal interface IEntryReader
{
    /// <summary>
    /// Adds entries from <paramref name="from"/> up to <paramref name="last"/> to <paramref name="into"/>: at least one, then as many as
    /// fit in the bytes.
    /// </summary>
    void Read(LogIndex from, LogIndex last, int maxBytes, List<Entry> into);

    /// <summary>
    /// As <see cref="Read"/>, for a peer. False, with nothing added, if what stands there is not what was written any more (a disk rots
    /// under running members, too): where the state has those entries, a snapshot of it can take their place.
    /// </summary>
    bool TryRead(LogIndex from, LogIndex last, int maxBytes, List<Entry> into)
    {
        Read(from, last, maxBytes, into);
        return true;
    }
}

/// <summary>The part that a member plays.</summary>
public enum RaftRole
{
    /// <summary>Follows a leader, or waits for one.</summary>
    Follower,

    /// <summary>Asks whether it would be elected, without disturbing anybody (thesis 9.6).</summary>
    PreCandidate,

    /// <summary>Asks for votes (Raft 5.2).</summary>
    Candidate,

    /// <summary>Leads its term.</summary>
    Leader,

    /// <summary>Holds what is committed, fed by any member, and never votes or counts.</summary>
    Observer,
}

/// <summary>How a proposal was taken.</summary>
internal enum ProposeOutcome
{
    /// <summary>Appended to the leader's own log; not yet committed.</summary>
    Appended,

    /// <summary>This member does not lead. Surely not appended.</summary>
    NotLeader,

    /// <summary>Too many bytes are uncommitted, or a leadership transfer is under way. Surely not appended.</summary>
    Busy,

    /// <summary>
    /// A membership change that may not start now: another is uncommitted, or this leader has not committed in its own term (raft-dev
    /// 2015). Surely not appended.
    /// </summary>
    MembershipChangePending,

    /// <summary>
    /// A membership that may not follow the one in effect: see <see cref="MembershipRules.Refusal"/>. Surely not appended.
    /// </summary>
    MembershipNotAdjacent,
}
