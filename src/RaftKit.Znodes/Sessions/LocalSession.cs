using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;
using RaftKit.Znodes.Watches;

namespace RaftKit.Znodes.Sessions;

/// <summary>
/// A session that lives in this process, as its loop holds it: its calls in their order, its lease, its watches. Only what says so may be
/// used by other threads.
/// </summary>
internal sealed class LocalSession : IProposalCallback
{
    private readonly SessionKeeper _keeper;
    private readonly CancellationTokenSource _expired = new();
    private readonly Queue<SessionCall> _calls = new();
    private readonly int _askedTimeout;
    private readonly Guest? _guest;
    private Phase _phase;
    private bool _opening;
    private bool _advancing;
    private TimeSpan _openedAt;
    private long _id;
    private long _timeoutTicks;
    private long _leaseEndTicks = long.MinValue;
    private volatile bool _ended;
    private volatile bool _closing;
    private SessionLeave _leave;
    private string _endedBecause = "";

    public LocalSession(SessionKeeper keeper, TimeSpan timeout, INodeInbox inbox, Guest? guest = null)
    {
        _keeper = keeper;
        _guest = guest;
        Inbox = inbox;
        Scheduler = keeper.Scheduler;
        _askedTimeout = (int)Math.Clamp(
            timeout.TotalMilliseconds, SessionCommand.MinTimeoutMilliseconds, SessionCommand.MaxTimeoutMilliseconds);
        _timeoutTicks = TimeSpan.FromMilliseconds(_askedTimeout).Ticks;
        Expired = _expired.Token;
        Outbox = new SessionOutbox(
            keeper.Scheduler, keeper.Logger, keeper.Options.MaxQueuedEvents, () => Inbox.Post(new NodeInput.Call(new OverflowCall(this))));
    }

    private enum Phase
    {
        Opening,
        Open,
        Ended,
    }

    /// <summary>Any thread.</summary>
    public INodeInbox Inbox { get; }

    /// <summary>Any thread.</summary>
    public IClientScheduler Scheduler { get; }

    /// <summary>Any thread.</summary>
    public SessionOutbox Outbox { get; }

    /// <summary>Any thread; 0 before it is open.</summary>
    public long Id => Volatile.Read(ref _id);

    /// <summary>Any thread.</summary>
    public TimeSpan Timeout => new(Volatile.Read(ref _timeoutTicks));

    /// <summary>Any thread.</summary>
    public CancellationToken Expired { get; }

    /// <summary>
    /// Any thread. How long from now nobody else can own what this session owns: its timeout from when the last keepalive that was answered
    /// was <em>sent</em>. Zero or less: it may have expired. The clock runs on while the machine is suspended.
    /// </summary>
    public TimeSpan LeaseRemaining
    {
        get
        {
            // Once its close is on its way, others may apply it, and own what it owned, before this member does (simulator seed 113).
            if (_ended || _closing)
                return TimeSpan.Zero;
            var end = Volatile.Read(ref _leaseEndTicks);
            return end == long.MinValue ? TimeSpan.Zero : new TimeSpan(end) - Scheduler.Monotonic;
        }
    }

    /// <summary>Any thread.</summary>
    public SessionState State
    {
        get
        {
            if (_ended)
                return SessionState.Expired;
            if (Id == 0)
                return SessionState.Connecting;
            return LeaseRemaining > Timeout / 3 ? SessionState.Connected : SessionState.Suspended;
        }
    }

    /// <summary>Any thread. Why this process holds it no more; null while it does.</summary>
    public SessionLeave? Leave => _ended ? _leave : null;

    /// <summary>It belongs to a client that is connected through this member.</summary>
    public bool IsGuest => _guest is not null;

    /// <summary>
    /// What its commands name, so that they are refused once it is attached elsewhere; a host's own cannot be. Any thread, once it is open.
    /// </summary>
    public MemberId Via => _guest is null ? default : _keeper.Services.Self;

    public bool IsOpen => _phase == Phase.Open;

    public bool IsEnded => _phase == Phase.Ended;

    public SessionKeeper Keeper => _keeper;

    /// <summary>When the next keepalive of it is due, and whether the last one was answered: the pulse's notes.</summary>
    public TimeSpan KeepaliveSentAt { get; set; } = TimeSpan.MinValue;

    public bool KeepaliveAnswered { get; set; }

    /// <summary>Takes a call in, behind all earlier ones.</summary>
    public void Take(SessionCall call)
    {
        if (_phase == Phase.Opening && call is CloseCall)
        {
            _closing = true;
            End("it was closed before it was open");
        }
        if (_calls.Count >= _keeper.Options.MaxCallsPerSession && call.MayBeRefused)
        {
            call.Refused($"{_calls.Count} calls of session {Id:x} wait already. Await some of them before making more.");
            return;
        }
        _closing |= call is CloseCall;
        if (_phase == Phase.Ended)
            call.Abandon();
        _calls.Enqueue(call);
        if (_phase == Phase.Open && !call.IsDone)
            call.Begin();
        Advance();
    }

    /// <summary>Proposes the session, once this process has an identity that others could prove dead.</summary>
    public void TryOpen()
    {
        var services = _keeper.Services;
        if (_phase != Phase.Opening || _opening || services.Incarnation == 0 || _keeper.IsStopping)
            return;
        _opening = true;
        _openedAt = services.Now.Monotonic;
        var host = new ProposerId(services.Self, services.Incarnation, services.Boot);
        var command = _guest switch
        {
            null => SessionCommand.Open(_askedTimeout, services.Self, host, default),
            { TakesUp: false } => SessionCommand.Open(_askedTimeout, services.Self, null, _guest.Password.Span),
            _ => SessionCommand.Reattach(_guest.Session, services.Self, _guest.Password.Span),
        };
        services.Propose(ZnodeStateMachine.MachineName, command, this);
    }

    void IProposalCallback.Applied(in CommandContext context, ReadOnlyMemory<byte> result)
    {
        var reader = new MessagePackReader(result);
        if (_guest is { TakesUp: true } guest)
        {
            TakenUp(guest, context, TimeSpan.FromMilliseconds(reader.ReadInt32()));
            return;
        }
        reader.ReadArrayHeader(2);
        var id = reader.ReadInt64();
        var timeout = TimeSpan.FromMilliseconds(reader.ReadInt32());
        // Closed by its owner before it was open.
        if (_phase == Phase.Ended)
            _keeper.Services.Propose(ZnodeStateMachine.MachineName, SessionCommand.Close(id), null);
        else
            Opened(id, timeout);
    }

    private void TakenUp(Guest guest, in CommandContext context, TimeSpan timeout)
    {
        if (_phase == Phase.Ended)
        {
            // Detached meanwhile, it waits for its client; closed, it was to end.
            if (_closing && timeout > TimeSpan.Zero)
                _keeper.Services.Propose(ZnodeStateMachine.MachineName, SessionCommand.Close(guest.Session, Via), null);
        }
        else if (timeout == TimeSpan.Zero)
        {
            End("there is no such session for this password");
        }
        else if (guest.LastZxid > context.Zxid)
        {
            // Taking it up came later in the log than anything that was ever acknowledged there.
            LeaveNow(SessionLeave.Detached,
                $"its client has seen zxid {guest.LastZxid:x}, and this cluster is at {context.Zxid:x}: it was the client of another one");
        }
        else
        {
            Opened(guest.Session, timeout);
        }
    }

    private void Opened(long id, TimeSpan timeout)
    {
        Volatile.Write(ref _timeoutTicks, timeout.Ticks);
        // The leader gave it its whole timeout when it applied the opening, after that was proposed here.
        Volatile.Write(ref _leaseEndTicks, (_openedAt + timeout).Ticks);
        _openedAt = _keeper.Services.Now.Monotonic;
        Volatile.Write(ref _id, id);
        _phase = Phase.Open;
        _keeper.Attach(this);
        foreach (var call in _calls.ToArray())
            if (!call.IsDone)
                call.Begin();
        Advance();
    }

    void IProposalCallback.Failed(ProposalFailure failure, string reason)
    {
        // Refused for now: the next tick tries again. If it was opened after all, nobody keeps that one alive and it expires.
        _opening = false;
        if (_keeper.IsStopping)
            NodeStops($"the node stops: {reason}");
    }

    /// <summary>A call's outcome became known.</summary>
    public void Advance()
    {
        // A call that ends inside its own Begin or Turn comes back here: the outer loop goes on with it.
        if (_advancing)
            return;
        _advancing = true;
        try
        {
            while (_calls.TryPeek(out var call))
            {
                if (!call.IsDone)
                {
                    if (_phase == Phase.Opening)
                        break;
                    call.Turn();
                    if (!call.IsDone)
                        break;
                }
                _calls.Dequeue();
                Outbox.Complete(call);
            }
        }
        finally
        {
            // What failed here ends the node, which then tells those that wait behind it: they must not be left for a loop that is over.
            _advancing = false;
        }
    }

    /// <summary>The quorum answered for it: nobody expires it before its timeout has passed since the keepalive was sent.</summary>
    public void Answered(TimeSpan sentAt)
    {
        KeepaliveAnswered = true;
        var end = (sentAt + Timeout).Ticks;
        if (end > _leaseEndTicks)
            Volatile.Write(ref _leaseEndTicks, end);
    }

    /// <summary>Time passed.</summary>
    public void Tick(TimeSpan now)
    {
        if (_phase == Phase.Opening)
        {
            TryOpen();
            return;
        }
        // An opening that took long to be applied may leave no lease; the first keepalive is still to be tried.
        var end = Math.Max(_leaseEndTicks, (_openedAt + Timeout).Ticks);
        if (_phase == Phase.Open && now.Ticks >= end)
            GiveUp();
    }

    public void Watch(IWatcher watcher, string path, WatchMode mode) => _keeper.Watch(watcher, path, mode);

    public bool Unwatch(IWatcher watcher, string path, WatchMode mode) => _keeper.Watches.Remove(watcher, path, mode);

    public void Unwatch(IWatcher watcher) => _keeper.Watches.Remove(watcher);

    /// <summary>The log has ended it, or it is closed before it was open.</summary>
    public void End(string because) => End(SessionLeave.Ended, because);

    /// <summary>A client's session goes on without this process. What it had under way here has an unknown outcome.</summary>
    public void LeaveNow(SessionLeave leave, string because)
    {
        End(leave, because);
        AbandonCalls();
    }

    /// <summary>
    /// This process opens no session any more. A client that was about to take its own up is not told that it has ended, which it has not
    /// (simulator seed 12).
    /// </summary>
    public void NodeStops(string because) => End(IsGuest ? SessionLeave.Detached : SessionLeave.Ended, because);

    private void End(SessionLeave leave, string because)
    {
        if (_phase == Phase.Ended)
            return;
        _leave = leave;
        var wasOpen = _phase == Phase.Open;
        _phase = Phase.Ended;
        _endedBecause = because;
        _ended = true;
        foreach (var watcher in _keeper.Watches.RemoveAllOf(this))
            if (watcher is ISessionWatcher told)
                told.SessionEnded();
        _keeper.Detach(this);
        Scheduler.Post(CancelExpired);
        // What was sent will still be answered by the log; what waited behind it will not be done any more.
        foreach (var call in _calls)
            if (!wasOpen)
                call.Abandon();
        Advance();
    }

    /// <summary>No answer for a whole timeout: it may be gone. For its owner it is, for good; what is left of it is closed.</summary>
    private void GiveUp()
    {
        const string because = "the quorum did not answer for it for a whole timeout";
        if (IsGuest)
        {
            // Its client may be heard by another member by now: only the log knows.
            LeaveNow(SessionLeave.Detached, because);
            return;
        }
        ZnodeLog.GivenUp(_keeper.Logger, Id, (int)Timeout.TotalMilliseconds);
        _keeper.Counters.GivenUpCount++;
        AbandonNow(because);
    }

    /// <summary>Ends it without waiting for the log: calls under way have an unknown outcome.</summary>
    private void AbandonNow(string because)
    {
        _keeper.Services.Propose(ZnodeStateMachine.MachineName, SessionCommand.Close(Id, Via), null);
        Stop(because);
    }

    /// <summary>Whether the leader may be told that it lives: this process does; its client was heard lately.</summary>
    public bool IsHeard(TimeSpan now) => _guest is null || _guest.IsHeard(now, Timeout);

    /// <summary>Any thread. A client's connection is gone.</summary>
    public void Detach() => Inbox.Post(new NodeInput.Call(new DetachCall(this)));

    /// <summary>Any thread. Its owner is done with it and could not close it: it ends here, and expires at the quorum.</summary>
    public void LetGo() => Inbox.Post(new NodeInput.Call(new LetGoCall(this)));

    /// <summary>Ends it here and now: nobody will tell this process how its calls ended.</summary>
    public void Stop(string because)
    {
        try
        {
            // Of a client's session this process knows only that it can serve it no more.
            NodeStops(because);
        }
        finally
        {
            // Whatever failed while it ended: whoever waits for an answer is told that none will come.
            AbandonCalls();
        }
    }

    private void AbandonCalls()
    {
        foreach (var call in _calls)
            call.Abandon();
        Advance();
    }

    public Exception EndedException() => _leave switch
    {
        SessionLeave.Ended when _guest is { TakesUp: true } && Id == 0 => NoSuchSession(_guest.Session),
        SessionLeave.Ended => new SessionExpiredException(
            Id, $"Session {Id:x} has ended: {_endedBecause}. Its ephemerals are removed or will be; open a new session."),
        _ => new SessionDetachedException(
            Id, _leave == SessionLeave.Moved,
            $"Session {Id:x} is not served here any more: {_endedBecause}. It may live: take it up again."),
    };

    public static SessionExpiredException NoSuchSession(long id) =>
        new(id, $"There is no session {id:x} for this password: it has ended, or never was, or has another password. Open a new one.");

    private void CancelExpired()
    {
        try
        {
            _expired.Cancel();
        }
        catch (AggregateException failure)
        {
            ZnodeLog.ExpiredCallbackFailed(_keeper.Logger, failure, Id);
        }
    }

    private sealed class DetachCall(LocalSession session) : ILoopCall
    {
        public void Run() => session.LeaveNow(SessionLeave.Detached, "its connection is gone");

        public void Stopped()
        {
        }
    }

    private sealed class LetGoCall(LocalSession session) : ILoopCall
    {
        public void Run()
        {
            if (session._phase == Phase.Open)
                session.AbandonNow("it was disposed");
            else
                session.End("it was disposed before it was open");
        }

        public void Stopped()
        {
        }
    }

    private sealed class OverflowCall(LocalSession session) : ILoopCall
    {
        public void Run()
        {
            if (session._phase != Phase.Open)
                return;
            ZnodeLog.Overflowed(session._keeper.Logger, session.Id, session._keeper.Options.MaxQueuedEvents);
            session.AbandonNow("its watch callbacks fell too far behind");
        }

        public void Stopped()
        {
        }
    }
}

/// <summary>A watcher that must hear of its session's end.</summary>
internal interface ISessionWatcher : IWatcher
{
    void SessionEnded();
}
