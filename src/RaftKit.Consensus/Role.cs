namespace RaftKit.Consensus;

/// <summary>
/// What a member does in one of Raft's roles. The core has handled terms and vote requests before <see cref="Step"/> is called: the
/// message is of the current term, or a reply to a pre-vote.
/// </summary>
internal abstract class Role(RaftCore core)
{
    protected RaftCore Core => core;

    public abstract RaftRole Kind { get; }

    public abstract void Tick();

    public abstract void Step(Message message);

    /// <summary>More of what this member wrote became durable.</summary>
    public virtual void Persisted()
    {
    }

    /// <summary>All inputs of the turn are in.</summary>
    public virtual void EndTurn()
    {
    }

    /// <summary>The role is given up.</summary>
    public virtual void Leave()
    {
    }

    public virtual void ReadIndex(ulong token, bool byLease) => core.Effects.Reads.Add(new ReadGrant(token, LogIndex.Zero, Refused: true));

    /// <summary>The link to the member broke or came back.</summary>
    public virtual void PeerUnreachable(MemberId member)
    {
    }

    /// <summary>There is a link to the member now.</summary>
    public virtual void PeerReachable(MemberId member)
    {
    }

    /// <summary>There is evidence that the member's process died.</summary>
    public virtual void PeerDied(MemberId member) => PeerUnreachable(member);

    /// <summary>A message that only a leader sends, of this term: it won, so this member follows it (Raft 5.2).</summary>
    protected void FollowSender(Message message)
    {
        core.BecomeFollower(core.Term, message.From);
        core.Dispatch(message);
    }

    /// <summary>Only the leader can say; while none is known, nobody can.</summary>
    protected void AskLeader(ulong token, bool byLease)
    {
        if (core.Leader.IsNone)
            core.Effects.Reads.Add(new ReadGrant(token, LogIndex.Zero, Refused: true));
        else
            core.RemoteReads.Ask(token, byLease);
    }

    protected void RefuseRead(ReadIndexRequest request) => core.Effects.Messages.Add(new ReadIndexReply
    {
        From = core.Self, To = request.From, Term = core.Term, Token = request.Token, Refused = true,
    });
}
