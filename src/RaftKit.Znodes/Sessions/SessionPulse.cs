using RaftKit.Consensus;
using RaftKit.Node.Loop;

namespace RaftKit.Znodes.Sessions;

/// <summary>
/// A member's side of keepalives: tells the leader which sessions live here, and counts only what was answered, from when it was sent. A
/// session is named every sixth of its timeout, and twice as often while it is not answered: a live one is never silent for a quarter by
/// one lost message.
/// </summary>
internal sealed class SessionPulse
{
    private const int MaxRoundsUnderWay = 256;

    private readonly Dictionary<long, TimeSpan> _rounds = [];
    private readonly Dictionary<long, LocalSession> _sessions = [];
    private readonly List<long> _batch = [];
    private long _round;
    private TimeSpan _beatAt = TimeSpan.MinValue;

    /// <summary>
    /// The shortest timeout among the clients that are attached through this member, if there are any: the leader hears of the member often
    /// enough to tell clients that fell silent from a member that did.
    /// </summary>
    public TimeSpan? ShortestGuestTimeout { get; set; }

    public IReadOnlyDictionary<long, LocalSession> Sessions => _sessions;

    public void Attach(LocalSession session) => _sessions.Add(session.Id, session);

    public void Detach(LocalSession session) => _sessions.Remove(session.Id);

    /// <summary>Names every session that is due; with <paramref name="all"/>, every session.</summary>
    /// <param name="now">The loop's time: not later than the sending, so what counts from it ends no later than it may.</param>
    /// <param name="all">Because the leader changed, or asks.</param>
    /// <param name="send">Sends to the leader.</param>
    public void Beat(TimeSpan now, bool all, Action<SessionMessage> send)
    {
        _batch.Clear();
        var signOfLife = ShortestGuestTimeout is { } shortest && (_beatAt == TimeSpan.MinValue || now - _beatAt >= shortest / 6);
        if (signOfLife)
            _beatAt = now;
        if (!all && !signOfLife && !AnyDue(now, share: 1.0))
            return;
        foreach (var session in _sessions.Values)
        {
            // Whoever would be due soon goes along.
            if (!session.IsHeard(now) || (!all && !IsDue(session, now, share: 0.7)))
                continue;
            session.KeepaliveSentAt = now;
            session.KeepaliveAnswered = false;
            _batch.Add(session.Id);
            if (_batch.Count == SessionMessage.MaxSessions)
                Send(now, send);
        }
        if (_batch.Count > 0 || signOfLife)
            Send(now, send);
    }

    /// <summary>The leader, once a quorum had confirmed it, answered these of a round.</summary>
    public void Answered(long round, IReadOnlyList<long> sessions)
    {
        if (!_rounds.TryGetValue(round, out var sentAt))
            return;
        foreach (var id in sessions)
            if (_sessions.TryGetValue(id, out var session))
                session.Answered(sentAt);
    }

    private bool AnyDue(TimeSpan now, double share)
    {
        foreach (var session in _sessions.Values)
            if (session.IsHeard(now) && IsDue(session, now, share))
                return true;
        return false;
    }

    private static bool IsDue(LocalSession session, TimeSpan now, double share)
    {
        if (session.KeepaliveSentAt == TimeSpan.MinValue)
            return true;
        var interval = session.Timeout / (session.KeepaliveAnswered ? 6 : 12);
        return now - session.KeepaliveSentAt >= interval * share;
    }

    private void Send(TimeSpan now, Action<SessionMessage> send)
    {
        var round = ++_round;
        _rounds.Add(round, now);
        _rounds.Remove(round - MaxRoundsUnderWay);
        var sessions = _batch.ToArray();
        _batch.Clear();
        send(new SessionMessage(SessionMessageKind.Keepalive, round, sessions));
    }
}
