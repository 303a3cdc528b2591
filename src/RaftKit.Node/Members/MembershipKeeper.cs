using RaftKit.Consensus;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Members;

/// <summary>
/// The leader's side of replacing a member that lost its disk: its old incarnation leaves the voters and the next one enters as a learner,
/// in one change; once it has caught up, it is promoted. Each step is a single committed change (thesis 4.1). Loop thread only.
/// </summary>
internal static class MembershipKeeper
{
    /// <summary>
    /// How far behind the commit a learner may be when it is promoted. One that has acknowledged nothing is not, however short the log: it
    /// would count at once, and a leader whose disk stands still cannot read for it what it lacks; so the others would be no quorum without
    /// that disk (simulator seed 357 of 60 s).
    /// </summary>
    private const long CaughtUp = 64;

    /// <summary>Why nothing came of a request, where nothing is wrong: it is to be asked elsewhere, or again.</summary>
    public const string NotLeader = "Not the leader, or not ready yet.";

    /// <summary>Answers a member without data, changing the membership first where that is needed.</summary>
    /// <param name="core">The leader's core.</param>
    /// <param name="request">Who asks.</param>
    /// <param name="clusterId">The cluster.</param>
    /// <param name="ready">Whether the leader has committed in its term.</param>
    /// <param name="wasSeen">Whether a life of a member was ever seen to take part.</param>
    /// <param name="lastLifeBefore">The last life that an earlier recovery epoch can have given.</param>
    /// <param name="now">Unix milliseconds.</param>
    /// <param name="isWanted">Whether it is to be a member: then the membership will name it soon.</param>
    /// <returns>The answer; null while the change is not committed: the member asks again.</returns>
    public static PeerMessage.JoinReply? Join(
        RaftCore core, PeerMessage.JoinRequest request, Guid clusterId, bool ready, Func<MemberIncarnation, bool> wasSeen, int lastLifeBefore,
        long now, bool isWanted = false)
    {
        if (core.Role != RaftRole.Leader || !ready || clusterId == Guid.Empty)
            return new PeerMessage.JoinReply(false, clusterId, 0, core.Leader, NotLeader);
        var membership = core.Membership;
        if (membership.IncarnationOf(request.Member) is not { } current)
        {
            return new PeerMessage.JoinReply(
                false, clusterId, 0, core.Leader, isWanted ? NotLeader : $"Member {request.Member} is not one of {string.Join(", ", membership.All)}.");
        }
        if (membership.IsVoter(request.Member))
        {
            var next = new MemberIncarnation(current.Id, Math.Max(current.Incarnation, lastLifeBefore) + 1);
            core.ProposeMembership(
                new Membership(membership.Voters.Where(v => v != current), membership.Learners.Append(next), []), now, out _);
            return null;
        }
        if (core.Commit < core.MembershipIndex)
            return null;
        // A learner's incarnation never voted, so a member that lost its reply may have it once more. One that acknowledged entries and
        // lost its disk again may not: they would still count for it, in its promotion and then in commits. Nor one that was seen: others
        // would find that it forgot what it told them.
        if (core.MatchOf(request.Member) == LogIndex.Zero && !wasSeen(current))
            return new PeerMessage.JoinReply(true, clusterId, current.Incarnation, core.Self, "", Term: core.Term);
        core.ProposeMembership(
            new Membership(
                membership.Voters,
                membership.Learners.Where(l => l != current).Append(new MemberIncarnation(current.Id, Math.Max(current.Incarnation, lastLifeBefore) + 1)), []),
            now, out _);
        return null;
    }

    /// <summary>
    /// Moves the membership one step towards what is wanted: who enters learns first; whoever has caught up votes; who goes, goes with the
    /// change that they waited for. Who never catches up learns for ever, which is no change under way and holds nobody up: there is nothing
    /// to abort (thesis 4.2.1). Single changes where one voter changes (thesis 4.1), joint ones where several do (Raft 6). Called with
    /// every tick; while a change is under way it does nothing.
    /// </summary>
    public static void Advance(RaftCore core, MemberTable table, Func<MemberId, PeerHello?> linked, long now)
    {
        if (core.Commit >= core.MembershipIndex && NextStep(core, table, linked) is { } next)
            core.ProposeMembership(next, now, out _);
    }

    /// <summary>Whether the membership is not yet what is wanted.</summary>
    public static bool IsWanting(MemberTable table, Membership now)
    {
        if (table.IsEmpty)
            return now.Learners.Count > 0;
        return !table.Wanted.Keys.SequenceEqual(now.All)
            || table.Wanted.Any(w => w.Value.Until is not null || w.Value.IsVoter != now.IsVoter(w.Key));
    }

    private static Membership? NextStep(RaftCore core, MemberTable table, Func<MemberId, PeerHello?> linked)
    {
        var now = core.Membership;
        if (now.IsJoint)
            return new Membership(now.Voters, now.Learners, []);
        var caughtUp = now.Learners
            .Where(l => linked(l.Id)?.Incarnation == l.Incarnation && core.MatchOf(l.Id) is var match && match > LogIndex.Zero && match
                + CaughtUp >= core.Commit)
            .ToList();
        if (table.IsEmpty)
            return caughtUp is [var first, ..] ? Promoted(now, first) : null;

        var wanted = table.Wanted;
        var missing = wanted.Keys.Where(id => now.IncarnationOf(id) is null && wanted[id].Until is null).ToList();
        if (missing.Count > 0)
            return new Membership(now.Voters, now.Learners.Concat(missing.Select(id => new MemberIncarnation(id, table.NextLife(id)))), []);
        if (now.Learners.Any(l => !wanted.ContainsKey(l.Id)))
            return new Membership(now.Voters, now.Learners.Where(l => wanted.ContainsKey(l.Id)), []);

        var entering = caughtUp.Where(l => wanted[l.Id] is { IsVoter: true, Until: null }).ToList();
        var leaving = now.Voters.Where(v => !wanted.TryGetValue(v.Id, out var stays) || !stays.IsVoter || IsOver(stays)).ToList();
        if (leaving.Count == 0)
        {
            // Whoever is awaited with others, of which some may never come, holds up nobody else.
            var next = entering.Where(e => !IsAwaited(e.Id)).ToList();
            return next.Count > 0 ? Promoted(now, next[0]) : null;
        }
        var voters = now.Voters.Except(leaving).Concat(entering).ToList();
        // It would count at once, and never be committed: nobody could lead any more, and who lost its disk could not be taken in again. So
        // it waits until enough of those who stay are there. A link alone says little: that of a machine which is cut off stays up for a
        // while (simulator seed 658 of 60 s).
        if (voters.Count(v => v.Id == core.Self || (linked(v.Id)?.Incarnation == v.Incarnation && core.Hears(v.Id))) <= voters.Count / 2)
            return null;
        // A voter that is to learn only stays as a learner, with the same life.
        var learners = now.Learners.Except(entering).Concat(
            leaving.Where(v => wanted.TryGetValue(v.Id, out var stays) && stays is { IsVoter: false, Until: null }));
        return new Membership(voters, learners, leaving.Count + entering.Count > 1 ? now.Voters : []);

        bool IsOver(WantedMember stays) => stays.Until?.All(id => now.IsVoter(id) || entering.Any(e => e.Id == id)) == true;

        // Somebody waits for several: these enter together.
        bool IsAwaited(MemberId id) => wanted.Values.Any(w => w.Until is { Count: > 1 } until && until.Contains(id));
    }

    private static Membership Promoted(Membership now, MemberIncarnation learner) =>
        new(now.Voters.Append(learner), now.Learners.Where(l => l != learner), []);
}
