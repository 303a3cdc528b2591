namespace RaftKit.Consensus;

/// <summary>
/// Asks whether it would win before it disturbs anybody (thesis 9.6), and goes on asking while no leader is heard: asking changes no
/// term, no vote and no timer, so it may be done often.
/// </summary>
internal sealed class PreCandidateRole(RaftCore core) : Role(core)
{
    private VoteTally _votes = new();
    private int _tallyTicks;

    public override RaftRole Kind => RaftRole.PreCandidate;

    public void Ask()
    {
        // Answers may take longer than it takes to ask again, so grants add up; but only for an election timeout, since they age.
        if (_tallyTicks >= Core.Options.ElectionTicks)
            (_votes, _tallyTicks) = (new VoteTally(), 0);
        Core.Clock.AskAgainSoon();
        // Its own vote is promised as well.
        if (Core.Promise.Holds)
            return;
        _votes.Grant(Core.Self);
        if (_votes.IsWon(Core.Membership))
            Core.BecomeCandidate(transfer: false);
        else
            Core.AskForVotes(Core.Term.Next, preVote: true, transfer: false, Core.Effects.Messages);
    }

    public override void Step(Message message)
    {
        switch (message)
        {
            case VoteReply { PreVote: true } reply:
                Count(reply);
                break;
            case AppendRequest or Heartbeat or SnapshotChunk or TimeoutNow:
                FollowSender(message);
                break;
            case ReadIndexRequest request:
                RefuseRead(request);
                break;
            case AppendReply or HeartbeatReply or SnapshotReply or VoteReply or ReadIndexReply:
                // Answers to a role that this member gave up.
                break;
        }
    }

    public override void Tick()
    {
        Core.Clock.Tick();
        _tallyTicks++;
        if (!Core.Clock.IsDue)
            return;
        if (Core.MayCampaign)
            Ask();
        else
            Core.BecomeFollower(Core.Term, MemberId.None);
    }

    public override void PeerDied(MemberId member)
    {
        if (member != Core.LastLeader)
            return;
        Core.LeaderDied(member);
        if (Core.Clock.IsDue)
            Ask();
    }

    private void Count(VoteReply reply)
    {
        // A grant names the term that was asked for; one for another term answers an older round.
        if (!reply.Granted || reply.Term != Core.Term.Next)
            return;
        _votes.Grant(reply.From);
        if (_votes.IsWon(Core.Membership))
            Core.BecomeCandidate(transfer: false);
    }
}

/// <summary>Asks for votes in a new term (Raft 5.2).</summary>
internal sealed class CandidateRole(RaftCore core) : Role(core)
{
    private readonly VoteTally _votes = WithoutTheDead(core);

    public override RaftRole Kind => RaftRole.Candidate;

    public override void Step(Message message)
    {
        switch (message)
        {
            case VoteReply { PreVote: false } reply:
                Count(reply);
                break;
            case AppendRequest or Heartbeat or SnapshotChunk:
                FollowSender(message);
                break;
            case ReadIndexRequest request:
                RefuseRead(request);
                break;
            case AppendReply or HeartbeatReply or SnapshotReply or VoteReply or ReadIndexReply or TimeoutNow:
                // Answers to a role that this member gave up; and it campaigns already.
                break;
        }
    }

    /// <summary>Its own vote counts like any other: once it cannot be forgotten.</summary>
    public override void Persisted()
    {
        if (Core.Ledger.Term != Core.Term || Core.Ledger.Vote != Core.Self)
            return;
        _votes.Grant(Core.Self);
        Decide();
    }

    public override void Tick()
    {
        Core.Clock.Tick();
        if (!Core.Clock.IsDue)
            return;
        if (Core.MayCampaign)
            Core.BecomePreCandidate();
        else
            Core.BecomeFollower(Core.Term, MemberId.None);
    }

    // A leader that died by evidence votes for nobody. If it counted as merely silent, two of three that split the vote would wait a whole
    // election timeout.
    private static VoteTally WithoutTheDead(RaftCore core)
    {
        var votes = new VoteTally();
        if (core.Clock.HasEvidence)
            votes.Refuse(core.LastLeader);
        return votes;
    }

    private void Count(VoteReply reply)
    {
        // A refusal may carry an older term, of a voter that stays loyal to its leader. A grant of an older term is of an older election.
        if (!reply.Granted)
            _votes.Refuse(reply.From);
        else if (reply.Term == Core.Term)
            _votes.Grant(reply.From);
        Decide();
    }

    private void Decide()
    {
        if (_votes.IsWon(Core.Membership))
        {
            Core.BecomeLeader();
        }
        else if (_votes.IsLost(Core.Membership))
        {
            Core.BecomeFollower(Core.Term, MemberId.None);
            Core.Clock.CampaignAgainAfterLoss();
        }
    }
}
