using RaftKit.Consensus;

namespace RaftKit.TestKit;

/// <summary>
/// After all faults ended, in some seeds: the disk of whoever leads stands still, and nothing else is wrong. Another member must lead
/// within a bound, and writes must go on while the disk still stands (DESIGN, promise 6). It is judged by who leads; what the leader knows
/// of its disk, and whether it hands over, is not asked.
/// </summary>
internal sealed class StalledLeader(SimulatedWorld world, Func<long> writesAcknowledged, Func<TimeSpan, Func<bool>, bool> within)
{
    private const double Chance = 0.3;

    // Two are its patience, from the first entry on that others have and its disk has not; a handover that fails is given up after one, and
    // comes again after two.
    private const int ElectionTimeouts = 10;

    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    /// <returns>What went wrong; null if nothing did, or the seed does not draw it.</returns>
    public string? Run(TimeSpan electionTimeout)
    {
        // Members are still replaced or promoted, here and there: a seed that has no healthy quorum beside its leader within a while goes
        // without.
        if (!world.Random.Split("stalled leader").Chance(Chance) || !within(Soon, () => Find() is not null)
            || Find() is not { Run: { } run } leader)
            return null;
        var term = run.Loop.Core!.Term;
        world.Faults.Coverage.Struck(MenuItem.LeaderDiskStands);
        world.Trace.Event(leader.Id, $"leads term {term}, and its disk stands still");
        run.LogLane.StandsStill = true;
        if (!within(ElectionTimeouts * electionTimeout, () => NeedsBothOfTwo(leader.Id) || world.Members.Any(
            m => m != leader && m.Loop?.Core is { Role: RaftRole.Leader, HasCommittedInTerm: true } core && core.Term > term)))
            return $"liveness: member {leader.Id} leads on {ElectionTimeouts} election timeouts of {electionTimeout.TotalMilliseconds:F0} ms after its disk began to stand still, though those of a quorum are well";
        var acknowledged = writesAcknowledged();
        if (!within(Soon, () => NeedsBothOfTwo(leader.Id) || writesAcknowledged() > acknowledged))
            return $"liveness: no write was acknowledged within {Soon.TotalSeconds:F0} s, though only the disk of member {leader.Id} stands still, which no longer leads";
        run.LogLane.StandsStill = false;
        world.Trace.Event(leader.Id, "has a disk that goes on");
        return null;
    }

    // A removal that was asked for before may have been on its way: of two voters each one's disk is needed (seed 117).
    private bool NeedsBothOfTwo(MemberId stalled) =>
        world.Members.Where(m => m is { IsLeftBehind: false, Loop.Core: not null }).MaxBy(m => m.Loop!.Core!.MembershipIndex) is { } newest
        && newest.Loop!.Core!.Membership is var members && (IsOneOfTwo(members.Voters, stalled) || IsOneOfTwo(members.Outgoing, stalled));

    private static bool IsOneOfTwo(IReadOnlyList<MemberIncarnation> voters, MemberId id) => voters.Count == 2 && voters.Any(v => v.Id == id);

    /// <summary>Who leads, if without its disk a majority is left of voters that are up and have what it has committed.</summary>
    private SimulatedMember? Find() => world.Members.FirstOrDefault(m =>
        m.Loop?.Core is { Role: RaftRole.Leader, HasCommittedInTerm: true, Membership.IsJoint: false } core
        && 2 * core.Membership.Voters.Count(v => v.Id != m.Id && IsHealthy(v, core)) > core.Membership.Voters.Count);

    private bool IsHealthy(MemberIncarnation voter, RaftCore leader) =>
        world[voter.Id] is { Loop: { Core: { RottenEnd: null } core } loop } && loop.Incarnation == voter.Incarnation
        && core.Leader == leader.Leader && core.Term == leader.Term && core.Durable >= leader.Commit;
}
