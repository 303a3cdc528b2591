namespace RaftKit.Consensus;

/// <summary>
/// One member's Raft, as a deterministic function: inputs come through its methods, what is to be done comes out of
/// <see cref="Effects"/>. It knows no clock, no I/O and no thread; one owner calls it from one thread at a time.
/// </summary>
internal sealed partial class RaftCore
{
    private readonly MembershipHistory _memberships;
    private Role _role;

    public RaftCore(RaftCoreOptions options, RestoredState restored, IEntryReader reader)
    {
        Options = options;
        Log = new LogView(restored, reader);
        _memberships = new MembershipHistory(restored, Log.RestoredMemberships);
        (Term, Vote, Snapshot) = (restored.Term, restored.Vote, restored.Snapshot);
        Invariant.Holds(Log.LastTerm <= Term, $"restored with term {Term}, but the log ends in term {Log.LastTerm}");
        Invariant.Holds(!(RottenEnd?.Term > Term), $"restored with term {Term}, but the log ended at {RottenEnd}");
        Invariant.Holds(
            Snapshot is null || Log.Holds(Snapshot.Index, Snapshot.Term),
            $"restored with a snapshot of {SnapshotIndex} that the log contradicts");
        Applied = SnapshotIndex;
        // An observer's log holds nothing but what is committed, so that its readers need not wait for a source.
        Commit = Self.IsObserver ? LastIndex : SnapshotIndex;
        Ledger = new PersistLedger(Term, Vote, LastIndex);
        Clock = new ElectionClock(options, new SeededRandom(options.Seed, Self, options.Boot));
        Promise = new VoterPromise(this);
        RemoteReads = new RemoteReads(this);
        Snapshots = new SnapshotReceiver(this);
        Observers = new ObserverFeed(this);
        _role = Self.IsObserver ? new ObserverRole(this) : new FollowerRole(this);
        // Nobody else could lead: waiting for them would only delay the start.
        if (Membership.Voters.Count == 1 && !Membership.IsJoint && Membership.IsVoter(Life))
            Clock.DueAtOnce();
    }

    /// <summary>What is to be done since the owner last cleared it. Complete only after <see cref="EndTurn"/>.</summary>
    public Effects Effects { get; } = new();

    public MemberId Self => Options.Self;

    public RaftRole Role => _role.Kind;

    public Term Term { get; private set; }

    public MemberId Vote { get; private set; }

    /// <summary>The leader of the current term, itself included; nobody when unknown.</summary>
    public MemberId Leader { get; private set; }

    public LogIndex Commit { get; private set; }

    public LogIndex Applied { get; private set; }

    public LogIndex LastIndex => Log.Last;

    public Term LastTerm => Log.LastTerm;

    /// <summary>
    /// Where the log ended before some of it rotted, while the leader has not given that back; null: nothing is missing. See <see
    /// cref="RestoredState.RottenEnd"/>.
    /// </summary>
    public LogEnd? RottenEnd => Log.RottenEnd;

    /// <summary>The first entry that can still be read; what lies before it is in the snapshot only.</summary>
    public LogIndex FirstIndex => Log.Base.Next;

    /// <summary>The last index that this member's own disk holds durably.</summary>
    public LogIndex Durable => Ledger.Log;

    /// <summary>The last index that the newest snapshot covers.</summary>
    public LogIndex SnapshotIndex => Snapshot?.Index ?? LogIndex.Zero;

    /// <summary>The newest snapshot; null if none.</summary>
    public SnapshotMark? Snapshot { get; private set; }

    /// <summary>The membership in effect: the newest in the log, committed or not (Raft 6).</summary>
    public Membership Membership => _memberships.Current;

    public LogIndex MembershipIndex => _memberships.Index;

    /// <summary>
    /// Leads, and an entry of its own term is committed: only now may it answer reads, keepalives and membership changes.
    /// </summary>
    public bool HasCommittedInTerm => _role is LeaderRole { HasCommittedInTerm: true };

    /// <summary>The stamp of the last entry in the log; new entries never go below it.</summary>
    public long LastStamp => Log.LastStamp;

    /// <summary>How far a leader knows the member's log to match its own, durably; zero when not leading or unknown.</summary>
    public LogIndex MatchOf(MemberId member) => _role is LeaderRole leader ? leader.MatchOf(member) : LogIndex.Zero;

    /// <summary>The member that leadership is being handed to; nobody when no transfer is under way.</summary>
    public MemberId TransferTarget => _role is LeaderRole leader ? leader.TransferTarget : MemberId.None;

    /// <summary>Whether the log holds exactly this entry, or starts right after it.</summary>
    public bool Holds(LogIndex index, Term term) => Log.Holds(index, term);

    /// <summary>
    /// Until when, on the owner's clock, nobody else can lead or commit anything; <see cref="TimeSpan.MinValue"/> while that is not known.
    /// To be held against a reading of that clock that was taken <em>after</em> whatever rests on it: then a pause in between shows.
    /// </summary>
    public TimeSpan LeaseEnd => _role is LeaderRole leader ? leader.LeaseEnd : TimeSpan.MinValue;

    /// <summary>
    /// What the owner's clock shows: one that never stops, not even while the machine sleeps, and runs true within <see
    /// cref="RaftCoreOptions.ClockDrift"/>. Only leases look at it. Read after the inputs that follow were taken, so that nothing happens
    /// before it was received.
    /// </summary>
    public void TimeIs(TimeSpan now)
    {
        Invariant.Holds(now >= Time, $"the clock went back from {Time} to {now}");
        Time = now;
    }

    /// <summary>One tick of this member's time passed.</summary>
    public void Tick()
    {
        _role.Tick();
        Observers.Tick();
    }

    /// <summary>A message arrived. Anything may arrive: old, twice, out of order, from a stranger.</summary>
    public void Step(Message message)
    {
        if (message.To != Self || message.From == Self || message.From.Value is < 1 or > MemberId.GreatestObserver)
            return;
        if (Self.IsObserver || message.From.IsObserver)
        {
            StepOverBorder(message);
            return;
        }
        switch (message)
        {
            case VoteRequest request:
                AnswerVoteRequest(request);
                return;
            case VoteReply { PreVote: true, Granted: true }:
                // Carries the term that the asker would campaign in, which nobody is in yet.
                _role.Step(message);
                return;
        }
        if (message.Term < Term)
        {
            AnswerOlderTerm(message);
            return;
        }
        if (message.Term > Term)
            BecomeFollower(message.Term, MemberId.None);
        _role.Step(message);
    }

    /// <summary>
    /// Call once per turn, after all inputs and before reading <see cref="Effects"/>: works out what is to be sent, committed and
    /// persisted, so that everything that came in during the turn is one batch.
    /// </summary>
    public void EndTurn()
    {
        _role.EndTurn();
        Observers.EndTurn();
        _memberships.Forget(Commit);
        bool logChanged = Log.HandOver(Effects);
        if (!logChanged && !_mustPersist)
            return;
        _mustPersist = false;
        var request = new PersistRequest(Term, Vote, LastIndex, LastTerm);
        if (Effects.Persist is { } notTakenYet)
            Ledger.Replace(notTakenYet, request);
        else
            Ledger.Issue(request);
        Effects.Persist = request;
    }

    /// <summary>Appends a command, when leading. Call often within one turn: all of it becomes one batch.</summary>
    /// <param name="payload">The command; not changed afterwards.</param>
    /// <param name="now">The time in Unix milliseconds; the entry's stamp is this or the last stamp, whichever is later.</param>
    /// <param name="index">Where it stands.</param>
    public ProposeOutcome Propose(ReadOnlyMemory<byte> payload, long now, out LogIndex index)
    {
        index = LogIndex.Zero;
        return _role is LeaderRole leader ? leader.Propose(EntryKind.Command, payload, now, out index) : ProposeOutcome.NotLeader;
    }

    /// <summary>Appends a membership that is adjacent to the one in effect, or joint with it.</summary>
    public ProposeOutcome ProposeMembership(Membership membership, long now, out LogIndex index)
    {
        index = LogIndex.Zero;
        return _role is LeaderRole leader ? leader.ProposeMembership(membership, now, out index) : ProposeOutcome.NotLeader;
    }

    /// <summary>Everything up to and including this request is fsynced.</summary>
    public void Persisted(PersistRequest request)
    {
        if (!Ledger.Complete(request))
            return;
        Invariant.Holds(Durable <= LastIndex, $"the disk holds entry {Durable}, but the log ends at {LastIndex}");
        _role.Persisted();
    }

    /// <summary>The state machines have applied everything up to this index.</summary>
    public void AppliedTo(LogIndex index)
    {
        Invariant.Holds(index >= Applied && index <= Commit, $"applied would move from {Applied} to {index}, with {Commit} committed");
        Applied = index;
    }

    /// <summary>Asks for a read index; the answer comes in <see cref="Effects.Reads"/>, here or through the leader.</summary>
    /// <param name="token">Unique within this member's life.</param>
    /// <param name="byLease">The leader's lease is proof enough, where it holds.</param>
    public void ReadIndex(ulong token, bool byLease = false) => _role.ReadIndex(token, byLease);

    /// <summary>
    /// There is evidence that the member's process died: clears this member's contact with it, if it led (DESIGN promise 6).
    /// </summary>
    public void PeerDied(MemberId member) => _role.PeerDied(member);

    /// <summary>The link to a peer broke or came back: an optimistic pipeline to it starts over with a probe.</summary>
    public void PeerUnreachable(MemberId member)
    {
        if (member.IsObserver)
            Observers.Gone(member);
        else
            _role.PeerUnreachable(member);
    }

    /// <summary>A link to the member came up: an observer may let itself be fed over it.</summary>
    public void PeerReachable(MemberId member) => _role.PeerReachable(member);

    /// <summary>How many observers this member feeds.</summary>
    public int ObserversFed => Observers.Count;

    /// <summary>Who feeds this member: its leader, or an observer's source; nobody if none.</summary>
    public MemberId Source => _role is ObserverRole observer ? observer.Source : Leader;

    /// <summary>
    /// Hands leadership to the member, or to the most caught-up voter when nobody is named. False: not leading, or nobody fits.
    /// </summary>
    public bool TransferLeadership(MemberId to) => _role is LeaderRole leader && leader.TransferLeadership(to);

    /// <summary>This member leads, and that one has answered within an election timeout.</summary>
    public bool Hears(MemberId member) => _role is LeaderRole leader && leader.Hears(member);

    /// <summary>Somebody who is there is being sent the snapshot of now, or waits for it: a newer one would start that over.</summary>
    public bool SendsSnapshots => Observers.SendsSnapshots || _role is LeaderRole { SendsSnapshots: true };

    /// <summary>
    /// Entries that the snapshot does not cover rotted on this member's disk while it ran. The state has them: whoever lacks them waits for
    /// a snapshot of it.
    /// </summary>
    public bool NeedsSnapshot => Log.Base > SnapshotIndex;

    /// <summary>The entry that begins here cannot be read any more, and is applied: the log starts behind it.</summary>
    internal void GiveUpRotten(LogIndex index)
    {
        Invariant.Holds(index <= Applied, $"entry {index} rotted, and only {Applied} is applied");
        Log.CompactTo(index);
    }

    /// <summary>
    /// A snapshot of this member's own state is durable: the log before it may go. Keeps <paramref name="keep"/> entries before it for slow
    /// peers.
    /// </summary>
    /// <param name="snapshot">It.</param>
    /// <param name="keep">How many entries.</param>
    /// <param name="replaces">It takes the place of one that rotted, also where that was of the same entry: perhaps of another length.</param>
    public void SnapshotTaken(SnapshotMark snapshot, long keep, bool replaces = false)
    {
        if (snapshot.Index < SnapshotIndex || (snapshot.Index == SnapshotIndex && !replaces))
            return;
        Invariant.Holds(snapshot.Index <= Applied, $"a snapshot of {snapshot.Index}, but only {Applied} is applied");
        // One that was begun before something behind it rotted (and was given up) is behind the log's start.
        Invariant.Holds(
            snapshot.Index < Log.Base || Log.TermAt(snapshot.Index) == snapshot.Term,
            $"a snapshot of {snapshot.Index} in term {snapshot.Term}, but the log has {Log.TermAt(snapshot.Index)} there");
        Snapshot = snapshot;
        // What the disk does not hold yet stays in memory: it is still to be handed over.
        Log.CompactTo(LogIndex.Min(snapshot.Index - keep, Durable));
        (_role as LeaderRole)?.SnapshotTaken(snapshot);
        Observers.SnapshotTaken(snapshot);
        Snapshots.Overtaken(snapshot.Index);
    }

    /// <summary>
    /// The next chunk from <paramref name="from"/> was written aside up to <paramref name="nextOffset"/>. Another offset than the chunk's
    /// end makes the sender go on there: further on when an earlier attempt left more, back when the chunk was damaged.
    /// </summary>
    public void SnapshotChunkWritten(MemberId from, Term term, LogIndex snapshotIndex, long nextOffset) =>
        Snapshots.Written(from, snapshotIndex, nextOffset);

    /// <summary>A snapshot from the leader is installed and durable, and the state machines hold it: the log now starts after it.</summary>
    public void SnapshotInstalled(SnapshotMark snapshot, MemberId from)
    {
        if (Covers(snapshot))
        {
            // The log got there by itself: what a snapshot covers is committed, and nothing after it may be thrown away.
            CommitTo(snapshot.Index);
        }
        else
        {
            Invariant.Holds(_role is not LeaderRole, $"the leader of term {Term} installed a snapshot of {snapshot.Index}");
            Log.Reset(snapshot);
            Ledger.Reset(snapshot.Index);
            _memberships.Reset(snapshot);
            Snapshot = snapshot;
            Commit = Applied = snapshot.Index;
            Observers.SnapshotTaken(snapshot);
        }
        Snapshots.Installed(snapshot.Index, from);
    }

    /// <summary>
    /// Entries in memory are kept up to this many bytes before the commit; older ones are read back through <see cref="IEntryReader"/>.
    /// </summary>
    public void TrimMemory(long keepBytes) => Log.TrimMemory(LogIndex.Min(Commit, Durable), keepBytes);

    /// <summary>Reads entries to apply, from memory or through the reader: at least one, then as many as fit.</summary>
    public void ReadCommitted(LogIndex from, int maxBytes, List<Entry> into)
    {
        if (from <= Commit)
            Log.Read(from, Commit, maxBytes, into);
    }
}
