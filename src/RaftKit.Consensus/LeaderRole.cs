namespace RaftKit.Consensus;

/// <summary>
/// Leads a term: appends, replicates, commits, proves that it still leads, hands over. Inputs only note what changed; what is to be
/// sent is worked out once, at the turn's end, so that everything proposed in a turn is one message to each peer.
/// </summary>
internal sealed class LeaderRole(RaftCore core) : Role(core)
{
    // Feeding a peer and counting its answers are two files, one role: see Replicator.
    private readonly Replicator _peers = new(core);
    private readonly Handover _handover = new(core);
    private readonly LeaderLease _lease = new(core);
    private readonly StallWatch _stall = new(core);
    private LogIndex _firstOfTerm;
    private int _sinceBeat;
    private bool _beatDue;
    private bool _countAgain;

    public override RaftRole Kind => RaftRole.Leader;

    public MemberId TransferTarget => _handover.Target;

    public LogIndex MatchOf(MemberId member) => _peers.Find(member)?.Match ?? LogIndex.Zero;

    public bool HasCommittedInTerm => Core.Commit >= _firstOfTerm;

    public TimeSpan LeaseEnd => HasCommittedInTerm ? _lease.EndsAt(_peers) : TimeSpan.MinValue;

    /// <summary>Commits nothing of earlier terms by counting, so the term opens with an entry of its own (Raft 5.4.2, 8).</summary>
    public void Enter()
    {
        _peers.Follow(Core.Membership, Core.MembershipIndex);
        _firstOfTerm = Core.Log.Last.Next;
        Core.AppendToLog(new Entry(Core.Term, _firstOfTerm, EntryKind.NoOp, Core.Log.LastStamp, default));
        _beatDue = true;
    }

    public override void Step(Message message)
    {
        if (_peers.Find(message.From) is { } peer)
        {
            peer.SilentTicks = 0;
            StepFrom(peer, message);
        }
        else if (message is ReadIndexRequest request)
        {
            // Its membership does not name the asker, who may know better; a read index gives nothing away.
            Read(request);
        }
    }

    public override void Tick()
    {
        Core.Clock.Tick();
        _peers.Tick();
        // Check-quorum (thesis 6.2): cut off, it would keep clients waiting, and members that can only reach it loyal to it.
        if (!_peers.QuorumIsHeard())
        {
            Core.BecomeFollower(Core.Term, MemberId.None);
            return;
        }
        _handover.Tick();
        // It goes on by the others' disks, and its memory holds what its own has not taken: who can keep a log is to lead.
        if (_stall.Tick() && TransferLeadership(MemberId.None))
            Core.Effects.HandsOverForItsDisk = true;
        if (++_sinceBeat >= Core.Options.HeartbeatTicks)
            _beatDue = true;
    }

    public ProposeOutcome Propose(EntryKind kind, ReadOnlyMemory<byte> payload, long now, out LogIndex index)
    {
        index = LogIndex.Zero;
        if (!_handover.Target.IsNone)
            return ProposeOutcome.Busy;
        var entry = new Entry(Core.Term, Core.Log.Last.Next, kind, Math.Max(now, Core.Log.LastStamp), payload);
        long uncommitted = Core.Log.BytesAfter(Core.Commit);
        // One entry always fits, or a single large one could never be proposed.
        if (uncommitted > 0 && uncommitted + entry.Weight > Core.Options.MaxUncommittedBytes)
            return ProposeOutcome.Busy;
        Core.AppendToLog(entry);
        if (kind == EntryKind.Membership)
        {
            _peers.Follow(Core.Membership, Core.MembershipIndex);
            _handover.MembershipChanged();
            _countAgain = true;
        }
        index = entry.Index;
        return ProposeOutcome.Appended;
    }

    public ProposeOutcome ProposeMembership(Membership membership, long now, out LogIndex index)
    {
        index = LogIndex.Zero;
        if (!_handover.Target.IsNone)
            return ProposeOutcome.Busy;
        // Two leaders that each change the membership before they committed anything could end with majorities that never meet
        // (raft-dev, 2015): the term's first entry must be committed before. One change at a time (thesis 4.1).
        if (!HasCommittedInTerm || Core.MembershipIndex > Core.Commit)
            return ProposeOutcome.MembershipChangePending;
        return MembershipRules.Refusal(Core.Membership, membership) is null
            ? Propose(EntryKind.Membership, MembershipCodec.Encode(membership), now, out index)
            : ProposeOutcome.MembershipNotAdjacent;
    }

    public override void ReadIndex(ulong token, bool byLease)
    {
        if (byLease && Core.Time < LeaseEnd)
            Core.Effects.Reads.Add(new ReadGrant(token, Core.Commit, Refused: false, ByLease: true));
        else if (HasCommittedInTerm)
            Core.Reads.Ask(Core.Self, token, Core.Commit);
        else
            base.ReadIndex(token, byLease);
    }

    /// <summary>Its own disk counts like any other member's: once the fsync returned, overlapped with replication.</summary>
    public override void Persisted() => _countAgain = true;

    public override void PeerUnreachable(MemberId member) => _peers.Find(member)?.Unreachable();

    public bool TransferLeadership(MemberId to)
    {
        if (to.IsNone)
            to = _peers.BestSuccessor();
        if (to == Core.Self || !Core.Membership.IsVoter(to) || _peers.Find(to) is null)
            return false;
        // From here on the target may be told, and be elected in spite of all promises.
        _lease.End();
        return _handover.To(to);
    }

    public bool Hears(MemberId member) => _peers.Hears(member);

    public bool SendsSnapshots => _peers.SendsSnapshots();

    public void SnapshotTaken(SnapshotMark snapshot) => _peers.RestartTransfers(snapshot);

    public override void EndTurn()
    {
        if (_countAgain)
            Count();
        bool leaves = Core.Commit >= Core.MembershipIndex && !Core.Membership.IsVoter(Core.Self);
        if (_handover.IsDue(_peers, _beatDue))
            Send(new TimeoutNow { From = Core.Self, To = _handover.Target, Term = Core.Term });
        ulong round = _beatDue || Core.Reads.HasFresh ? Core.Reads.Start() : 0;
        if (round != 0)
            _lease.RoundBegan(round);
        _peers.Feed(_beatDue, round);
        if (round != 0)
            ConfirmReads();
        if (_beatDue)
            _sinceBeat = 0;
        _beatDue = false;
        if (leaves)
            Retire();
    }

    public override void Leave()
    {
        while (Core.Reads.TryTake(ulong.MaxValue, out var read))
            Answer(read, refused: true);
    }

    private void StepFrom(PeerProgress peer, Message message)
    {
        switch (message)
        {
            case AppendReply { Accepted: true } reply:
                if (reply.Index <= Core.Log.Last)
                    Accepted(peer, reply.Index);
                break;
            case AppendReply reply:
                if (reply.HasRot)
                    peer.LostFrom(reply.HintIndex.Next);
                _peers.Refused(peer, reply);
                break;
            case HeartbeatReply reply:
                if (reply.ReadToken <= Core.Reads.Newest && reply.ReadToken > peer.ConfirmedRound)
                {
                    peer.ConfirmedRound = reply.ReadToken;
                    if (reply.Promised && _lease.Began(reply.ReadToken).Ticks is var began && began > peer.PromisedSince)
                        peer.PromisedSince = began;
                    ConfirmReads();
                }
                peer.AnsweredRound(reply.ReadToken);
                break;
            case SnapshotReply reply:
                if (peer.Transfer is { } transfer && transfer.Snapshot.Index == reply.SnapshotIndex && !reply.Installed)
                    transfer.Wants(reply.NextOffset);
                else if (reply.Installed && reply.SnapshotIndex <= Core.SnapshotIndex)
                    Accepted(peer, reply.SnapshotIndex);
                break;
            case ReadIndexRequest request:
                Read(request);
                break;
            case AppendRequest or Heartbeat or SnapshotChunk or TimeoutNow:
                Invariant.Holds(false, $"{message.From} and {Core.Self} both lead term {Core.Term}");
                break;
            case VoteReply or ReadIndexReply:
                // Late: the election is won; and a leader asks itself.
                break;
        }
    }

    private void Accepted(PeerProgress peer, LogIndex index)
    {
        if (peer.Accepted(index))
            _countAgain = true;
        _peers.MaybeLeaveSnapshot(peer);
    }

    private void Read(ReadIndexRequest request)
    {
        // The clock was read after the request arrived: whatever was acknowledged before it was made is committed here, if the lease held
        // then.
        if (request.ByLease && Core.Time < LeaseEnd)
            Send(ReplyTo(request.From, request.Token, Core.Commit, refused: false, byLease: true));
        else if (HasCommittedInTerm)
            Core.Reads.Ask(request.From, request.Token, Core.Commit);
        else
            RefuseRead(request);
    }

    private void Count()
    {
        _countAgain = false;
        var reached = new LogIndex(_peers.QuorumMatch());
        // An older term's entry on a majority can still be overwritten (Raft 5.4.2, figure 8): count only our own.
        if (reached > Core.Commit && Core.Log.TermAt(reached) == Core.Term)
            Core.CommitTo(reached);
    }

    private void ConfirmReads()
    {
        ulong confirmed = (ulong)_peers.QuorumRound();
        while (Core.Reads.TryTake(confirmed, out var read))
            Answer(read, refused: false);
    }

    private void Answer(ReadRounds.Waiting read, bool refused)
    {
        LogIndex index = refused ? LogIndex.Zero : read.Index;
        if (read.From == Core.Self)
        {
            Core.Effects.Reads.Add(new ReadGrant(read.Token, index, refused));
            return;
        }
        Send(ReplyTo(read.From, read.Token, index, refused, byLease: false));
    }

    private ReadIndexReply ReplyTo(MemberId to, ulong token, LogIndex index, bool refused, bool byLease) => new()
    {
        From = Core.Self, To = to, Term = Core.Term, Token = token, Refused = refused, Index = index, ByLease = byLease,
    };

    /// <summary>Its removal is committed: nobody needs it any more (Raft 6). The best successor may start at once.</summary>
    private void Retire()
    {
        var successor = _peers.BestSuccessor();
        if (!successor.IsNone)
            Send(new TimeoutNow { From = Core.Self, To = successor, Term = Core.Term });
        Core.BecomeFollower(Core.Term, MemberId.None);
    }

    private void Send(Message message) => Core.Effects.Messages.Add(message);
}
