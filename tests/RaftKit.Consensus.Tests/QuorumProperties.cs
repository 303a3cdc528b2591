using FsCheck;
using FsCheck.Fluent;

namespace RaftKit.Consensus.Tests;

/// <summary>Majority arithmetic, for any membership: joint or not, of one voter or many.</summary>
public sealed class QuorumProperties
{
    // The same cases in every run: a case that fails once fails again.
    private static readonly Config Fixed = Config.QuickThrowOnFailure.WithMaxTest(2000).WithReplay(2026, 3);

    private static readonly Gen<Membership> Memberships =
        from voters in Members(most: 9)
        from learners in Members(most: 3)
        from outgoing in Gen.Frequency((1, Gen.Constant<MemberIncarnation[]>([])), (1, Members(most: 9)))
        where voters.Length > 0
        select new Membership(voters, learners.ExceptBy(voters.Select(v => v.Id), l => l.Id), outgoing);

    private static readonly Gen<int[]> Numbers = Gen.Choose(0, 7).ArrayOf(16);

    [Fact]
    public void What_a_majority_reached_is_the_most_that_more_than_half_of_each_half_reached() =>
        Holds(Memberships, Numbers, (membership, reached) =>
        {
            var values = new Values(reached);
            var byCounting = Enumerable.Range(0, 8).Last(
                value => value == 0 || Halves(membership).All(half => 2 * half.Count(m => reached[m.Id.Value] >= value) > half.Count));
            return Quorum.Reached(membership, values) == byCounting;
        });

    [Fact]
    public void Learners_and_strangers_change_nothing() =>
        Holds(Memberships, Numbers, (membership, reached) =>
        {
            var others = (int[])reached.Clone();
            for (var id = 0; id < others.Length; id++)
                others[id] = membership.IsVoter(new MemberId(id)) ? reached[id] : 7 - reached[id];
            return Quorum.Reached(membership, new Values(reached)) == Quorum.Reached(membership, new Values(others));
        });

    [Fact]
    public void Any_two_majorities_of_a_membership_share_a_voter() =>
        Holds(Memberships, Numbers, (membership, drawn) => MajoritiesMeet(membership, membership, drawn));

    [Fact]
    public void Majorities_of_memberships_that_may_follow_each_other_share_a_voter()
    {
        // Drawn as changes are made: one voter, into a joint membership, or out of it.
        var steps =
            from now in Memberships
            from target in Members(most: 9)
            from joint in Gen.Elements(true, false)
            let next = now.IsJoint ? new Membership(now.Voters, now.Learners, [])
                : joint ? new Membership(target, [], now.Voters)
                : new Membership(Toggle(now.Voters, target.FirstOrDefault(new MemberIncarnation(new MemberId(1), 1))), [], [])
            where MembershipRules.Refusal(now, next) is null
            select (now, next);
        Holds(steps, Numbers, (step, drawn) => MajoritiesMeet(step.now, step.next, drawn) && MajoritiesMeet(step.next, step.now, drawn));
    }

    [Fact]
    public void An_election_is_won_or_lost_or_open_and_more_grants_never_lose_it() =>
        Holds(Memberships, Numbers, (membership, answers) =>
        {
            var tally = new VoteTally();
            var wasWon = false;
            for (var id = 1; id < answers.Length; id++)
            {
                if (answers[id] < 3)
                    tally.Grant(new MemberId(id));
                else if (answers[id] < 6)
                    tally.Refuse(new MemberId(id));
                if (tally.IsWon(membership) && tally.IsLost(membership) || (wasWon && !tally.IsWon(membership)))
                    return false;
                wasWon = tally.IsWon(membership);
            }
            var silent = Halves(membership).SelectMany(half => half).Any(m => answers[m.Id.Value] >= 6);
            return silent || tally.IsWon(membership) || tally.IsLost(membership);
        });

    [Fact]
    public void A_membership_comes_back_from_its_bytes() =>
        Holds(Memberships, Numbers, (membership, _) => MembershipCodec.Decode(MembershipCodec.Encode(membership)).Equals(membership));

    /// <summary>Two disjoint sets of members cannot both be majorities.</summary>
    private static bool MajoritiesMeet(Membership one, Membership other, int[] drawn)
    {
        var first = drawn.Select(number => number < 4 ? 1 : 0).ToArray();
        var second = first.Select(number => 1 - number).ToArray();
        return Quorum.Reached(one, new Values(first)) == 0 || Quorum.Reached(other, new Values(second)) == 0;
    }

    private static List<IReadOnlyList<MemberIncarnation>> Halves(Membership membership) =>
        membership.IsJoint ? [membership.Voters, membership.Outgoing] : [membership.Voters];

    private static IEnumerable<MemberIncarnation> Toggle(IReadOnlyList<MemberIncarnation> voters, MemberIncarnation member) =>
        voters.Any(v => v.Id == member.Id) ? voters.Where(v => v.Id != member.Id) : voters.Append(member);

    private static Gen<MemberIncarnation[]> Members(int most) =>
        from ids in Gen.Choose(1, 15).ArrayOf(most)
        from count in Gen.Choose(0, most)
        select ids.Take(count).Distinct().Select(id => new MemberIncarnation(new MemberId(id), 1)).ToArray();

    private static void Holds<TCase>(Gen<TCase> cases, Gen<int[]> numbers, Func<TCase, int[], bool> property) =>
        Prop.ForAll(cases.ToArbitrary(), numbers.ToArbitrary(), property).Check(Fixed);

    private readonly struct Values(int[] reached) : IMemberValues
    {
        public long Of(MemberId member) => reached[member.Value];
    }
}
