namespace RaftKit.Consensus;

/// <summary>A leader's peers: what each has, what each gets next, and what a quorum of them adds up to.</summary>
internal sealed class Replicator(RaftCore core)
{
    private readonly PeerProgress?[] _byId = new PeerProgress?[256];
    private PeerProgress[] _peers = [];

    public PeerProgress? Find(MemberId id) => id.Value is > 0 and < 256 ? _byId[id.Value] : null;

    /// <summary>Feeds those whom the membership names, from now on; those whom it drops, until they know.</summary>
    public void Follow(Membership membership, LogIndex at)
    {
        foreach (var id in membership.All)
        {
            var who = membership.IncarnationOf(id)!.Value;
            if (id == core.Self)
                continue;
            // Another life of the member starts from nothing: what the former one acknowledged, this one may have lost.
            if (_byId[id.Value] is not { } known || known.Who != who)
                _byId[id.Value] = new PeerProgress(who, core.Log.Last.Next, core.Options);
            (_byId[id.Value]!.RemovedAt, _byId[id.Value]!.TicksSinceRemoval) = (null, 0);
        }
        foreach (var peer in _peers)
        {
            if (membership.IncarnationOf(peer.Id) is null)
                peer.RemovedAt ??= at;
        }
        Collect();
    }

    public void Tick()
    {
        bool anyGone = false;
        foreach (var peer in _peers)
        {
            peer.SilentTicks++;
            peer.Transfer?.Tick();
            if (peer.Transfer is { IsWaiting: true } transfer && transfer.TicksWaited >= core.Options.ElectionTicks && IsHeard(peer))
                transfer.SendAgain();
            if (peer.RemovedAt is { } removed && core.Commit >= removed && ++peer.TicksSinceRemoval >= core.Options.ElectionTicks)
            {
                _byId[peer.Id.Value] = null;
                anyGone = true;
            }
        }
        if (anyGone)
            Collect();
    }

    public void Feed(bool beatDue, ulong round)
    {
        bool anyKnows = false;
        foreach (var peer in _peers)
        {
            bool appended = Append(peer);
            // A follower completes its own callers when it applies: tell it of a commit at once, if no append does.
            bool tellCommit = !appended && peer.State == ReplicationState.Replicate
                && LogIndex.Min(core.Commit, peer.Match) > peer.ToldCommit;
            if (beatDue || round != 0 || tellCommit)
            {
                Beat(peer, round);
                if (beatDue)
                    peer.AwaitedBeat = round;
            }
            anyKnows |= peer.RemovedAt is { } removed && peer.ToldCommit >= removed && peer.Match >= removed;
        }
        if (anyKnows)
            LetGoOfThoseThatKnow();
    }

    public void Refused(PeerProgress peer, AppendReply reply)
    {
        if (peer.State == ReplicationState.Snapshot)
        {
            // The answer to a question whether it installed (see Append): it lost what it had received.
            if (reply.Index == peer.Transfer!.Snapshot.Index)
                peer.Transfer.StartOver();
            return;
        }
        // Behind this log's start nothing can be compared: it takes a snapshot.
        peer.Refused(reply.Index, reply.HintIndex < core.Log.Base ? reply.HintIndex : core.Log.LastAtMost(reply.HintIndex, reply.HintTerm));
    }

    /// <summary>
    /// The peer installed what it was sent, or caught up in another way: appends again, if the log still reaches that far.
    /// </summary>
    public void MaybeLeaveSnapshot(PeerProgress peer)
    {
        if (peer.State == ReplicationState.Snapshot && peer.Match >= core.Log.Base)
            peer.BecomeReplicate();
    }

    /// <summary>Somebody who is there waits for a snapshot, or for the rest of it.</summary>
    public bool SendsSnapshots()
    {
        foreach (var peer in _peers)
        {
            if (peer.State == ReplicationState.Snapshot && IsHeard(peer))
                return true;
        }
        return false;
    }

    /// <summary>A newer snapshot replaced the one that was being sent, whose file may go any time.</summary>
    public void RestartTransfers(SnapshotMark snapshot)
    {
        foreach (var peer in _peers)
        {
            if (peer.State == ReplicationState.Snapshot)
                peer.BecomeSnapshot(snapshot);
        }
    }

    public long QuorumMatch() => Quorum.Reached(core.Membership, new Matches(this, core));

    public long QuorumRound() => Quorum.Reached(core.Membership, new Rounds(this, core));

    /// <summary>Since when a quorum lets nobody else lead; 0 if it never promised.</summary>
    public long QuorumPromised() => Quorum.Reached(core.Membership, new Promises(this, core));

    public bool Hears(MemberId member) => Find(member) is { } peer && IsHeard(peer);

    public bool QuorumIsHeard() => Quorum.Reached(core.Membership, new Heard(this, core)) == 1;

    /// <summary>The voter that is most caught up among those that were heard; nobody if there is none.</summary>
    public MemberId BestSuccessor()
    {
        PeerProgress? best = null;
        foreach (var peer in _peers)
        {
            if (core.Membership.IsVoter(peer.Id) && IsHeard(peer) && (best is null || peer.Match > best.Match))
                best = peer;
        }
        return best?.Id ?? MemberId.None;
    }

    private bool Append(PeerProgress peer)
    {
        bool any = false;
        while (peer.MayAppend && (peer.State == ReplicationState.Probe || peer.Next <= core.Log.Last))
        {
            if (peer.Next.Previous < core.Log.Base)
                break;
            if (core.Log.Slice(peer.Next, core.Options.MaxAppendBytes, core.Applied) is not { } entries)
            {
                core.GiveUpRotten(peer.Next);
                break;
            }
            SendAppend(peer, peer.Next.Previous, entries);
            any = true;
        }
        if (peer.State != ReplicationState.Snapshot && peer.Next.Previous < core.Log.Base)
        {
            // Where the snapshot does not cover what the log lacks, a newer one is on its way.
            if (!core.NeedsSnapshot && (peer.MayAppend || peer.InDoubt))
                peer.BecomeSnapshot(core.Snapshot!);
        }
        else if (peer.InDoubt && !any)
        {
            // Empty, after everything in flight: refused if something before it was lost.
            SendAppend(peer, peer.Next.Previous, []);
        }
        if (peer.Transfer is { IsWaiting: false } transfer && (transfer.HasBegun || TransfersUnderWay() < core.Options.MaxSnapshotTransfers))
            SendSnapshot(peer, transfer);
        return any;
    }

    private int TransfersUnderWay()
    {
        int count = 0;
        foreach (var peer in _peers)
        {
            if (peer.Transfer?.IsUnderWay(core.Options) == true && IsHeard(peer))
                count++;
        }
        return count;
    }

    private void SendAppend(PeerProgress peer, LogIndex previous, IReadOnlyList<Entry> entries)
    {
        LogIndex last = previous + entries.Count;
        long bytes = 0;
        for (int i = 0; i < entries.Count; i++)
            bytes += entries[i].Weight;
        core.Effects.Messages.Add(new AppendRequest
        {
            From = core.Self, To = peer.Id, Term = core.Term,
            PreviousIndex = previous, PreviousTerm = core.Log.TermAt(previous)!.Value, Commit = core.Commit, Entries = entries,
        });
        peer.ToldCommit = LogIndex.Max(peer.ToldCommit, LogIndex.Min(core.Commit, last));
        peer.Sent(last, bytes);
    }

    private void SendSnapshot(PeerProgress peer, SnapshotTransfer transfer)
    {
        var snapshot = transfer.Snapshot;
        if (transfer.IsComplete)
        {
            // It has every byte, yet its word that it installed them did not come. An append after the snapshot tells: accepted, or
            // refused.
            core.Effects.Messages.Add(new AppendRequest
            {
                From = core.Self, To = peer.Id, Term = core.Term,
                PreviousIndex = snapshot.Index, PreviousTerm = snapshot.Term, Commit = core.Commit, Entries = [],
            });
        }
        else
        {
            core.Effects.SnapshotSends.Add(
                new SnapshotSend(peer.Id, core.Term, snapshot, transfer.Offset, core.Options.SnapshotChunkBytes));
        }
        transfer.Sent();
    }

    private void Beat(PeerProgress peer, ulong round)
    {
        // Never above what is known to match there: the rest of its log may conflict (Raft 5.3).
        LogIndex commit = LogIndex.Min(core.Commit, peer.Match);
        peer.ToldCommit = LogIndex.Max(peer.ToldCommit, commit);
        core.Effects.Messages.Add(new Heartbeat
        {
            From = core.Self, To = peer.Id, Term = core.Term, Commit = commit, ReadToken = round,
            Promise = round == 0 ? TimeSpan.Zero : core.Options.VoterPromise,
        });
    }

    private bool IsHeard(PeerProgress peer) => peer.SilentTicks < core.Options.ElectionTicks;

    private void LetGoOfThoseThatKnow()
    {
        foreach (var peer in _peers)
        {
            if (peer.RemovedAt is { } removed && peer.ToldCommit >= removed && peer.Match >= removed)
                _byId[peer.Id.Value] = null;
        }
        Collect();
    }

    private void Collect() => _peers = [.. _byId.OfType<PeerProgress>()];

    private readonly struct Matches(Replicator peers, RaftCore core) : IMemberValues
    {
        public long Of(MemberId member) => member == core.Self ? core.Durable.Value : peers.Find(member)?.Match.Value ?? 0;
    }

    private readonly struct Rounds(Replicator peers, RaftCore core) : IMemberValues
    {
        public long Of(MemberId member) => member == core.Self ? long.MaxValue : (long)(peers.Find(member)?.ConfirmedRound ?? 0);
    }

    private readonly struct Promises(Replicator peers, RaftCore core) : IMemberValues
    {
        public long Of(MemberId member) => member == core.Self ? long.MaxValue : peers.Find(member)?.PromisedSince ?? 0;
    }

    private readonly struct Heard(Replicator peers, RaftCore core) : IMemberValues
    {
        public long Of(MemberId member) => member == core.Self || (peers.Find(member) is { } peer && peers.IsHeard(peer)) ? 1 : 0;
    }
}
