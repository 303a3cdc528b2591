namespace RaftKit.Consensus;

/// <summary>Takes what the leader sends, and notices when it is silent. Learners and removed members stay in this role.</summary>
internal sealed class FollowerRole(RaftCore core) : Role(core)
{
    // The answer to this turn's accepted appends: the newest speaks for all.
    private (MemberId Leader, LogIndex Index)? _accepted;

    public override RaftRole Kind => RaftRole.Follower;

    public override void Step(Message message)
    {
        switch (message)
        {
            case AppendRequest append:
                HearLeader(append.From);
                Append(append);
                break;
            case Heartbeat heartbeat:
                HearLeader(heartbeat.From);
                Answer(heartbeat);
                break;
            case SnapshotChunk chunk:
                HearLeader(chunk.From);
                Core.Snapshots.Receive(chunk);
                break;
            case TimeoutNow timeout:
                HearLeader(timeout.From);
                // Thesis 3.10: no pre-vote, the leader itself asks for this.
                if (Core.MayCampaign)
                    Core.BecomeCandidate(transfer: true);
                break;
            case ReadIndexReply reply when reply.From == Core.Leader:
                Core.RemoteReads.Answer(reply);
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
        Core.RemoteReads.Tick();
        if (!Core.Clock.IsDue)
            return;
        // A member that does not vote only notices; whoever votes asks around first (thesis 9.6).
        if (Core.MayCampaign)
        {
            Core.BecomePreCandidate();
            return;
        }
        Core.SetLeader(MemberId.None);
        Core.Clock.Restart();
    }

    public override void ReadIndex(ulong token, bool byLease) => AskLeader(token, byLease);

    public override void PeerUnreachable(MemberId member)
    {
        if (member == Core.Leader)
            Core.RemoteReads.RefuseAll();
    }

    public override void PeerDied(MemberId member)
    {
        if (member != Core.Leader)
            return;
        Core.SetLeader(MemberId.None);
        Core.LeaderDied(member);
        if (Core.Clock.IsDue && Core.MayCampaign)
            Core.BecomePreCandidate();
    }

    public override void EndTurn()
    {
        Core.RemoteReads.EndTurn();
        if (_accepted is not { } accepted)
            return;
        _accepted = null;
        // Promises that the entries are on disk here: the leader counts it (Raft 5.3).
        Core.Effects.MessagesOncePersisted.Add(new AppendReply
        {
            From = Core.Self, To = accepted.Leader, Term = Core.Term, Accepted = true, Index = accepted.Index,
        });
    }

    private void HearLeader(MemberId from)
    {
        Invariant.Holds(Core.Leader.IsNone || Core.Leader == from, $"{Core.Leader} and {from} both lead term {Core.Term}");
        Core.SetLeader(from);
        Core.Clock.LeaderSpoke();
    }

    private void Answer(Heartbeat heartbeat)
    {
        // The leader never names more than this member acknowledged. Less in the log means that the disk was lost: then nothing commits
        // here.
        if (heartbeat.Commit <= Core.Log.Last)
            Core.CommitTo(heartbeat.Commit);
        // Without a round it is only a notice of commits: no answer is wanted.
        if (heartbeat.ReadToken != 0)
        {
            Core.Effects.Messages.Add(new HeartbeatReply
            {
                From = Core.Self, To = heartbeat.From, Term = Core.Term, ReadToken = heartbeat.ReadToken,
                Promised = Core.Promise.Give(heartbeat.Promise),
            });
        }
    }

    private void Append(AppendRequest append)
    {
        if (Core.Snapshots.IsInstalling || !append.IsWellFormed)
            return;
        LogIndex lastSent = append.PreviousIndex + append.Entries.Count;
        if (lastSent <= Core.Commit)
        {
            // Old news. What is committed here matches every later leader's log (Raft 5.4.3).
            Accept(append.From, Core.Commit);
            return;
        }
        if (append.PreviousIndex >= Core.Commit && !Core.Log.Holds(append.PreviousIndex, append.PreviousTerm))
        {
            Refuse(append);
            return;
        }
        TakeEntries(append);
        Accept(append.From, lastSent);
        // Never past what this message matched: the rest of this log may still conflict (Raft 5.3).
        Core.CommitTo(LogIndex.Min(append.Commit, lastSent));
    }

    private void TakeEntries(AppendRequest append)
    {
        bool isPastEnd = false;
        for (int i = 0; i < append.Entries.Count; i++)
        {
            var entry = append.Entries[i];
            if (!isPastEnd)
            {
                // Only a real conflict cuts: the message may be an old one, and what follows acknowledged since (Raft 5.3).
                if (entry.Index <= Core.Log.Base || Core.Log.Holds(entry.Index, entry.Term))
                    continue;
                if (entry.Index <= Core.Log.Last)
                {
                    Core.CutFrom(entry.Index);
                    _accepted = null;
                }
                isPastEnd = true;
            }
            Core.AppendToLog(entry);
        }
    }

    private void Accept(MemberId leader, LogIndex index) =>
        _accepted = (leader, _accepted is { } earlier ? LogIndex.Max(earlier.Index, index) : index);

    private void Refuse(AppendRequest append)
    {
        // The last place where the logs may agree: everything later here is of a term that the leader's log does not have there.
        LogIndex hint = Core.Log.LastAtMost(LogIndex.Min(append.PreviousIndex, Core.Log.Last), append.PreviousTerm);
        Core.Effects.Messages.Add(new AppendReply
        {
            From = Core.Self, To = append.From, Term = Core.Term, Accepted = false, Index = append.PreviousIndex,
            HintIndex = hint, HintTerm = Core.Log.TermAt(hint) ?? Term.Zero, HasRot = Core.RottenEnd is not null,
        });
    }
}
