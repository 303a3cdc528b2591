namespace RaftKit.Consensus;

/// <summary>What the roles share: how terms, votes, leaders and commits change, and who becomes what.</summary>
internal sealed partial class RaftCore
{
    private bool _mustPersist;

    internal RaftCoreOptions Options { get; }

    internal LogView Log { get; }

    internal PersistLedger Ledger { get; }

    internal ElectionClock Clock { get; }

    /// <summary>The owner's clock, as of this turn.</summary>
    internal TimeSpan Time { get; private set; }

    internal VoterPromise Promise { get; }

    internal ReadRounds Reads { get; } = new();

    internal RemoteReads RemoteReads { get; }

    internal SnapshotReceiver Snapshots { get; }

    internal ObserverFeed Observers { get; }

    /// <summary>Who led last, as far as known, this member's evidence of its death notwithstanding.</summary>
    internal MemberId LastLeader { get; private set; }

    internal void Dispatch(Message message) => _role.Step(message);

    internal void BecomeFollower(Term term, MemberId leader)
    {
        bool wasFollower = _role is FollowerRole;
        bool wasAsking = _role is PreCandidateRole;
        if (term > Term)
            SetTerm(term);
        Enter(new FollowerRole(this));
        SetLeader(leader);
        // A follower's timer runs on through a mere change of term: whoever refuses a vote, having the better log, should campaign soon.
        if (wasAsking && leader.IsNone)
            Clock.AskAgainSoon();
        else if (!wasFollower)
            Clock.Restart();
    }

    /// <summary>An observer heard of a newer term. It gives no vote in it.</summary>
    internal void TakeTerm(Term term) => SetTerm(term);

    internal void BecomePreCandidate()
    {
        SetLeader(MemberId.None);
        Clock.ForgetLeader();
        var role = new PreCandidateRole(this);
        Enter(role);
        role.Ask();
    }

    internal void BecomeCandidate(bool transfer)
    {
        Invariant.Holds(MayCampaign, $"member {Self} campaigns, but {Membership} gives it no vote");
        SetTerm(Term.Next);
        SetVote(Self);
        SetLeader(MemberId.None);
        Clock.ForgetLeader();
        Clock.Restart();
        Enter(new CandidateRole(this));
        // A request reveals the term and the vote for oneself: neither may be forgotten once somebody answered.
        AskForVotes(Term, preVote: false, transfer, Effects.MessagesOncePersisted);
    }

    internal void BecomeLeader()
    {
        Invariant.Holds(_role is CandidateRole, $"member {Self} leads term {Term} without an election");
        Invariant.Holds(
            Ledger.Term == Term && Ledger.Vote == Self,
            $"elected in term {Term}, but the disk holds term {Ledger.Term}, vote {Ledger.Vote}");
        var role = new LeaderRole(this);
        Enter(role);
        SetLeader(Self);
        Clock.Elected();
        role.Enter();
    }

    /// <summary>The leader's process died: the survivors' campaigns are spread by their order.</summary>
    internal void LeaderDied(MemberId leader)
    {
        var survivors = Membership.All.Where(m => m != leader && Membership.IsVoter(m)).ToList();
        Clock.LeaderDied(Math.Max(0, survivors.IndexOf(Self)), survivors.Count);
    }

    internal void SetLeader(MemberId leader)
    {
        if (!leader.IsNone)
            LastLeader = leader;
        if (leader == Leader)
            return;
        RemoteReads.RefuseAll();
        Leader = leader;
        Effects.StatusChanged = true;
    }

    internal void AskForVotes(Term term, bool preVote, bool transfer, List<Message> outbox)
    {
        foreach (var member in Membership.All)
        {
            if (member == Self || !Membership.IsVoter(member))
                continue;
            outbox.Add(new VoteRequest
            {
                From = Self, To = member, Term = term, PreVote = preVote, Transfer = transfer, LastIndex = LastIndex, LastTerm = LastTerm,
            });
        }
    }

    internal void CommitTo(LogIndex index)
    {
        if (index <= Commit)
            return;
        Invariant.Holds(index <= LastIndex, $"commit would move to {index}, past the log's end {LastIndex}");
        Commit = index;
    }

    internal void AppendToLog(in Entry entry)
    {
        Log.Append(entry);
        if (entry.Kind == EntryKind.Membership)
            _memberships.Append(entry);
    }

    internal void CutFrom(LogIndex from)
    {
        Invariant.Holds(_role is not LeaderRole, $"a leader would cut its own log from {from} on (Raft 5.3)");
        Log.CutFrom(from, Commit);
        Ledger.CutFrom(from);
        _memberships.CutFrom(from);
    }

    /// <summary>Whether the log already holds, or is past, what the snapshot holds.</summary>
    internal bool Covers(SnapshotMark snapshot) => snapshot.Index <= Commit || Log.Holds(snapshot.Index, snapshot.Term);

    /// <summary>
    /// Who votes may campaign. So may who is removed by a membership that is not committed: its log may be the only one that is long enough
    /// to win, and only by winning can that removal be committed (thesis 4.2.2). It then counts without itself. A former life's vote is not
    /// its own: who was wiped, and reads the early log again, meets memberships that name what it was. And who cannot read what it
    /// acknowledged may not lead without it.
    /// </summary>
    internal bool MayCampaign => RottenEnd is null
        && (Membership.IsVoter(Life) || (MembershipIndex > Commit && _memberships.Previous?.IsVoter(Life) == true));

    private MemberIncarnation Life => new(Self, Options.Incarnation);

    private void SetTerm(Term term)
    {
        Invariant.Holds(term > Term, $"term would move from {Term} to {term}");
        RemoteReads.RefuseAll();
        Term = term;
        Clock.TermBegan();
        Vote = MemberId.None;
        _mustPersist = true;
        Effects.StatusChanged = true;
    }

    private void SetVote(MemberId member)
    {
        Invariant.Holds(Vote.IsNone || Vote == member, $"vote in term {Term} would change from {Vote} to {member}");
        Vote = member;
        _mustPersist = true;
    }

    private void Enter(Role role)
    {
        _role.Leave();
        if (_role.Kind != role.Kind)
            Effects.StatusChanged = true;
        _role = role;
    }

    /// <summary>
    /// Between a member and an observer nothing is said that changes a term, a vote or a role: an observer's word counts for nothing, and
    /// it has no role to give up.
    /// </summary>
    private void StepOverBorder(Message message)
    {
        if (Self.IsObserver)
        {
            if (!message.From.IsObserver)
                _role.Step(message);
        }
        else if (message is ReadIndexRequest)
        {
            // Whatever term the observer has heard of: the leader answers once a quorum has confirmed it after this came.
            _role.Step(message);
        }
        else
        {
            Observers.Step(message);
        }
    }

    /// <summary>
    /// Whatever role this member believes it has, and whether or not it believes that either of them votes: the candidate counts by
    /// its newest membership, which this member may not have yet (Raft 6).
    /// </summary>
    private void AnswerVoteRequest(VoteRequest request)
    {
        bool isNewer = request.Term > Term;
        if (isNewer && !request.Transfer && IsLoyal)
        {
            // Not even its term is taken over: a member that was cut off must not depose a leader that works (thesis 4.2.3).
            Refuse(request);
            return;
        }
        if (Promise.Holds && !request.Transfer)
        {
            // A leader may be answering reads by the lease that this member is part of. One that hands over has ended its own before.
            Refuse(request);
            return;
        }
        if (request.PreVote)
        {
            // Promises nothing and changes nothing: no term, no vote, no timer (thesis 9.6).
            bool wouldGrant = isNewer || (request.Term == Term && MayVoteFor(request.From));
            if (wouldGrant && Log.IsUpToDate(request.LastIndex, request.LastTerm))
                GrantPreVote(request);
            else
                Refuse(request);
            return;
        }
        if (isNewer)
            BecomeFollower(request.Term, MemberId.None);
        if (request.Term < Term || !MayVoteFor(request.From) || !Log.IsUpToDate(request.LastIndex, request.LastTerm))
        {
            Refuse(request);
            return;
        }
        if (Vote.IsNone)
            SetVote(request.From);
        if (_role is not FollowerRole)
            BecomeFollower(Term, MemberId.None);
        Clock.Restart();
        Reply(request, granted: true, Term, Effects.MessagesOncePersisted);
    }

    private void GrantPreVote(VoteRequest request)
    {
        Reply(request, granted: true, request.Term, Effects.Messages);
        if (!Clock.HasEvidence || _role is not (FollowerRole or PreCandidateRole))
            return;
        // All survivors of a death ask at once, and each would grant the other's wish and then campaign against it. Where the logs are
        // equal the lower id goes on.
        bool isFurther = request.LastTerm > LastTerm || request.LastIndex > LastIndex;
        bool givesWay = _role is FollowerRole || isFurther || request.From.Value < Self.Value;
        if (!givesWay || !Clock.MayGiveWay)
            return;
        if (_role is PreCandidateRole)
            BecomeFollower(Term, MemberId.None);
        Clock.GiveWay();
    }

    private bool IsLoyal => _role is LeaderRole || (!Leader.IsNone && Clock.HeardLeader);

    private bool MayVoteFor(MemberId candidate) => Vote == candidate || (Vote.IsNone && Leader.IsNone);

    // A refusal promises nothing, so it may show a term that the disk does not hold yet: forgetting that term in a crash lets this
    // member hear older leaders again, but never vote twice, since every vote waits for the disk.
    private void Refuse(VoteRequest request) => Reply(request, granted: false, Term, Effects.Messages);

    private void Reply(VoteRequest request, bool granted, Term term, List<Message> outbox) => outbox.Add(new VoteReply
    {
        From = Self, To = request.From, Term = term, PreVote = request.PreVote, Granted = granted,
    });

    /// <summary>
    /// Somebody is behind. An old leader must learn the newer term, or a member whose term ran ahead while it was cut off could
    /// neither follow it (older term) nor depose it (its vote requests are refused): pre-vote and check-quorum alone would leave it stuck.
    /// </summary>
    private void AnswerOlderTerm(Message message)
    {
        switch (message)
        {
            case AppendRequest or Heartbeat or SnapshotChunk:
                Effects.Messages.Add(new AppendReply
                {
                    From = Self, To = message.From, Term = Term, Accepted = false,
                    Index = (message as AppendRequest)?.PreviousIndex ?? LogIndex.Zero,
                });
                break;
            case ReadIndexRequest request:
                Effects.Messages.Add(
                    new ReadIndexReply { From = Self, To = request.From, Term = Term, Token = request.Token, Refused = true });
                break;
            case VoteReply:
                // A voter that stays loyal to its leader keeps its older term; its refusal still counts.
                _role.Step(message);
                break;
        }
    }
}
