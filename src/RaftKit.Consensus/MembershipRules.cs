namespace RaftKit.Consensus;

/// <summary>
/// Which membership may follow which, so that every majority of one meets every majority of the other (Raft 6, thesis 4.1).
/// </summary>
internal static class MembershipRules
{
    /// <summary>Why <paramref name="next"/> may not follow <paramref name="now"/>; null when it may.</summary>
    public static string? Refusal(Membership now, Membership next)
    {
        if (next.Voters.Count == 0)
            return "nobody would vote";
        if (Shape(next) is { } shape)
            return shape;
        if (PromotesAnotherLife(now, next) is { } promoted)
            return promoted;
        if (now.IsJoint)
        {
            return !next.IsJoint && next.Voters.SequenceEqual(now.Voters) ? null
                : "a joint membership must first be left, for its own voters";
        }
        if (next.IsJoint)
            return next.Outgoing.SequenceEqual(now.Voters) ? null : "a joint membership must carry the voters of before";
        int changed = next.Voters.Except(now.Voters).Count() + now.Voters.Except(next.Voters).Count();
        return changed <= 1 ? null : $"{changed} voters change at once; one may, or go through a joint membership";
    }

    private static string? Shape(Membership next)
    {
        if (HasTwice(next.Voters) || HasTwice(next.Learners) || HasTwice(next.Outgoing))
            return "a member is named twice";
        if (next.Voters.Any(v => next.Learners.Any(l => l.Id == v.Id)))
            return "a member both votes and learns";
        if (next.Voters.Concat(next.Learners).Concat(next.Outgoing).Any(m => m.Id.Value is < 1 or > 255 || m.Incarnation < 1))
            return "a member's number is not 1 to 255, or its incarnation not positive";
        // Messages name members, not lives: an answer of one life would count for the other's half.
        return next.Outgoing.Any(o => next.Voters.Any(v => v.Id == o.Id && v.Incarnation != o.Incarnation))
            ? "two lives of one member would vote; remove the old one first" : null;
    }

    private static string? PromotesAnotherLife(Membership now, Membership next) =>
        next.Voters.Any(v => now.Learners.Any(l => l.Id == v.Id && l.Incarnation != v.Incarnation))
            ? "a learner is promoted under another incarnation" : null;

    private static bool HasTwice(IReadOnlyList<MemberIncarnation> list) => list.DistinctBy(m => m.Id).Count() != list.Count;
}
