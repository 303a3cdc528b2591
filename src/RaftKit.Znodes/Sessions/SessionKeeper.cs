using System.Runtime.ExceptionServices;
using Microsoft.Extensions.Logging;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Znodes.History;
using RaftKit.Znodes.Tree;
using RaftKit.Znodes.Watches;

namespace RaftKit.Znodes.Sessions;

/// <summary>
/// The sessions' part of the loop: passes what happens to those whom it concerns. The judge speaks as leader, the pulse as a member, the
/// local sessions for the users of this process; the watch table and the journal hear every change.
/// </summary>
internal sealed class SessionKeeper(ZnodeStateMachine machine, ZnodeOptions options, IClientScheduler scheduler, ILogger logger)
    : ILoopParticipant, ISessionObserver
{
    private readonly SessionPulse _pulse = new();
    private readonly List<LocalSession> _opening = [];
    private readonly List<LocalSession> _scratch = [];
    private ILoopServices? _services;
    private SessionJudge? _judge;
    private MemberId _leader;
    private Term _term;
    private RestoreComparison? _jump;
    private bool _guestsChanged;
    private Action? _stopped;

    public byte Channel => 1;

    public ZnodeStateMachine Machine { get; } = machine;

    public ZnodeOptions Options { get; } = options;

    public IClientScheduler Scheduler { get; } = scheduler;

    public ILogger Logger { get; } = logger;

    public WatchTable Watches { get; } = new();

    public ChangeJournal Journal { get; } = new(options.JournalChanges, options.JournalBytes);

    /// <summary>The streams that are being read.</summary>
    public HashSet<EventStream> Streams { get; } = [];

    /// <summary>The copies that are being made.</summary>
    public HashSet<SubtreeCopy> Copies { get; } = [];

    public SessionCounters Counters { get; } = new();

    public bool IsStopping { get; private set; }

    public ILoopServices Services => _services ?? throw new InvalidOperationException("The node has not started.");

    private SessionJudge Judge => _judge ?? throw new InvalidOperationException("The node has not started.");

    public void Start(ILoopServices services)
    {
        _services = services;
        _judge = new SessionJudge(services, Machine, Options, Logger) { Send = Send };
        StatusChanged(services.Status);
    }

    public void StatusChanged(NodeStatus status)
    {
        Judge.StatusChanged(status);
        if (status.Leader == _leader && status.Term == _term)
            return;
        (_leader, _term) = (status.Leader, status.Term);
        Beat(all: true);
    }

    public void Tick(TimeSpan lateness)
    {
        var now = Services.Now.Monotonic;
        // What an opening or an ending session changes in these lists is for the next tick.
        _scratch.AddRange(_opening);
        _scratch.AddRange(_pulse.Sessions.Values);
        foreach (var session in _scratch)
            session.Tick(now);
        _scratch.Clear();
        if (_guestsChanged)
            CountGuests();
        Beat(all: false);
        Judge.Tick(lateness);
    }

    public void Received(MemberId from, ReadOnlyMemory<byte> payload)
    {
        SessionMessage message;
        try
        {
            message = SessionMessage.Decode(payload);
        }
        catch (MessagePackSerializationException garbled)
        {
            ZnodeLog.Garbled(Logger, from.Value, garbled.Message);
            return;
        }
        Handle(from, message);
    }

    public void LinkChanged(MemberId member, bool up)
    {
        Judge.LinkChanged(member, up);
        // What was sent to the leader over the old link may be lost.
        if (up && member == _leader)
            Beat(all: true);
    }

    public void PeerDied(DeathEvidence evidence) => Judge.PeerDied(evidence);

    public void Stopping(Action done)
    {
        IsStopping = true;
        foreach (var session in _opening.ToArray())
            session.NodeStops("the node stops");
        if (_pulse.Sessions.Count == 0)
        {
            done();
            return;
        }
        _stopped = done;
        foreach (var session in _pulse.Sessions.Values.ToArray())
        {
            // A client goes on through another member; only what lives in this process ends with it.
            if (session.IsGuest)
                session.LeaveNow(SessionLeave.Detached, "the member that it was attached through stops");
            else
                session.Take(new CloseCall(session));
        }
    }

    public void Stopped(string reason)
    {
        IsStopping = true;
        ExceptionDispatchInfo? failure = null;
        foreach (var session in _opening.Concat(_pulse.Sessions.Values).ToArray())
        {
            try
            {
                session.Stop(reason);
            }
            catch (Exception thrown)
            {
                failure ??= ExceptionDispatchInfo.Capture(thrown);
            }
        }
        // The loop logs it: once all sessions were told.
        failure?.Throw();
    }

    /// <summary>A session of this process begins.</summary>
    public void Add(LocalSession session)
    {
        if (IsStopping)
        {
            session.NodeStops("the node stops");
            return;
        }
        _opening.Add(session);
        session.TryOpen();
    }

    /// <summary>Watches; also from amid a restore, when the tree that is read is still the old one.</summary>
    public void Watch(IWatcher watcher, string path, WatchMode mode)
    {
        Watches.Add(watcher, path, mode);
        _jump?.Note(Machine.Tree, path, mode == WatchMode.PersistentRecursive);
    }

    /// <summary>It is open: the leader hears of it from now on.</summary>
    public void Attach(LocalSession session)
    {
        _opening.Remove(session);
        // A client that connected anew before its old connection was found to be gone.
        if (_pulse.Sessions.TryGetValue(session.Id, out var before))
            before.LeaveNow(SessionLeave.Moved, "it was taken up through another connection");
        _pulse.Attach(session);
        // A result that a snapshot brought may be of a session that has ended or moved on since.
        if (!Machine.Sessions.TryGet(session.Id, out var replicated))
            session.End("it expired while this member was behind");
        else if (!IsHere(replicated))
            session.LeaveNow(SessionLeave.Moved, "it was taken up through another member");
        else
            Beat(all: false);
    }

    public void Detach(LocalSession session)
    {
        _opening.Remove(session);
        _pulse.Detach(session);
        if (_stopped is { } stopped && _pulse.Sessions.Count == 0)
        {
            _stopped = null;
            stopped();
        }
    }

    void ISessionObserver.Changed(in CommandContext context, List<TreeChange> changes)
    {
        EnterEpoch(context.Zxid);
        Journal.Append(context.Zxid, changes);
        foreach (var change in changes)
            Watches.Tell(change);
    }

    /// <summary>
    /// A forced quorum's epoch ends every stream that told of an earlier one: it says so, and gives the state in place of what it told.
    /// </summary>
    public void EnterEpoch(long zxid)
    {
        if (!Journal.EnterEpoch(zxid))
            return;
        foreach (var stream in Streams)
            stream.Jumped();
    }

    void ISessionObserver.Opened(Session session)
    {
        Counters.OpenedCount++;
        ZnodeLog.Opened(Logger, session.Id, session.Member.Value, session.TimeoutMilliseconds);
        Judge.Opened(session);
        NoteGuests(session);
    }

    void ISessionObserver.Ended(Session session, SessionEnd cause)
    {
        Counters.Count(cause);
        ZnodeLog.Ended(Logger, session.Id, session.Member.Value, cause);
        Judge.Ended(session);
        NoteGuests(session);
        if (_pulse.Sessions.TryGetValue(session.Id, out var local))
            local.End(Reason(cause));
    }

    void ISessionObserver.Active(Session session) => Judge.Active(session);

    void ISessionObserver.Moved(Session session)
    {
        Judge.Moved(session);
        NoteGuests(session);
        if (!IsHere(session) && _pulse.Sessions.TryGetValue(session.Id, out var local))
            local.LeaveNow(SessionLeave.Moved, "it was taken up through another member");
    }

    void ISessionObserver.Spared(Session session)
    {
        Counters.SparedCount++;
        ZnodeLog.Spared(Logger, session.Id);
        Judge.Spared(session);
    }

    void ISessionObserver.Checkpointed(Session session) => Judge.Checkpointed(session);

    void ISessionObserver.Restoring() => _jump = new RestoreComparison(Watches, Machine.Tree, Machine.Zxid);

    void ISessionObserver.Restored(in CommandContext context)
    {
        Journal.Reset(Machine.Zxid);
        // First the streams: they promise no gap, and what a comparison finds may have one.
        foreach (var stream in Streams)
            stream.Jumped();
        _jump?.Tell(Machine.Tree, Machine.Zxid);
        _jump = null;
        foreach (var copy in Copies)
            copy.Restart();
        NoteGuests(null);
        foreach (var session in _pulse.Sessions.Values.ToArray())
        {
            if (!Machine.Sessions.TryGet(session.Id, out var replicated))
                session.End("it ended while this member was behind");
            else if (!IsHere(replicated))
                session.LeaveNow(SessionLeave.Moved, "it was taken up through another member");
        }
    }

    private bool IsHere(Session session) => session.Member == Services.Self;

    /// <summary>Who of the clients is attached here is counted anew at the next tick, however many came and went.</summary>
    private void NoteGuests(Session? changed) => _guestsChanged |= changed?.Host is null;

    private void CountGuests()
    {
        _guestsChanged = false;
        TimeSpan? shortest = null;
        foreach (var session in Machine.Sessions.All)
            if (session.Host is null && session.Member == Services.Self && (shortest is not { } least || session.Timeout < least))
                shortest = session.Timeout;
        _pulse.ShortestGuestTimeout = shortest;
    }

    private void Handle(MemberId from, in SessionMessage message)
    {
        switch (message.Kind)
        {
            case SessionMessageKind.Keepalive:
                Judge.Keepalive(from, message);
                break;
            case SessionMessageKind.Answer:
                _pulse.Answered(message.Round, message.Sessions);
                break;
            case SessionMessageKind.Judging:
                if (from == _leader)
                    Beat(all: true);
                break;
            default:
                ZnodeLog.Garbled(Logger, from.Value, $"kind {(int)message.Kind} is unknown");
                break;
        }
    }

    private void Beat(bool all)
    {
        if (!_leader.IsNone)
            _pulse.Beat(Services.Now.Monotonic, all, message => Send(_leader, message));
    }

    private void Send(MemberId to, SessionMessage message)
    {
        if (to == Services.Self)
            Handle(to, message);
        else
            Services.Send(to, Channel, message.Encode());
    }

    private static string Reason(SessionEnd cause) => cause switch
    {
        SessionEnd.Closed => "it was closed",
        SessionEnd.Silence => "the quorum did not hear of it for its whole timeout",
        SessionEnd.HostDied => "its process was proven dead",
        SessionEnd.HostRefused => "its host refused connections",
        _ => cause.ToString(),
    };
}
