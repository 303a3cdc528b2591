using Microsoft.Extensions.Logging;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;

namespace RaftKit.Znodes.Sessions;

/// <summary>
/// The leader's side of sessions (DESIGN, promise 5): hears keepalives, answers them once a quorum has confirmed that this still is the
/// leader, and proposes expiries. It judges only while this member leads and has applied an entry of its own term; only the log ends a
/// session.
/// </summary>
internal sealed class SessionJudge(ILoopServices services, ZnodeStateMachine machine, ZnodeOptions options, ILogger logger)
{
    private const int MaxCheckpointsPerCommand = 1024;

    private readonly ContactTracker<long> _contacts = new();
    private readonly Dictionary<MemberIncarnation, ProposerId> _dead = [];
    private readonly Dictionary<MemberIncarnation, ProposerId> _suspects = [];
    private readonly List<long> _overdue = [];
    private readonly List<ContactCheckpoint<long>> _checkpoints = [];
    private List<(MemberId From, SessionMessage Keepalive)> _asking = [];
    private Term _term;
    private bool _confirming;
    private bool _hostsToEnd;

    /// <summary>Whether this member judges now.</summary>
    public bool IsJudging { get; private set; }

    /// <summary>Sends an answer, or the call to name the living; to this member itself as well.</summary>
    public required Action<MemberId, SessionMessage> Send { get; init; }

    public void StatusChanged(NodeStatus status)
    {
        var leads = status is { Role: RaftRole.Leader, Ready: true };
        if (leads && IsJudging && _term == status.Term)
            return;
        IsJudging = leads;
        _asking.Clear();
        _confirming = false;
        _term = status.Term;
        if (leads)
            Begin(status);
    }

    /// <summary>A member names the sessions that live there.</summary>
    public void Keepalive(MemberId from, in SessionMessage keepalive)
    {
        // Before an entry of its own term is applied, a leader answers nothing: an expiry that an older leader proposed may still be in the
        // log.
        if (!IsJudging)
            return;
        _contacts.MemberHeard(from);
        var resets = (List<SessionCheckpoint>?)null;
        foreach (var id in keepalive.Sessions)
        {
            if (!machine.Sessions.TryGet(id, out var session) || session.Member != from)
                continue;
            if (_contacts.Heard(id) == ContactVerdict.NeedsReset)
                (resets ??= []).Add(new SessionCheckpoint(id, 0, false));
        }
        if (resets is not null)
            Log(resets);
        _asking.Add((from, keepalive));
        Confirm();
    }

    /// <summary>Every message that had arrived was handled; now silence may be judged.</summary>
    public void Tick(TimeSpan lateness)
    {
        if (!IsJudging)
            return;
        _contacts.MemberHeard(services.Self);
        _overdue.Clear();
        _checkpoints.Clear();
        _contacts.Advance(services.Now.Monotonic, lateness, _overdue, _checkpoints);
        foreach (var id in _overdue)
            if (machine.Sessions.TryGet(id, out var session))
                Expire(session, SessionEnd.Silence, null);
        if (_checkpoints.Count > 0)
            Log([.. _checkpoints.Select(c => new SessionCheckpoint(c.Id, (int)c.Silence.Spent.TotalMilliseconds, c.Silence.Extended))]);
        if (_hostsToEnd)
            EndSessionsOfTheDead();
    }

    public void LinkChanged(MemberId member, bool up)
    {
        if (up)
            ClearSuspicion(member);
        else if (IsJudging)
            _contacts.MemberLost(member);
    }

    /// <summary>
    /// Remembered by every member, for it may lead next: that a process is gone stays true. Without proof it is a suspicion, which ends
    /// when the member is linked again.
    /// </summary>
    public void PeerDied(DeathEvidence evidence)
    {
        var process = new ProposerId(evidence.Member, evidence.Incarnation, evidence.Boot);
        if (!evidence.Proven && !options.ExpireOnRefusedConnection)
            return;
        Remember(evidence.Proven ? _dead : _suspects, process);
        _hostsToEnd = true;
        if (IsJudging)
            EndSessionsOfTheDead();
    }

    public void Opened(Session session)
    {
        if (!IsJudging)
            return;
        _contacts.Track(session.Id, Terms(session));
        // An opening that was under way when its process died is applied after the death was seen.
        _hostsToEnd |= TryFind(_dead, session, out _) || TryFind(_suspects, session, out _);
    }

    public void Ended(Session session) => _contacts.Forget(session.Id);

    public void Active(Session session)
    {
        if (IsJudging)
            _contacts.Active(session.Id);
    }

    public void Moved(Session session)
    {
        if (IsJudging)
            _contacts.Moved(session.Id, session.Member);
    }

    public void Spared(Session session)
    {
        if (!IsJudging)
            return;
        _contacts.Pardon(session.Id);
        _hostsToEnd = true;
    }

    public void Checkpointed(Session session)
    {
        // After its own-term entry, every checkpoint that a leader applies is its own.
        if (IsJudging)
            _contacts.CheckpointApplied(session.Id, Silence(session));
    }

    private void Begin(NodeStatus status)
    {
        _contacts.Begin(services.Now.Monotonic);
        var members = new SortedSet<MemberId>();
        foreach (var session in machine.Sessions.All)
        {
            _contacts.TakeOver(session.Id, Terms(session), Silence(session));
            members.Add(session.Member);
        }
        ZnodeLog.JudgingBegan(logger, machine.Sessions.Count, status.Term.Value, status.Applied.Value);
        foreach (var member in members)
            Send(member, new SessionMessage(SessionMessageKind.Judging, 0, []));
        // This process holds the directory's lock, which an older start out of it held for as long as it lived. Of an older incarnation,
        // whose directory was another, that says nothing: it is told apart by its incarnation.
        Remember(_dead, new ProposerId(services.Self, services.Incarnation, services.Boot - 1));
        EndSessionsOfTheDead();
    }

    /// <summary>
    /// Asks a quorum whether this still is the leader; everybody who asks meanwhile shares the next round. Without it, a leader that was
    /// replaced while it stood still could answer for sessions that its successor is counting out.
    /// </summary>
    private void Confirm()
    {
        if (_confirming || _asking.Count == 0)
            return;
        _confirming = true;
        var round = new Round(this, _term, _asking);
        _asking = [];
        services.ReadBarrier(round);
    }

    private void Confirmed(Round round)
    {
        if (!IsJudging || _term != round.Term)
            return;
        foreach (var (from, keepalive) in round.Asking)
        {
            var answered = new List<long>(keepalive.Sessions.Count);
            foreach (var id in keepalive.Sessions)
                if (_contacts.MayAnswer(id) && machine.Sessions.TryGet(id, out var session) && session.Member == from)
                    answered.Add(id);
            if (answered.Count > 0)
                Send(from, new SessionMessage(SessionMessageKind.Answer, keepalive.Round, answered));
        }
        ConfirmNext(round);
    }

    private void ConfirmNext(Round round)
    {
        if (_term != round.Term)
            return;
        _confirming = false;
        Confirm();
    }

    private static void Remember(Dictionary<MemberIncarnation, ProposerId> known, ProposerId process)
    {
        var life = new MemberIncarnation(process.Member, process.Incarnation);
        if (!known.TryGetValue(life, out var earlier) || earlier.IsOlderThan(process))
            known[life] = process;
    }

    private static bool TryFind(Dictionary<MemberIncarnation, ProposerId> known, Session session, out ProposerId process)
    {
        process = default;
        return session.Host is { } host && known.TryGetValue(new MemberIncarnation(host.Member, host.Incarnation), out process)
            && session.LivesInOrBefore(process);
    }

    private void ClearSuspicion(MemberId member)
    {
        foreach (var life in _suspects.Keys)
            if (life.Id == member)
                _suspects.Remove(life);
    }

    private void EndSessionsOfTheDead()
    {
        _hostsToEnd = false;
        if (_dead.Count == 0 && _suspects.Count == 0)
            return;
        foreach (var session in machine.Sessions.All)
        {
            if (TryFind(_dead, session, out var dead))
                Expire(session, SessionEnd.HostDied, dead);
            else if (TryFind(_suspects, session, out var suspect))
                Expire(session, SessionEnd.HostRefused, suspect);
        }
    }

    private void Expire(Session session, SessionEnd cause, ProposerId? died)
    {
        if (_contacts.IsCondemned(session.Id))
            return;
        var asOf = services.Status.Applied;
        if (!services.ProposeAsLeader(ZnodeStateMachine.MachineName, SessionCommand.Expire(session.Id, asOf, cause, died)))
        {
            // Busy: again with the next tick.
            _hostsToEnd |= cause != SessionEnd.Silence;
            return;
        }
        _contacts.Condemn(session.Id);
        ZnodeLog.ExpiryProposed(logger, session.Id, asOf.Value, _term.Value, cause);
    }

    private void Log(IReadOnlyList<SessionCheckpoint> checkpoints)
    {
        foreach (var chunk in checkpoints.Chunk(MaxCheckpointsPerCommand))
        {
            if (!services.ProposeAsLeader(ZnodeStateMachine.MachineName, SessionCommand.Checkpoint(services.Status.Applied, chunk)))
                return;
            foreach (var checkpoint in chunk)
                _contacts.CheckpointProposed(
                    checkpoint.Session, new ContactSilence(TimeSpan.FromMilliseconds(checkpoint.SpentMilliseconds), checkpoint.Extended));
        }
    }

    private static ContactTerms Terms(Session session) => new(session.Timeout, session.Member, MayMove: session.Host is null);

    private static ContactSilence Silence(Session session) => new(TimeSpan.FromMilliseconds(session.SpentMilliseconds), session.Extended);

    private sealed class Round(SessionJudge judge, Term term, List<(MemberId From, SessionMessage Keepalive)> asking) : IReadCallback
    {
        public Term Term { get; } = term;

        public List<(MemberId From, SessionMessage Keepalive)> Asking { get; } = asking;

        public void Ready() => judge.Confirmed(this);

        // Whoever was not answered asks again.
        public void Failed(string reason) => judge.ConfirmNext(this);
    }
}
