namespace RaftKit.Consensus;

/// <summary>
/// Whom this member feeds beside its role: observers that asked it to. They get committed entries and nothing else, so any member may feed
/// them, whatever its role: what is committed here is in the log of every later leader (Raft 5.4.3), is never cut, and is the same wherever
/// an observer goes on with another source. Their answers free the window and count for nothing.
/// </summary>
internal sealed class ObserverFeed(RaftCore core)
{
    // What is far behind is read from the disk in the turn: a hundred observers at once must not hold up a heartbeat. The rest waits for
    // the next turn, a tick away at most.
    private const long MaxBytesPerTurn = 8 << 20;

    private readonly SortedDictionary<MemberId, Fed> _fed = [];
    private Fed[] _all = [];
    private int _first;
    private IReadOnlyList<Entry> _slice = [];

    /// <summary>How many observers this member feeds.</summary>
    public int Count => _fed.Count;

    /// <summary>Some of them wait for a snapshot, or for the rest of it.</summary>
    public bool SendsSnapshots => Array.Exists(_all, static fed => fed.Transfer is not null);

    /// <summary>What an observer said. Its term says nothing: it only repeats what members told it.</summary>
    public void Step(Message message)
    {
        switch (message)
        {
            case ObserveRequest request:
                Asked(request);
                break;
            case AppendReply { Accepted: true } reply when _fed.TryGetValue(reply.From, out var fed):
                fed.Has(reply.Index);
                break;
            case SnapshotReply reply when _fed.TryGetValue(reply.From, out var fed):
                fed.Answered(reply);
                break;
        }
    }

    public void Tick()
    {
        if (_all.Length == 0)
            return;
        foreach (var fed in _all)
        {
            fed.SilentTicks++;
            fed.Transfer?.Tick();
            if (fed.Transfer is { IsWaiting: true } transfer && transfer.TicksWaited >= core.Options.ElectionTicks)
                transfer.SendAgain();
        }
        // It asks with every heartbeat's time, so whoever does not has gone on with another, or ended.
        foreach (var gone in Array.FindAll(_all, f => f.SilentTicks >= 2 * core.Options.ElectionTicks))
            Gone(gone.Id);
    }

    /// <summary>The link broke or came back: it asks again, and says from where.</summary>
    public void Gone(MemberId observer)
    {
        if (_fed.Remove(observer))
            (_all, _first) = ([.. _fed.Values], 0);
    }

    /// <summary>A newer snapshot replaced the one that was being sent, whose file may go any time.</summary>
    public void SnapshotTaken(SnapshotMark snapshot)
    {
        foreach (var fed in _all)
        {
            if (fed.Transfer is not null)
                fed.BeginSnapshot(snapshot);
        }
    }

    public void EndTurn()
    {
        int underWay = 0;
        foreach (var fed in _all)
        {
            if (fed.Transfer?.IsUnderWay(core.Options) == true)
                underWay++;
        }
        foreach (var fed in _all)
        {
            // Who leads now is worth telling at once: the observer's own users wait for that.
            if (fed.AwaitsReply || fed.Told != (core.Term, core.Leader))
                Reply(fed);
            if (fed.Next.Previous < core.Log.Base && fed.Next <= core.Commit && fed.Transfer is null && !core.NeedsSnapshot)
                fed.BeginSnapshot(core.Snapshot!);
            SendSnapshot(fed, ref underWay);
        }
        long left = MaxBytesPerTurn;
        while (FeedEach(ref left))
        {
            // One message each, until nobody may be sent more.
        }
        _slice = [];
    }

    private void Asked(ObserveRequest request)
    {
        if (IsDiverged(request))
        {
            // It holds what was committed once, and is not any more: a new quorum was forced without it.
            Gone(request.From);
            Send(request.From, isProbe: request.IsProbe, diverged: true);
            return;
        }
        if (request.IsProbe)
        {
            Send(request.From, isProbe: true, diverged: false);
            return;
        }
        if (!_fed.TryGetValue(request.From, out var fed))
        {
            _fed[request.From] = fed = new Fed(request.From, request.LastIndex, core.Options);
            (_all, _first) = ([.. _fed.Values], 0);
        }
        fed.Asked(request);
    }

    // Terms never fall along a log: one that goes further than the commit here, and ends in an older term, has another entry there. Not to
    // be waited for until the commit gets as far: meanwhile it would show what was given up, and never see what came of its proposals.
    private bool IsDiverged(ObserveRequest request) => request.LastIndex <= core.Commit
        ? core.Log.TermAt(request.LastIndex) is { } term && term != request.LastTerm
        : core.Log.TermAt(core.Commit) is { } committed && committed > request.LastTerm;

    private void SendSnapshot(Fed fed, ref int underWay)
    {
        if (fed.Transfer is not { IsWaiting: false, IsComplete: false } transfer)
            return;
        // Each holds a chunk in memory and a share of the link: the others wait for their turn, or go on to another source.
        if (!transfer.HasBegun && underWay++ >= core.Options.MaxSnapshotTransfers)
            return;
        core.Effects.SnapshotSends.Add(
            new SnapshotSend(fed.Id, core.Term, transfer.Snapshot, transfer.Offset, core.Options.SnapshotChunkBytes));
        transfer.Sent();
    }

    private bool FeedEach(ref long left)
    {
        bool any = false;
        int first = _first;
        for (int i = 0; i < _all.Length && left > 0; i++)
        {
            int at = (first + i) % _all.Length;
            var fed = _all[at];
            if (fed.Transfer is not null || fed.Window.IsFull || fed.Next > core.Commit || fed.Next.Previous < core.Log.Base)
                continue;
            if (Committed(fed.Next) is not { } entries)
            {
                core.GiveUpRotten(fed.Next);
                continue;
            }
            left -= SendAppend(fed, entries);
            // Whoever had none, because others had all that there is for a turn, is the first in the next.
            _first = (at + 1) % _all.Length;
            any = true;
        }
        return any;
    }

    /// <summary>Those who are as far as each other share what is read.</summary>
    private IReadOnlyList<Entry>? Committed(LogIndex from)
    {
        if (_slice.Count > 0 && _slice[0].Index == from)
            return _slice;
        var entries = new List<Entry>();
        return core.Log.TryRead(from, core.Commit, core.Options.MaxAppendBytes, core.Applied, entries) ? _slice = entries : null;
    }

    private long SendAppend(Fed fed, IReadOnlyList<Entry> entries)
    {
        long bytes = 0;
        for (int i = 0; i < entries.Count; i++)
            bytes += entries[i].Weight;
        core.Effects.Messages.Add(new AppendRequest
        {
            From = core.Self, To = fed.Id, Term = core.Term,
            PreviousIndex = fed.Next.Previous, PreviousTerm = core.Log.TermAt(fed.Next.Previous)!.Value, Commit = core.Commit,
            Entries = entries,
        });
        fed.Sent(entries[^1].Index, bytes);
        return bytes;
    }

    private void Reply(Fed fed)
    {
        fed.AwaitsReply = false;
        fed.Told = (core.Term, core.Leader);
        Send(fed.Id, isProbe: false, diverged: false);
    }

    private void Send(MemberId to, bool isProbe, bool diverged) => core.Effects.Messages.Add(new ObserveReply
    {
        From = core.Self, To = to, Term = core.Term, Leader = core.Leader, Commit = core.Commit, IsProbe = isProbe, Diverged = diverged,
    });

    /// <summary>One observer, and what it gets next.</summary>
    private sealed class Fed(MemberId id, LogIndex has, RaftCoreOptions options)
    {
        private LogIndex _has = has;

        public MemberId Id => id;

        public LogIndex Next { get; private set; } = has.Next;

        public InflightWindow Window { get; } = new(options.MaxInflightMessages, options.MaxInflightBytes);

        public SnapshotTransfer? Transfer { get; private set; }

        public int SilentTicks { get; set; }

        public bool AwaitsReply { get; set; }

        /// <summary>The term and the leader that it was told of.</summary>
        public (Term Term, MemberId Leader)? Told { get; set; }

        public void Asked(ObserveRequest request)
        {
            (SilentTicks, AwaitsReply) = (0, true);
            if (Transfer is { } transfer)
            {
                if (request.LastIndex >= transfer.Snapshot.Index)
                    GoOnFrom(request.LastIndex);
                else if (transfer.IsComplete && !request.IsInstalling)
                    transfer.StartOver();
                return;
            }
            // Less than was sent, and no more than when it asked before: what is on its way is lost. Also when it forgot what it had, in a
            // crash.
            if (request.LastIndex.Next < Next && (request.Again || request.LastIndex <= _has))
                GoOnFrom(request.LastIndex);
            _has = request.LastIndex;
            Window.FreeUpTo(request.LastIndex);
            Next = LogIndex.Max(Next, request.LastIndex.Next);
        }

        public void Has(LogIndex index)
        {
            SilentTicks = 0;
            Window.FreeUpTo(index);
        }

        public void Answered(SnapshotReply reply)
        {
            SilentTicks = 0;
            if (Transfer is not { } transfer || transfer.Snapshot.Index != reply.SnapshotIndex)
                return;
            if (reply.Installed)
                GoOnFrom(reply.SnapshotIndex);
            else
                transfer.Wants(reply.NextOffset);
        }

        public void BeginSnapshot(SnapshotMark snapshot)
        {
            Transfer = new SnapshotTransfer(snapshot);
            Window.Clear();
        }

        public void Sent(LogIndex last, long bytes)
        {
            Next = last.Next;
            Window.Add(last, bytes);
        }

        private void GoOnFrom(LogIndex index)
        {
            Transfer = null;
            (_has, Next) = (index, index.Next);
            Window.Clear();
        }
    }
}
