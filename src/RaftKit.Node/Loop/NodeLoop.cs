using Microsoft.Extensions.Logging;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Node.Reads;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Loop;

/// <summary>
/// The one owner of a member's state: feeds the consensus core, carries out its effects, applies what is committed, and lets sessions and
/// other participants live beside it. <see cref="Turn"/> is synchronous and takes its time and all of its inputs from outside, so the
/// simulator drives exactly what production runs. One thread at a time.
/// </summary>
internal sealed partial class NodeLoop : ILoopServices
{
    private const int MaxAppliedPerTurn = 4096;
    private const int MaxForwardsPerTurn = 16;
    private const int MaxForwardedEnvelopes = 4096;
    private const int MaxStashedForwards = 256;
    private const long MaxForwardedBytes = 1 << 20;

    private readonly NodeLoopOptions _options;
    private readonly NodeLoopPorts _ports;
    private readonly IReadOnlyList<ILoopParticipant> _participants;
    private readonly Applier _applier;
    private readonly PendingProposals _pending;
    private readonly AdmissionDesk _desk;
    private readonly ReadBarrier _reads;
    private readonly PeerLinks _links = new();
    private readonly Queue<LogWriteJob> _writing = new();
    private readonly Dictionary<string, byte[]> _names = [];
    private readonly List<(MemberId From, PeerMessage.ForwardProposals Forward)> _stashed = [];
    private readonly List<NodeInput.Propose> _early = [];
    private readonly NodeStorage _storage;
    private readonly SnapshotKeeper _snapshots;
    private readonly Formation _formation;
    private readonly GracefulStop _stop;
    private StartJudgement _judgement = StartJudgement.NotNeeded;
    private long _durableBatch;
    private TimeSpan? _tickLateness;
    private bool _forwardRefused;
    private bool _participating;
    private int _ticksWithoutProgress;
    private long _progressMark;
    private LogIndex _membershipSeen;
    private long _membersSeen;
    private Term _mintedIn;

    public NodeLoop(
        NodeLoopOptions options, NodeLoopPorts ports, IReadOnlyList<IStateMachine> machines, IReadOnlyList<ILoopParticipant> participants)
    {
        _options = options;
        _ports = ports;
        _participants = participants;
        _pending = new PendingProposals(options.MaxPendingProposals, options.MaxPendingBytes, options.ProposalMeter);
        _applier = new Applier(machines, _pending, options.Features) { LevelsChanged = LevelsApplied };
        _links.LastLifeOf = _applier.Members.LastLife;
        _desk = new AdmissionDesk(_applier.Proposers, WhyUnfit, WithWhatLeaderKnows);
        _reads = new ReadBarrier(options.Self, ports.LeaseClock, 4 * options.TickInterval, options.ClockDrift);
        _stop = new GracefulStop(this);
        _storage = new NodeStorage(ports.Directory, options, _applier, ReadFailed, EntryRotMet);
        _snapshots = new SnapshotKeeper(options, ports, _applier, Counters);
        _formation = new Formation(this);
        foreach (var machine in machines)
            _names[machine.Name] = Envelope.Name(machine.Name);
        _names[Applier.NodeSection] = Envelope.Name(Applier.NodeSection);
        Status = new NodeStatus(options.Self, NoRole, Term.Zero, MemberId.None, false, LogIndex.Zero, LogIndex.Zero);
    }

    /// <summary>Null until this member has an identity: while it starts with an empty directory.</summary>
    public RaftCore? Core { get; private set; }

    public NodeCounters Counters { get; } = new();

    /// <summary>How often the disk answered a read of log or snapshots with an error.</summary>
    public int ReadErrorCount => _storage.ReadErrorCount;

    /// <summary>Replaced, never changed; any thread may read it.</summary>
    public NodeStatus Status { get => Volatile.Read(ref field); private set => Volatile.Write(ref field, value); }

    public bool IsStopped { get; private set; }

    /// <summary>Why the loop stopped by itself; null if it did not.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>Work is left that needs no input: turn again at once.</summary>
    public bool NeedsTurn { get; private set; }

    public LoopTime Now { get; private set; }

    public MemberId Self => _options.Self;

    public HostProcess HostProcess => _options.HostProcess;

    public int Incarnation => _storage.Identity?.Incarnation ?? 0;

    public long Boot => _storage.Identity?.Boot ?? 0;

    public Guid ClusterId => _applier.ClusterId != Guid.Empty ? _applier.ClusterId : _storage.Identity?.ClusterId ?? Guid.Empty;

    public Applier Applier => _applier;

    /// <summary>Opens the directory and takes up where its last owner stopped; with an empty one, begins to ask around.</summary>
    /// <exception cref="DirectoryInUseException">Another node holds the directory.</exception>
    /// <exception cref="DirectoryMismatchException">The directory belongs to another member or cluster.</exception>
    /// <exception cref="LogCorruptException">What was durable does not read back.</exception>
    /// <exception cref="UnknownFormatException">A newer version wrote the directory.</exception>
    public void Start(LoopTime now)
    {
        Now = now;
        if (!TakeUp(now))
            return;
        AnnounceSelf();
        LinkMembers();
        _participating = true;
        foreach (var participant in _participants)
            participant.Start(this);
        _formation.Step();
        CarryOut();
    }

    void ILoopServices.Propose(string machine, ReadOnlyMemory<byte> command, IProposalCallback? callback) =>
        Take(new NodeInput.Propose(machine, command, callback));

    bool ILoopServices.ProposeAsLeader(string machine, ReadOnlyMemory<byte> command) =>
        Core is { Role: RaftRole.Leader } core
        && core.Propose(Envelope.Encode(default, 0, 0, _names[machine], command), Now.UnixMilliseconds, out _) == ProposeOutcome.Appended;

    void ILoopServices.Send(MemberId to, byte channel, ReadOnlyMemory<byte> payload) =>
        _ports.Transport.Send(to, new PeerMessage.Channel(channel, payload));

    void ILoopServices.ReadBarrier(IReadCallback callback) => _reads.Add(callback);

    /// <summary>A durable snapshot covers the log up to here.</summary>
    internal void CompactLog(LogIndex upTo)
    {
        if (upTo > LogIndex.Zero)
            _ports.LogLane.Submit(new LogCompactJob(_storage.Log, upTo));
    }

    /// <summary>The state machines hold a leader's snapshot, and it is durable: the log starts after it.</summary>
    internal void SnapshotRestored(SnapshotMark mark, MemberId from)
    {
        var core = Core!;
        // What the core wanted written so far belongs to the log before the reset.
        core.EndTurn();
        CarryOutEffects(core);
        var logReachesIt = core.Holds(mark.Index, mark.Term);
        core.SnapshotInstalled(mark, from);
        if (logReachesIt)
        {
            // The log got there by itself while the machines were restored, and goes on behind it.
            core.AppliedTo(mark.Index);
            core.SnapshotTaken(mark, _options.KeepEntries);
        }
        else
        {
            Write(core, null, null, [], mark);
        }
        AnswerReads();
    }

    /// <summary>Ends the loop without ceremony; the disk lanes must have ended before.</summary>
    public void Dispose()
    {
        if (!IsStopped)
            Stop(null);
        _snapshots.Dispose();
        _storage.Dispose();
    }

    private void Handle(NodeInput input)
    {
        switch (input)
        {
            case NodeInput.Received received:
                Receive(received.Link, received.From, received.Message);
                break;
            case NodeInput.DiskDone done:
                DiskDone(done.Job);
                break;
            case NodeInput.Propose propose:
                Propose(propose);
                break;
            case NodeInput.Call call:
                call.Target.Run();
                break;
            case NodeInput.Read read:
                Read(read);
                break;
            case NodeInput.Tick tick:
                _tickLateness = _tickLateness is { } earlier && earlier > tick.Lateness ? earlier : tick.Lateness;
                break;
            case NodeInput.LinkUp up:
                LinkUp(up.Link, up.Hello, up.Told);
                break;
            case NodeInput.LinkDown down:
                LinkDown(down);
                break;
            case NodeInput.NumberDoubled doubled:
                _formation.Doubled(doubled.Member, doubled.Reason);
                break;
            case NodeInput.PeerDied died:
                PeerDied(died.Evidence);
                break;
            case NodeInput.Stop stop:
                _stop.Begin(stop.Stopped);
                break;
            default:
                throw new InvariantBrokenException($"The loop knows no input {input.GetType().Name}.");
        }
    }

    private void Receive(long link, MemberId from, PeerMessage message)
    {
        // Only what may come from a member without an identity passes unasked.
        switch (message)
        {
            case PeerMessage.BootstrapProbe probe:
                _formation.Probed(from, probe);
                return;
            case PeerMessage.BootstrapAnswer answer:
                _formation.Answered(from, answer);
                return;
            case PeerMessage.JoinRequest join:
                _formation.AskedToJoin(from, link, join);
                return;
            case PeerMessage.JoinReply reply:
                _formation.JoinAnswered(from, reply);
                return;
            case PeerMessage.StartJudged judged:
                Judged(from, link, judged);
                return;
        }
        var admission = _links.Pass(link, message);
        if (admission == Admission.Admitted)
            Deliver(from, message);
        else if (admission == Admission.Refused && _links.VerdictOn(link) is { } verdict)
            _ports.Transport.Send(from, verdict);
    }

    private void Deliver(MemberId from, PeerMessage message)
    {
        // Not even a heartbeat is answered before the start is judged: the answer says that no newer term was heard of.
        if (Core is not { } core || !_judgement.IsOver)
            return;
        switch (message)
        {
            case PeerMessage.Raft raft when raft.Message.From == from && raft.Message.To == Self:
                if (!IsOfAnotherEpoch(core, raft.Message) && _links.MayCount(raft.Message, core.Membership, core.Term))
                    core.Step(raft.Message);
                break;
            case PeerMessage.ForwardProposals forward when forward.Proposer.Member == from:
                TakeForwarded(from, forward);
                break;
            case PeerMessage.ForwardRefused refused when refused.Proposer == _pending.Proposer && from == core.Leader:
                ForwardRefused(refused);
                break;
            case PeerMessage.Channel channel:
                foreach (var participant in _participants)
                {
                    if (participant.Channel == channel.Id)
                        participant.Received(from, channel.Payload);
                }
                break;
            default:
                LogIgnored(_ports.Logger, message.GetType().Name, from.Value);
                break;
        }
    }

    private void LinkUp(long link, PeerHello hello, PeerHello? told)
    {
        // A handshake that was under way when this member took its identity: the peer would keep us for one without, and drop all that the
        // core sends.
        if (told is not null && (told.Incarnation, told.Boot) != (Incarnation, Boot))
        {
            _ports.Transport.Relink(link, $"Member {Self} has an identity now.");
            return;
        }
        (_links.Recovery, _links.Levels) = (_applier.Recovery, _applier.Levels.Current);
        if (_links.Up(link, hello, ClusterId, Core?.Membership ?? Membership.Empty) is { } refusal)
        {
            LogLinkRefused(_ports.Logger, hello.Member.Value, refusal.Reason);
            // Who is rolled back, or unready, hears so over the link, and stops; until then nothing that it says is heard.
            if (_links.VerdictOn(link) is { } verdict)
                _ports.Transport.Send(hello.Member, verdict);
            else
                _ports.Transport.Refuse(link, refusal.Reason);
            return;
        }
        if (hello.Incarnation != 0)
            _ports.Transport.Send(hello.Member, new PeerMessage.StartJudged(hello.Incarnation, hello.Boot, ""));
        Core?.PeerUnreachable(hello.Member);
        Core?.PeerReachable(hello.Member);
        foreach (var participant in _participants)
            participant.LinkChanged(hello.Member, true);
        _formation.Linked(hello);
    }

    private void LinkDown(NodeInput.LinkDown down)
    {
        _links.Down(down.Link);
        if (!_links.IsUp(down.Peer))
            Unlinked(down.Peer);
    }

    private void Unlinked(MemberId peer)
    {
        Core?.PeerUnreachable(peer);
        foreach (var participant in _participants)
            participant.LinkChanged(peer, false);
    }

    private void PeerDied(DeathEvidence evidence)
    {
        LogPeerDied(_ports.Logger, evidence.Member.Value, evidence.Boot, evidence.Proven, evidence.Reason);
        // A later start that is linked by now lives: then only sessions of the dead one end.
        if (_links.Current(evidence.Member) is not { } hello || hello.Boot <= evidence.Boot)
            Core?.PeerDied(evidence.Member);
        foreach (var participant in _participants)
            participant.PeerDied(evidence);
    }

    private void Tick(TimeSpan lateness)
    {
        _judgement.Tick();
        if (_judgement.IsOver)
            Core?.Tick();
        Core?.TrimMemory(_options.KeepMemoryBytes);
        _reads.Tick();
        _formation.Tick();
        SeekMembers();
        _forwardRefused = false;
        ResendWhatMayBeLost();
        WitnessTick();
        foreach (var participant in _participants)
            participant.Tick(lateness);
        if (Core is not { Role: RaftRole.Leader } core || !Status.Ready)
            return;
        MintClusterId(core);
        MembershipKeeper.Advance(core, _applier.Members, _links.Current, Now.UnixMilliseconds);
    }

    /// <summary>Carries out what the core wants, applies what is committed, and goes on while that makes more to do.</summary>
    private void CarryOut()
    {
        for (var round = 0; round < 8 && !IsStopped && Core is { } core; round++)
        {
            SendProposals(core);
            if (core.Leader != MemberId.None)
                _reads.Ask(core);
            core.EndTurn();
            var worked = CarryOutEffects(core);
            // Whoever judged as leader must hear that it no longer leads before it sees what a successor had committed (simulator seed 41).
            if (core.Role != Status.Role || core.Term != Status.Term)
                worked |= PublishStatus(core);
            if (!_snapshots.IsRestoring && _applier.ApplyCommitted(core, MaxAppliedPerTurn) > 0)
            {
                worked = true;
                NoteClusterId();
                AnswerReads();
            }
            NeedsTurn = !_snapshots.IsRestoring && _applier.Applied < core.Commit;
            worked |= PublishStatus(core);
            if (!worked)
                break;
        }
        FollowMembership();
        FollowLevels();
        if (Core is not { } running || IsStopped)
            return;
        FollowRecovery(running);
        NeedsTurn |= _snapshots.Step(running, this);
    }

    /// <returns>Whether there was anything that may lead to more in the same turn.</returns>
    private bool CarryOutEffects(RaftCore core)
    {
        var effects = core.Effects;
        if (effects.Diverged is { } diverged)
            EndDiverged(diverged);
        if (effects.HandsOverForItsDisk)
        {
            Counters.StallsCount++;
            LogStalled(_ports.Logger, Self.Value, core.Term.Value, core.Durable.Value, core.Commit.Value);
        }
        var worked = effects.Reads.Count > 0;
        // First, since a garbled chunk is answered at once.
        foreach (var chunk in effects.SnapshotWrites)
            _snapshots.WriteChunk(core, chunk);
        Persist(core, effects);
        foreach (var message in effects.Messages)
            Send(message);
        foreach (var send in effects.SnapshotSends)
            _snapshots.ReadForPeer(send);
        foreach (var grant in effects.Reads)
            _reads.Granted(grant, core.Role == RaftRole.Leader);
        effects.Clear();
        // Half a state must not be seen: while one is being replaced, readers wait.
        if (!_snapshots.IsRestoring)
            AnswerReads();
        return worked;
    }

    private void AnswerReads() =>
        _reads.AppliedTo(_applier.Applied, _applier.AppliedTerm, _applier.AppliedZxid, Core!.LeaseEnd);

    private void Persist(RaftCore core, Effects effects)
    {
        if (effects.Persist is not null || _links.HasBootsToRemember)
        {
            Write(core, effects.Persist, effects.TruncateFrom, effects.Append.Count == 0 ? [] : [.. effects.Append], null);
        }
        if (effects.MessagesOncePersisted.Count == 0)
            return;
        if (_writing.Count > 0)
        {
            // Lanes keep the order, so the newest write under way is the last that these must wait for.
            _writing.Last().Held.AddRange(effects.MessagesOncePersisted);
            return;
        }
        foreach (var message in effects.MessagesOncePersisted)
            Send(message);
    }

    private void Send(Message message) => _ports.Transport.Send(message.To, new PeerMessage.Raft(message, _durableBatch));

    private void Write(RaftCore core, PersistRequest? request, LogIndex? truncateFrom, Entry[] entries, SnapshotMark? resetTo)
    {
        var batch = new LogBatch
        {
            Term = core.Term,
            Vote = core.Vote,
            ResetTo = resetTo,
            TruncateFrom = truncateFrom,
            Entries = entries,
            PeerBoots = _links.TakeBootsToRemember(),
        };
        var job = new LogWriteJob(_storage.Log, batch, request, Counters);
        _writing.Enqueue(job);
        _ports.LogLane.Submit(job);
    }

    private void DiskDone(DiskJob job)
    {
        if (job.Failure is { } failure)
        {
            throw failure as LogFailedException
                ?? new LogFailedException(
                    $"{job.GetType().Name} failed in {_ports.Directory.Location}: {failure.Message} This member stops.", failure);
        }
        if (job is not LogWriteJob written)
        {
            if (job == _witnessing)
                _witnessing = null;
            else if (Core is { } core)
                _snapshots.Done(job, core, this);
            return;
        }
        Invariant.Holds(
            _writing.TryDequeue(out var oldest) && oldest == written, "log writes end in the order in which they were submitted");
        if (written.Request is { } request)
            Core!.Persisted(request);
        _durableBatch = written.LastBatch;
        foreach (var message in written.Held)
            Send(message);
        _links.Remembered(written.Boots, Deliver);
    }

    /// <summary>Role, term, leader and readiness as of now; tells everybody who waits for a change.</summary>
    /// <returns>Whether one of these changed.</returns>
    private bool PublishStatus(RaftCore core)
    {
        var ready = core.Role == RaftRole.Leader
            ? core.HasCommittedInTerm && _applier.AppliedTerm == core.Term
            : !core.Leader.IsNone;
        var before = Status;
        if (before.Commit == core.Commit && before.Applied == _applier.Applied && before.Role == core.Role && before.Term == core.Term
            && before.Leader == core.Leader && before.Ready == ready && before.Source == core.Source
                && before.RecoveryEpoch == _applier.Recovery.Epoch
            && before.RottenEnd == core.RottenEnd?.Index)
        {
            return false;
        }
        var status = new NodeStatus(Self, core.Role, core.Term, core.Leader, ready, core.Commit, _applier.Applied)
        { RecoveryEpoch = _applier.Recovery.Epoch, Source = core.Source, RottenEnd = core.RottenEnd?.Index };
        var repaired = before.RottenEnd is not null && status.RottenEnd is null;
        if (repaired)
            Counters.RepairsCount++;
        Status = status;
        if (repaired && before.RottenEnd is { } rotten)
        {
            LogRepaired(_ports.Logger, Self.Value, rotten.Value, core.LastIndex.Value, status.Leader.Value);
        }
        if (before.Role == status.Role && before.Term == status.Term && before.Leader == status.Leader && before.Ready == status.Ready)
            return false;
        StatusChanged(core, before, status);
        return true;
    }

    private void StatusChanged(RaftCore core, NodeStatus before, NodeStatus status)
    {
        LogStatus(_ports.Logger, status.Role, status.Term.Value, status.Leader.Value, status.Ready, status.Commit.Value);
        if (status.Role == RaftRole.Leader && before.Role != RaftRole.Leader)
            Counters.ElectionsCount++;
        if (before.Leader != status.Leader || before.Term != status.Term)
        {
            _pending.Resend();
            _forwardRefused = false;
            _desk.Reset();
            if (status.Role != RaftRole.Leader)
                _stashed.Clear();
        }
        foreach (var participant in _participants)
            participant.StatusChanged(status);
        if (status.Role != RaftRole.Leader || !status.Ready)
            return;
        MintClusterId(core);
        foreach (var (from, forward) in _stashed)
            TakeForwarded(from, forward);
        _stashed.Clear();
    }

    private void NoteClusterId()
    {
        if (_storage.Identity is { } identity && identity.ClusterId == Guid.Empty && _applier.ClusterId != Guid.Empty)
        {
            _storage.NameCluster(_applier.ClusterId);
            LogClusterNamed(_ports.Logger, _applier.ClusterId);
            AnnounceSelf();
        }
    }

    /// <summary>This member has an identity and a log: from here on it is a Raft member.</summary>
    private void BeginConsensus(RestoredState restored, StartJudgement judgement)
    {
        _judgement = judgement;
        _durableBatch = _storage.Log.LastBatch;
        _pending.Proposer = new ProposerId(Self, Incarnation, Boot);
        _links.Restore(_storage.RememberedBoots);
        _links.Restore(_storage.Witness.Read());
        _snapshots.Store = _storage.Snapshots;
        _snapshots.WarmUp();
        Core = new RaftCore(
            _options.CoreOptions(Incarnation, (uint)Boot) with { PromisedUntil = _ports.LeaseClock.Now + _storage.PromisedBefore },
            restored, _storage.Log);
        Core.TimeIs(_ports.LeaseClock.Now);
        foreach (var propose in _early)
            _pending.TryAdd(_names[propose.Machine], propose.Command, propose.Callback, propose.Machine == Applier.NodeSection);
        _early.Clear();
        LogBegan(_ports.Logger, Self.Value, Incarnation, Boot, Core.Term.Value, Core.LastIndex.Value);
        if (Core.RottenEnd is { } rotten)
            LogRot(_ports.Logger, Self.Value, Core.LastIndex.Next.Value, rotten.Index.Value, rotten.Term.Value, _storage.Rot);
        else if (_storage.Rot.Length > 0)
            LogRotPassed(_ports.Logger, Self.Value, _storage.Rot);
        Status = Status with { RottenEnd = Core.RottenEnd?.Index };
    }
}
