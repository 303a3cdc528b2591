using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Members;
using RaftKit.Node.Reads;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Loop;

/// <summary>The loop's time at the start of a turn.</summary>
/// <param name="Monotonic">Since an arbitrary start; counts on while the machine is suspended (CLOCK_BOOTTIME).</param>
/// <param name="UnixMilliseconds">Wall-clock time; may jump.</param>
internal readonly record struct LoopTime(TimeSpan Monotonic, long UnixMilliseconds);

/// <summary>What a member knows of the quorum. Immutable.</summary>
/// <param name="Self">This member.</param>
/// <param name="Role">Its role.</param>
/// <param name="Term">Its term.</param>
/// <param name="Leader">The leader it knows of; nobody if none.</param>
/// <param name="Ready">It leads and has committed an entry of its own term, or it follows, or observes, a known leader.</param>
/// <param name="Commit">The last index it knows to be committed.</param>
/// <param name="Applied">The last index that its state machines hold.</param>
public sealed record NodeStatus(
    MemberId Self, RaftRole Role, Term Term, MemberId Leader, bool Ready, LogIndex Commit, LogIndex Applied)
{
    /// <summary>
    /// How often an operator forced a new quorum out of a lost one: the upper 16 bits of every zxid from then on. Where it grows, what was
    /// acknowledged in an earlier epoch may be gone.
    /// </summary>
    public int RecoveryEpoch { get; init; }

    /// <summary>
    /// Who feeds this one with what is committed: the leader that it follows, or the member that an observer goes by; nobody while there is
    /// none.
    /// </summary>
    public MemberId Source { get; init; }

    /// <summary>
    /// Where this member's log ended before entries of it rotted on its disk; null when nothing is missing. Until a leader has sent them
    /// again the member votes as one that still has them, and does not lead. While this stays, no leader is there that has them: bring back
    /// the members that are down.
    /// </summary>
    public LogIndex? RottenEnd { get; init; }
}

/// <summary>What a part of the node that lives on the loop (sessions, later brokers) may ask of it. Loop thread only.</summary>
internal interface ILoopServices
{
    LoopTime Now { get; }

    NodeStatus Status { get; }

    MemberId Self { get; }

    /// <summary>Which process this is: compared by others to prove its death.</summary>
    HostProcess HostProcess { get; }

    /// <summary>This start's number, and the incarnation that it belongs to.</summary>
    int Incarnation { get; }

    long Boot { get; }

    /// <summary>Where the members that this one is configured with listen.</summary>
    IReadOnlyDictionary<MemberId, string> ConfiguredEndpoints { get; }

    /// <summary>
    /// Proposes from this member, exactly once, forwarded to the leader when that is another. The callback runs on the loop.
    /// </summary>
    void Propose(string machine, ReadOnlyMemory<byte> command, IProposalCallback? callback);

    /// <summary>
    /// Proposes straight into this leader's log, without exactly-once; false when it does not lead or is busy. For the leader's own
    /// housekeeping, whose commands are idempotent.
    /// </summary>
    bool ProposeAsLeader(string machine, ReadOnlyMemory<byte> command);

    /// <summary>Sends bytes to the part of the same channel on another member, in the priority lane. May be lost.</summary>
    void Send(MemberId to, byte channel, ReadOnlyMemory<byte> payload);

    /// <summary>
    /// Asks for a linearizable read point: the callback runs on the loop once everything acknowledged before now is applied here.
    /// </summary>
    void ReadBarrier(IReadCallback callback);
}

/// <summary>A part of the node that lives on the loop beside the state machines.</summary>
internal interface ILoopParticipant
{
    /// <summary>Its channel for messages between members; 1 for sessions.</summary>
    byte Channel { get; }

    /// <summary>Called once, before anything else.</summary>
    void Start(ILoopServices services);

    /// <summary>Role, term, leader or readiness changed.</summary>
    void StatusChanged(NodeStatus status);

    /// <summary>A tick passed. Every message that had arrived before it has been handled (keepalives are drained before judging).</summary>
    /// <param name="lateness">How much later than planned this tick came; zero when on time. Deadlines are extended by it.</param>
    void Tick(TimeSpan lateness);

    /// <summary>Bytes came from the same channel of another member.</summary>
    void Received(MemberId from, ReadOnlyMemory<byte> payload);

    /// <summary>The link to a member came up or broke (not evidence of death by itself).</summary>
    void LinkChanged(MemberId member, bool up);

    /// <summary>There is evidence that a member's process died.</summary>
    void PeerDied(DeathEvidence evidence);

    /// <summary>What the log says of the members was applied.</summary>
    /// <param name="table">Who is to be a member.</param>
    /// <param name="applied">Who is one.</param>
    /// <param name="endpoints">Where they listen, as far as known.</param>
    void MembershipApplied(MemberTable table, Membership applied, IReadOnlyDictionary<MemberId, string> endpoints)
    {
    }

    /// <summary>Levels were finalised, as of what was applied. On the loop, before whoever asked for it is told.</summary>
    void LevelsApplied(FinalizedLevels levels)
    {
    }

    /// <summary>The node stops in order: say goodbye (close the host's own session) and call back when done.</summary>
    void Stopping(Action done);

    /// <summary>
    /// The loop has ended, in order or not; every proposal was told. Nothing is called after this: whoever still waits must be told now.
    /// </summary>
    void Stopped(string reason)
    {
    }
}

/// <summary>Hears how a proposal ended. Runs on the loop, so it only hands over.</summary>
internal interface IProposalCallback
{
    /// <summary>Applied here. Events that the command caused were emitted before this call.</summary>
    void Applied(in CommandContext context, ReadOnlyMemory<byte> result);

    /// <summary>Ended otherwise.</summary>
    void Failed(ProposalFailure failure, string reason);
}

/// <summary>How a proposal ended when its result is not known here.</summary>
internal enum ProposalFailure
{
    /// <summary>Surely not applied, and never will be: the queue is full or the node is stopping and never sent it.</summary>
    NotApplied,

    /// <summary>It may or may not be applied, or its result is not kept: this member cannot tell.</summary>
    Unknown,
}

/// <summary>Hears how a read barrier ended. Runs on the loop.</summary>
internal interface IReadCallback
{
    /// <summary>Nobody waits for it any more: it is dropped with the next tick, whether there is a leader or not.</summary>
    bool IsAbandoned => false;

    /// <summary>
    /// Takes its answer from the state and keeps it: what it rests on is checked after it. Comes again if that does not hold.
    /// </summary>
    void Read()
    {
    }

    /// <summary>What it read stands. Whoever read nothing reads now.</summary>
    void Ready();

    /// <summary>What it read stands, and is worth this.</summary>
    void Ready(in ReadPoint point) => Ready();

    /// <summary>The state could not be shown to be as new as it was to be.</summary>
    void TooStale(StaleReadException why) => Failed(why.Message);

    void Failed(string reason);
}

/// <summary>A call to run on the loop, in order with everything else. The seam by which other threads reach the loop's state.</summary>
internal interface ILoopCall
{
    /// <summary>
    /// Whether it is refused where too much waits. Not what ends or follows something that was taken: a refusal would leave that behind for
    /// good.
    /// </summary>
    bool MayBeRefused => false;

    /// <summary>Bytes that it holds while it waits, roughly.</summary>
    int Weight => 0;

    void Run();

    /// <summary>The node stopped before it could run.</summary>
    void Stopped();

    /// <summary>Too much waits: it will not run. On the caller's thread, before the posting returns.</summary>
    void Refused(string reason) => Stopped();
}

/// <summary>
/// Where inputs to the loop go in; any thread. Bounded (<see cref="InboxLimits"/>): what this process asks beyond that is refused before
/// the call returns, what peers send is dropped, and what the loop is owed is always taken.
/// </summary>
internal interface INodeInbox
{
    void Post(NodeInput input);

    /// <summary>
    /// Where the loop sleeps, makes the calling thread the one that gives it its next turn: what anybody posts from now on waits for <see
    /// cref="Leave"/>, which must follow soon, whatever happens in between. For threads of RaftKit's own only (a turn runs the
    /// application's state machines, which must not find themselves inside a lock of the application), and under no lock. False: the loop
    /// is awake; just post.
    /// </summary>
    bool TryEnter() => false;

    /// <summary>Gives the loop one turn with what was posted since <see cref="TryEnter"/>, on this thread.</summary>
    void Leave()
    {
    }
}

/// <summary>One input to the loop.</summary>
internal abstract record NodeInput
{
    public virtual InboxShare Share => InboxShare.Owed;

    /// <summary>Bytes that it holds while it waits, roughly.</summary>
    public virtual int Weight => 0;

    public sealed record Tick(TimeSpan Lateness) : NodeInput;

    /// <summary>A link to a peer is up, after both sides' hello. Everything from it comes after this.</summary>
    /// <param name="Link">The link.</param>
    /// <param name="Hello">What the peer said of itself.</param>
    /// <param name="Told">What this side said of itself; null where that cannot have changed since.</param>
    public sealed record LinkUp(long Link, PeerHello Hello, PeerHello? Told = null) : NodeInput;

    /// <summary>A message came over a link.</summary>
    public sealed record Received(long Link, MemberId From, PeerMessage Message, int Bytes = 0) : NodeInput
    {
        // A verdict comes once a link, and a start whose disk has forgotten promises must not miss it.
        public override InboxShare Share => Message is PeerMessage.StartJudged ? InboxShare.Owed
            : Lanes.Of(Message) == Lane.Priority ? InboxShare.Urgent : InboxShare.Bulk;

        public override int Weight => Bytes;
    }

    /// <summary>The link is gone. With a goodbye, the peer said so; without, it is the first half of evidence.</summary>
    public sealed record LinkDown(long Link, MemberId Peer, bool Goodbye) : NodeInput;

    /// <summary>Probes after a broken link stayed refused, or a newer incarnation or boot shook hands.</summary>
    public sealed record PeerDied(DeathEvidence Evidence) : NodeInput;

    /// <summary>Another process, without data, came under the number of a member that is linked, and was refused.</summary>
    public sealed record NumberDoubled(MemberId Member, string Reason) : NodeInput
    {
        // It comes again for as long as both run.
        public override InboxShare Share => InboxShare.Bulk;
    }

    /// <summary>A disk job ended.</summary>
    public sealed record DiskDone(Log.DiskJob Job) : NodeInput;

    public sealed record Call(ILoopCall Target) : NodeInput
    {
        public override InboxShare Share => Target.MayBeRefused ? InboxShare.Call : InboxShare.Owed;

        public override int Weight => Target.Weight;
    }

    public sealed record Propose(string Machine, ReadOnlyMemory<byte> Command, IProposalCallback? Callback) : NodeInput
    {
        public override InboxShare Share => InboxShare.Call;

        public override int Weight => Command.Length;
    }

    /// <summary>A read of the state machines; linearizable if it does not say what it needs.</summary>
    public sealed record Read(IReadCallback Callback, ReadConsistency? Consistency = null) : NodeInput
    {
        public override InboxShare Share => InboxShare.Call;
    }

    public sealed record Stop(Action<Exception?> Stopped) : NodeInput;
}
