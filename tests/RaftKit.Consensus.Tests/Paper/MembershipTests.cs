using RaftKit.Consensus.Tests.Harness;
using static RaftKit.Consensus.Tests.Harness.Solo;

namespace RaftKit.Consensus.Tests.Paper;

/// <summary>Raft 6 and thesis 4: joint and single changes, learners, who leaves, who may disturb.</summary>
public sealed class MembershipTests
{
    private static readonly Membership Joint = TestCluster.Config([1, 4, 5], outgoing: [1, 2, 3]);

    [Fact, Trait("Raft", "6")]
    public void In_a_joint_membership_entries_go_to_both_halves()
    {
        var solo = new Solo(membership: Joint);
        solo.Lead(2, 4);
        Assert.Equal([2, 3, 4, 5], solo.Sent.OfType<AppendRequest>().Select(a => a.To.Value));
    }

    [Theory, Trait("Raft", "6")]
    [InlineData(new[] { 2, 3 }, false)]
    [InlineData(new[] { 4, 5 }, false)]
    [InlineData(new[] { 2, 4 }, true)]
    [InlineData(new[] { 3, 5 }, true)]
    public void In_a_joint_membership_a_commit_takes_a_majority_of_each_half(int[] accepting, bool commits)
    {
        var solo = new Solo(membership: Joint);
        solo.Lead(2, 4);
        solo.FinishWrites();
        foreach (int peer in accepting)
            solo.Accept(peer, 1);
        Assert.Equal(commits ? 1 : 0, solo.Core.Commit.Value);
    }

    [Theory, Trait("Raft", "6")]
    [InlineData(new[] { 2, 3 }, RaftRole.Candidate)]
    [InlineData(new[] { 4, 5 }, RaftRole.Candidate)]
    [InlineData(new[] { 2, 4 }, RaftRole.Leader)]
    public void In_a_joint_membership_an_election_takes_a_majority_of_each_half(int[] voting, RaftRole role)
    {
        var solo = new Solo(membership: Joint);
        solo.Turn(core => core.BecomeCandidate(transfer: false));
        solo.FinishWrites();
        foreach (int peer in voting)
            solo.Step(new VoteReply { From = Id(peer), To = Id(1), Term = new Term(1), PreVote = false, Granted = true });
        Assert.Equal(role, solo.Core.Role);
    }

    [Theory, Trait("Raft", "6")]
    [InlineData(new[] { 2, 3 }, new[] { 1, 2, 3 })]
    [InlineData(new[] { 1, 2, 3 }, new[] { 2, 3 })]
    public void A_member_of_either_half_may_lead(int[] voters, int[] outgoing)
    {
        var solo = new Solo(membership: TestCluster.Config(voters, outgoing: outgoing));
        solo.Lead(2, 3);
        Assert.Equal(RaftRole.Leader, solo.Core.Role);
    }

    [Fact, Trait("Raft", "6")]
    public void Out_of_a_joint_membership_only_its_own_voters_lead()
    {
        Assert.NotNull(MembershipRules.Refusal(Joint, TestCluster.Config([1, 2, 3])));
        Assert.NotNull(MembershipRules.Refusal(Joint, TestCluster.Config([1, 4])));
        Assert.NotNull(MembershipRules.Refusal(Joint, TestCluster.Config([1, 4, 5], outgoing: [1, 4, 5])));
        Assert.Null(MembershipRules.Refusal(Joint, TestCluster.Config([1, 4, 5])));
        // Who is not a voter any more may stay to learn.
        Assert.Null(MembershipRules.Refusal(Joint, TestCluster.Config([1, 4, 5], learners: [2, 3])));
    }

    [Fact, Trait("Raft", "6")]
    public void A_follower_uses_the_newest_membership_of_its_log_committed_or_not()
    {
        var solo = new Solo();
        solo.Step(Append(2, term: 1, 0, 0, 0, Entry(1, 1), Change(2, 1, [1, 2, 3, 4])));
        Assert.Equal((4, 0L), (solo.Core.Membership.Voters.Count, solo.Core.Commit.Value));
        Assert.Equal(new LogIndex(2), solo.Core.MembershipIndex);
    }

    [Fact, Trait("Thesis", "4.1")]
    public void A_membership_that_is_cut_gives_way_to_the_one_before_it()
    {
        var solo = new Solo();
        solo.Step(Append(2, term: 1, 0, 0, 1, Entry(1, 1), Change(2, 1, [1, 2, 3, 4])));
        solo.Step(Append(3, term: 2, 1, 1, 1, Entry(2, 2)));
        Assert.Equal(TestCluster.Config([1, 2, 3]), solo.Core.Membership);
        Assert.Equal(LogIndex.Zero, solo.Core.MembershipIndex);
    }

    [Fact, Trait("Thesis", "4.1")]
    public void A_restart_finds_the_newest_membership_of_the_log()
    {
        Entry[] log = [Entry(1, 1), Change(2, 1, [1, 2, 3, 4]), Entry(3, 1)];
        var restored = new RestoredState(new Term(1), MemberId.None, TestCluster.Config([1, 2, 3, 4]), new LogIndex(2), null, log)
        {
            Initial = TestCluster.Config([1, 2, 3]),
        };
        var core = new RaftCore(new RaftCoreOptions { Self = Id(1), Seed = 1 }, restored, new Solo());
        Assert.Equal(TestCluster.Config([1, 2, 3, 4]), core.Membership);
        // Cut, that of before holds: the one that the cluster was formed with.
        core.Step(Append(2, term: 2, 1, 1, 0, Entry(2, 2)));
        Assert.Equal(TestCluster.Config([1, 2, 3]), core.Membership);
    }

    [Theory, Trait("Thesis", "4.1")]
    [InlineData(1, RaftRole.Leader)]
    [InlineData(2, RaftRole.Follower)]
    public void Nobody_campaigns_by_a_membership_that_names_another_life_of_it(int incarnation, RaftRole role)
    {
        // A founder that was wiped, and reads the log again from its beginning: its former life is the only voter there.
        var restored = new RestoredState(new Term(1), MemberId.None, TestCluster.Config([1]), new LogIndex(1), null, [Change(1, 1, [1])]);
        var solo = new Solo();
        var core = new RaftCore(new RaftCoreOptions { Self = Id(1), Seed = 1, Incarnation = incarnation }, restored, solo);
        for (var ticks = 0; ticks < 400; ticks++)
        {
            core.Tick();
            core.EndTurn();
            var request = core.Effects.Persist;
            core.Effects.Clear();
            if (request is not null)
                core.Persisted(request);
        }

        Assert.Equal(role, core.Role);
    }

    [Fact, Trait("Thesis", "4.1")]
    public void A_change_waits_for_the_one_before_it_and_for_an_entry_of_the_leaders_own_term()
    {
        var solo = new Solo();
        solo.Lead(2);
        // raft-dev 2015: nothing of this term is committed yet.
        Assert.Equal(ProposeOutcome.MembershipChangePending, Propose(solo, [1, 2]));
        solo.FinishWrites();
        solo.Accept(2, 1);
        Assert.Equal(ProposeOutcome.Appended, Propose(solo, [1, 2]));
        Assert.Equal(ProposeOutcome.MembershipChangePending, Propose(solo, [1, 2, 4]));
        solo.FinishWrites();
        Assert.Equal(ProposeOutcome.MembershipChangePending, Propose(solo, [1, 2, 4]));
        solo.Accept(2, 2);
        Assert.Equal(ProposeOutcome.Appended, Propose(solo, [1, 2, 4]));
    }

    [Fact, Trait("Thesis", "4.1")]
    public void An_append_is_taken_from_a_leader_that_the_membership_does_not_name()
    {
        var solo = new Solo(membership: TestCluster.Config([1, 2, 3]));
        solo.Step(Append(7, term: 1, 0, 0, 0, Entry(1, 1)));
        Assert.Equal((Id(7), new LogIndex(1)), (solo.Core.Leader, solo.Core.LastIndex));
    }

    [Fact, Trait("Thesis", "4.1")]
    public void A_vote_is_given_to_a_candidate_that_the_membership_does_not_name()
    {
        var solo = new Solo(membership: TestCluster.Config([1, 2, 3]));
        solo.Step(Vote(7, term: 1, 0, 0));
        Assert.True(solo.Held.OfType<VoteReply>().Single().Granted);
    }

    [Fact, Trait("Thesis", "4.2.1")]
    public void A_new_member_learns_first_and_counts_from_its_promotion_on()
    {
        var solo = Solo.Leading();
        Assert.Equal(ProposeOutcome.Appended, Propose(solo, [1, 2, 3], learners: [4]));
        solo.FinishWrites();
        solo.Accept(4, 2);
        Assert.Equal(new LogIndex(1), solo.Core.Commit);
        solo.Accept(2, 2);
        Assert.Equal(new LogIndex(2), solo.Core.Commit);
        Assert.Equal(ProposeOutcome.Appended, Propose(solo, [1, 2, 3, 4]));
        solo.FinishWrites();
        solo.Accept(4, 3);
        Assert.Equal(new LogIndex(2), solo.Core.Commit);
        solo.Accept(3, 3);
        Assert.Equal(new LogIndex(3), solo.Core.Commit);
    }

    [Fact, Trait("Raft", "6")]
    public void A_leader_that_removes_itself_does_not_count_itself_and_leaves_once_that_is_committed()
    {
        var solo = Solo.Leading();
        Assert.Equal(ProposeOutcome.Appended, Propose(solo, [2, 3]));
        solo.FinishWrites();
        solo.Accept(2, 2);
        Assert.Equal((RaftRole.Leader, 1L), (solo.Core.Role, solo.Core.Commit.Value));
        solo.Accept(3, 2);
        Assert.Equal((RaftRole.Follower, 2L), (solo.Core.Role, solo.Core.Commit.Value));
        // Both are told, and one may start at once.
        Assert.Equal([2, 3], solo.Sent.OfType<Heartbeat>().Where(h => h.Commit.Value == 2).Select(h => h.To.Value));
        Assert.Single(solo.Sent.OfType<TimeoutNow>());
    }

    [Fact, Trait("Thesis", "4.2.2")]
    public void Who_is_removed_by_an_uncommitted_change_may_campaign_and_counts_without_itself()
    {
        var solo = new Solo();
        solo.Step(Append(2, term: 1, 0, 0, 1, Entry(1, 1), Change(2, 1, [2, 3])));
        solo.Tick(80);
        Assert.Equal(RaftRole.PreCandidate, solo.Core.Role);
        solo.Step(new VoteReply { From = Id(2), To = Id(1), Term = new Term(2), PreVote = true, Granted = true });
        Assert.Equal(RaftRole.PreCandidate, solo.Core.Role);
        solo.Step(new VoteReply { From = Id(3), To = Id(1), Term = new Term(2), PreVote = true, Granted = true });
        Assert.Equal(RaftRole.Candidate, solo.Core.Role);
    }

    [Fact, Trait("Thesis", "4.2.3")]
    public void A_removed_member_is_fed_until_it_knows_and_for_an_election_timeout_at_the_most()
    {
        var told = Solo.Leading();
        Propose(told, [1, 2]);
        Assert.Contains(told.Sent, m => m is AppendRequest && m.To == Id(3));
        told.FinishWrites();
        told.Accept(3, 2);
        told.Accept(2, 2);
        Assert.Equal(2, told.Sent.OfType<Heartbeat>().Single(h => h.To == Id(3)).Commit.Value);
        told.Tick(6);
        Assert.DoesNotContain(told.Sent, m => m.To == Id(3));

        var silent = Solo.Leading();
        Propose(silent, [1, 2]);
        silent.FinishWrites();
        silent.Accept(2, 2);
        Beats(silent, 33);
        Assert.Equal(3, Recipients(silent, 6));
        Beats(silent, 1);
        Assert.Equal(2, Recipients(silent, 6));
    }

    [Fact, Trait("Thesis", "4.3")]
    public void Any_voters_may_follow_any_others_through_a_joint_membership()
    {
        var random = new Random(11);
        for (int i = 0; i < 200; i++)
        {
            var now = TestCluster.Config(Some(random));
            var goal = TestCluster.Config(Some(random));
            var joint = new Membership(goal.Voters, [], now.Voters);
            Assert.Null(MembershipRules.Refusal(now, joint));
            Assert.Null(MembershipRules.Refusal(joint, goal));
            int changed = now.Voters.Except(goal.Voters).Count() + goal.Voters.Except(now.Voters).Count();
            Assert.Equal(changed <= 1, MembershipRules.Refusal(now, goal) is null);
        }
    }

    private static IEnumerable<int> Some(Random random)
    {
        int[] ids = [.. Enumerable.Range(1, 7).Where(_ => random.Next(2) == 0)];
        return ids.Length > 0 ? ids : [1];
    }

    // The highest member that a heartbeat went to in so many ticks.
    private static int Recipients(Solo solo, int ticks)
    {
        int highest = 0;
        for (int i = 0; i < ticks; i++)
        {
            Beats(solo, 1);
            highest = Math.Max(highest, solo.Sent.OfType<Heartbeat>().Select(h => h.To.Value).DefaultIfEmpty().Max());
        }
        return highest;
    }

    private static void Beats(Solo solo, int ticks)
    {
        for (int i = 0; i < ticks; i++)
        {
            solo.Step(new HeartbeatReply { From = Id(2), To = Id(1), Term = solo.Core.Term, ReadToken = 1 });
            solo.Tick();
        }
    }

    private static Entry Change(long index, long term, int[] voters) =>
        new(new Term(term), new LogIndex(index), EntryKind.Membership, 0, MembershipCodec.Encode(TestCluster.Config(voters)));

    private static ProposeOutcome Propose(Solo solo, int[] voters, int[]? learners = null)
    {
        var outcome = ProposeOutcome.NotLeader;
        solo.Turn(core => outcome = core.ProposeMembership(TestCluster.Config(voters, learners), 0, out _));
        return outcome;
    }
}
