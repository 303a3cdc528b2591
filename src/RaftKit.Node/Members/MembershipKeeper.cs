using RaftKit.Consensus;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Members;

/// <summary>
/// The leader's side of replacing a member that lost its disk: its old incarnation leaves the voters and the next one enters as a learner, in one change;
/// once it has caught up, it is promoted. Each step is a single committed change (thesis 4.1). Loop thread only.
/// </summary>
internal static class MembershipKeeper
{
    /// <summary>How far behind the commit a learner may be when it is promoted.</summary>
    private const long CaughtUp = 64;

    /// <summary>Answers a member without data, changing the membership first where that is needed.</summary>
    /// <param name="core">The leader's core.</param>
    /// <param name="request">Who asks.</param>
    /// <param name="clusterId">The cluster.</param>
    /// <param name="ready">Whether the leader has committed in its term.</param>
    /// <param name="wasSeen">Whether a life of a member was ever seen to take part.</param>
    /// <param name="now">Unix milliseconds.</param>
    /// <returns>The answer; null while the change is not committed: the member asks again.</returns>
    public static PeerMessage.JoinReply? Join(RaftCore core, PeerMessage.JoinRequest request, Guid clusterId, bool ready, Func<MemberIncarnation, bool> wasSeen, long now)
    {
        if (core.Role != RaftRole.Leader || !ready || clusterId == Guid.Empty)
            return new PeerMessage.JoinReply(false, clusterId, 0, core.Leader, "Not the leader, or not ready yet.");
        var membership = core.Membership;
        if (membership.IncarnationOf(request.Member) is not { } current)
        {
            return new PeerMessage.JoinReply(
                false, clusterId, 0, core.Leader, $"Member {request.Member} is not one of {string.Join(", ", membership.All)}.");
        }
        if (membership.IsVoter(request.Member))
        {
            var next = new MemberIncarnation(current.Id, current.Incarnation + 1);
            core.ProposeMembership(
                new Membership(membership.Voters.Where(v => v != current), membership.Learners.Append(next), []), now, out _);
            return null;
        }
        if (core.Commit < core.MembershipIndex)
            return null;
        // A learner's incarnation never voted, so a member that lost its reply may have it once more. One that acknowledged entries and lost its disk again
        // may not: they would still count for it, in its promotion and then in commits. Nor one that was seen: others would find that it forgot what it told them.
        if (core.MatchOf(request.Member) == LogIndex.Zero && !wasSeen(current))
            return new PeerMessage.JoinReply(true, clusterId, current.Incarnation, core.Self, "");
        core.ProposeMembership(
            new Membership(
                membership.Voters, membership.Learners.Where(l => l != current).Append(new MemberIncarnation(current.Id, current.Incarnation + 1)), []),
            now, out _);
        return null;
    }

    /// <summary>Promotes a learner whose log has caught up and whose own incarnation is the one linked.</summary>
    public static void Promote(RaftCore core, Func<MemberId, PeerHello?> linked, long now)
    {
        foreach (var learner in core.Membership.Learners)
        {
            if (linked(learner.Id)?.Incarnation != learner.Incarnation || core.MatchOf(learner.Id) + CaughtUp < core.Commit)
                continue;
            core.ProposeMembership(
                new Membership(
                    core.Membership.Voters.Append(learner), core.Membership.Learners.Where(l => l != learner), []),
                now, out _);
            return;
        }
    }
}
