namespace RaftKit.Consensus;

/// <summary>How a leader feeds one peer.</summary>
internal enum ReplicationState
{
    /// <summary>Where the logs part is not known: one append at a time.</summary>
    Probe,

    /// <summary>Appends are pipelined, ahead of their answers.</summary>
    Replicate,

    /// <summary>What the peer needs is compacted away: it gets a snapshot, chunk by chunk.</summary>
    Snapshot,
}

/// <summary>What a leader knows of one peer, in its own term: decides what may be sent to it next.</summary>
internal sealed class PeerProgress(MemberIncarnation who, LogIndex next, RaftCoreOptions options)
{
    public MemberId Id => Who.Id;

    public MemberIncarnation Who { get; } = who;

    public ReplicationState State { get; private set; }

    /// <summary>The last index known to match this leader's log, durably.</summary>
    public LogIndex Match { get; private set; }

    /// <summary>The next index to send.</summary>
    public LogIndex Next { get; private set; } = next;

    /// <summary>Appends that were not answered yet.</summary>
    public InflightWindow Window { get; } = new(options.MaxInflightMessages, options.MaxInflightBytes);

    /// <summary>Up to where the peer was told that entries are committed.</summary>
    public LogIndex ToldCommit { get; set; }

    /// <summary>Ticks since it was last heard.</summary>
    public int SilentTicks { get; set; }

    /// <summary>The newest heartbeat round that it answered.</summary>
    public ulong ConfirmedRound { get; set; }

    /// <summary>
    /// When the newest round began, on the owner's clock in ticks, upon which it promised to let nobody else lead; 0 if it never did.
    /// </summary>
    public long PromisedSince { get; set; }

    /// <summary>The round of the newest regular heartbeat; 0 once it is answered.</summary>
    public ulong AwaitedBeat { get; set; }

    /// <summary>An unanswered probe is out: wait for its answer or for the next heartbeat's.</summary>
    public bool ProbeSent { get; private set; }

    /// <summary>Something in flight may have been lost: ask, with an empty append, whether it arrived.</summary>
    public bool InDoubt { get; set; }

    /// <summary>The entry that removed it from the membership; null while it belongs. It is fed until it knows.</summary>
    public LogIndex? RemovedAt { get; set; }

    public int TicksSinceRemoval { get; set; }

    /// <summary>The snapshot being sent, when in that state.</summary>
    public SnapshotTransfer? Transfer { get; private set; }

    private LogIndex _matchAtLastBeat;

    /// <summary>The peer's disk holds everything up to the index, as this leader's log has it.</summary>
    /// <returns>Whether that is news.</returns>
    public bool Accepted(LogIndex index)
    {
        bool isNews = index > Match;
        Match = LogIndex.Max(Match, index);
        Next = LogIndex.Max(Next, Match.Next);
        Window.FreeUpTo(index);
        if (State == ReplicationState.Probe)
        {
            State = ReplicationState.Replicate;
            Next = Match.Next;
            ProbeSent = false;
        }
        return isNews;
    }

    /// <summary>The peer's log does not hold the entry before those sent.</summary>
    /// <param name="previous">That entry.</param>
    /// <param name="agreesAt">Where the logs may still agree, by the peer's hint and this leader's log.</param>
    public void Refused(LogIndex previous, LogIndex agreesAt)
    {
        // In a pipeline, answers to what was sent before a refusal was noticed keep coming: only one about what is still open says
        // anything.
        bool stale = State switch
        {
            ReplicationState.Probe => previous != Next.Previous,
            ReplicationState.Replicate => previous <= Match,
            _ => true,
        };
        if (stale)
            return;
        BecomeProbe();
        Next = LogIndex.Max(Match.Next, LogIndex.Min(previous, agreesAt.Next));
    }

    /// <summary>
    /// What the peer acknowledged from there on rotted: it is sent again. It still votes as one that has it, so whatever was committed
    /// because of that stays.
    /// </summary>
    public void LostFrom(LogIndex from)
    {
        if (from > Match)
            return;
        Match = from.Previous;
        if (State != ReplicationState.Snapshot)
            BecomeProbe();
    }

    public void BecomeProbe()
    {
        State = ReplicationState.Probe;
        Next = Match.Next;
        Transfer = null;
        Forget();
    }

    public void BecomeReplicate()
    {
        State = ReplicationState.Replicate;
        Next = Match.Next;
        Transfer = null;
        Forget();
    }

    public void BecomeSnapshot(SnapshotMark snapshot)
    {
        State = ReplicationState.Snapshot;
        Transfer = new SnapshotTransfer(snapshot);
        Forget();
    }

    /// <summary>The link broke or came back: whatever was in flight is gone.</summary>
    public void Unreachable()
    {
        switch (State)
        {
            case ReplicationState.Replicate: BecomeProbe(); break;
            case ReplicationState.Probe: ProbeSent = false; break;
            case ReplicationState.Snapshot: Transfer!.SendAgain(); break;
        }
    }

    /// <summary>Whether an append may go now.</summary>
    public bool MayAppend => State switch
    {
        ReplicationState.Probe => !ProbeSent,
        ReplicationState.Replicate => !Window.IsFull,
        _ => false,
    };

    /// <summary>An append went out: entries up to <paramref name="last"/>.</summary>
    public void Sent(LogIndex last, long bytes)
    {
        InDoubt = false;
        if (State == ReplicationState.Probe)
        {
            ProbeSent = true;
            return;
        }
        if (last < Next)
            return;
        Next = last.Next;
        Window.Add(last, bytes);
    }

    /// <summary>
    /// It answered a round. If that was a regular heartbeat's (read rounds may come by the thousand), an append that brought no
    /// progress since the heartbeat before may be lost.
    /// </summary>
    public void AnsweredRound(ulong round)
    {
        if (AwaitedBeat == 0 || round < AwaitedBeat)
            return;
        AwaitedBeat = 0;
        ProbeSent = false;
        InDoubt = State == ReplicationState.Replicate && !Window.IsEmpty && Match == _matchAtLastBeat;
        _matchAtLastBeat = Match;
    }

    private void Forget()
    {
        Window.Clear();
        ProbeSent = false;
        InDoubt = false;
    }
}

/// <summary>The appends to one peer that were not answered, bounded in number and bytes.</summary>
internal sealed class InflightWindow(int maxMessages, long maxBytes)
{
    private readonly Queue<(LogIndex Last, long Bytes)> _sent = new();
    private long _bytes;

    public bool IsEmpty => _sent.Count == 0;

    public bool IsFull => _sent.Count >= maxMessages || _bytes >= maxBytes;

    public void Add(LogIndex last, long bytes)
    {
        _sent.Enqueue((last, bytes));
        _bytes += bytes;
    }

    public void FreeUpTo(LogIndex index)
    {
        while (_sent.TryPeek(out var oldest) && oldest.Last <= index)
        {
            _bytes -= oldest.Bytes;
            _sent.Dequeue();
        }
    }

    public void Clear()
    {
        _sent.Clear();
        _bytes = 0;
    }
}

/// <summary>How far one snapshot has gone to one peer. One chunk is out at a time; the receiver says where to go on.</summary>
internal sealed class SnapshotTransfer(SnapshotMark snapshot)
{
    public SnapshotMark Snapshot { get; } = snapshot;

    public long Offset { get; private set; }

    /// <summary>A chunk is out, or the peer is installing.</summary>
    public bool IsWaiting { get; private set; }

    public int TicksWaited { get; private set; }

    /// <summary>The peer has every byte; only its word that it installed them is missing.</summary>
    public bool IsComplete => Offset >= Snapshot.Length && _answered;

    /// <summary>Ticks since the receiver last got any further.</summary>
    public int TicksIdle { get; private set; }

    /// <summary>Something of it was sent.</summary>
    public bool HasBegun { get; private set; }

    private bool _answered;

    /// <summary>Chunks of it come and go, which counts against how many transfers may at a time.</summary>
    public bool IsUnderWay(RaftCoreOptions options) => HasBegun && !IsComplete && TicksIdle < 4 * options.ElectionTicks;

    public void Tick()
    {
        TicksWaited++;
        TicksIdle++;
    }

    public void Sent()
    {
        if (!HasBegun)
            (HasBegun, TicksIdle) = (true, 0);
        (IsWaiting, TicksWaited) = (true, 0);
    }

    public void SendAgain() => IsWaiting = false;

    /// <summary>The receiver wants the offset next.</summary>
    public void Wants(long offset)
    {
        // The offset that is out already: a duplicate. Sending again for each would multiply the chunks; the timeout mends a true loss.
        if (offset < 0 || offset > Snapshot.Length || (IsWaiting && offset == Offset && !IsComplete))
            return;
        if (offset > Offset)
            TicksIdle = 0;
        Offset = offset;
        _answered = true;
        IsWaiting = IsComplete;
        TicksWaited = 0;
    }

    public void StartOver() => (Offset, _answered, IsWaiting) = (0, false, false);
}
