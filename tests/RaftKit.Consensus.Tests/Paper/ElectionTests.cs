using RaftKit.Consensus.Tests.Harness;
using static RaftKit.Consensus.Tests.Harness.Solo;

namespace RaftKit.Consensus.Tests.Paper;

/// <summary>Raft 5.1, 5.2 and 5.4.1; thesis 4.2.3, 6.2, 9.6. Each test is a sentence of the paper, its section in the trait.</summary>
public sealed class ElectionTests
{
    [Fact, Trait("Raft", "5.2")]
    public void A_member_starts_as_a_follower() => Assert.Equal(RaftRole.Follower, new Solo().Core.Role);

    [Fact, Trait("Raft", "5.2")]
    public void A_follower_remains_one_as_long_as_it_hears_its_leader()
    {
        var solo = new Solo();
        for (int i = 0; i < 40; i++)
        {
            solo.Step(Beat(2, term: 1));
            solo.Tick(6);
        }
        Assert.Equal(RaftRole.Follower, solo.Core.Role);
        Assert.Equal(Id(2), solo.Core.Leader);
    }

    [Fact, Trait("Raft", "5.2")]
    public void A_follower_that_hears_nothing_campaigns_after_one_to_two_election_timeouts()
    {
        var ticks = new HashSet<int>();
        for (ulong seed = 1; seed <= 60; seed++)
        {
            var solo = new Solo(configure: o => o with { Seed = seed });
            int n = 0;
            for (; solo.Core.Role == RaftRole.Follower; n++)
                solo.Tick();
            Assert.InRange(n, 40, 80);
            ticks.Add(n);
        }
        // Randomized, so that votes are rarely split.
        Assert.True(ticks.Count > 20, $"only {ticks.Count} different timeouts in 60 seeds");
    }

    [Fact, Trait("Raft", "5.2")]
    public void A_candidate_raises_its_term_votes_for_itself_and_asks_everybody_once_both_are_durable()
    {
        var solo = new Solo(members: 5, term: 3);
        solo.Turn(core => core.BecomeCandidate(transfer: false));
        Assert.Equal(new Term(4), solo.Core.Term);
        Assert.Equal(Id(1), solo.Core.Vote);
        Assert.Empty(solo.Sent);
        Assert.Equal([2, 3, 4, 5], solo.Held.Cast<VoteRequest>().Select(v => v.To.Value));
        Assert.Equal(new PersistRequest(new Term(4), Id(1), LogIndex.Zero, Term.Zero), solo.Persist);
    }

    [Fact, Trait("Raft", "5.2")]
    public void A_candidate_wins_with_a_majority_of_the_same_term()
    {
        var solo = new Solo(members: 5);
        solo.Turn(core => core.BecomeCandidate(transfer: false));
        solo.FinishWrites();
        solo.Step(new VoteReply { From = Id(2), To = Id(1), Term = new Term(1), PreVote = false, Granted = true });
        Assert.Equal(RaftRole.Candidate, solo.Core.Role);
        // The same vote again is not another vote.
        solo.Step(new VoteReply { From = Id(2), To = Id(1), Term = new Term(1), PreVote = false, Granted = true });
        Assert.Equal(RaftRole.Candidate, solo.Core.Role);
        solo.Step(new VoteReply { From = Id(3), To = Id(1), Term = new Term(1), PreVote = false, Granted = true });
        Assert.Equal(RaftRole.Leader, solo.Core.Role);
    }

    [Fact, Trait("Raft", "5.2")]
    public void A_vote_of_an_older_term_does_not_count()
    {
        var solo = new Solo(term: 1);
        solo.Turn(core => core.BecomeCandidate(transfer: false));
        solo.FinishWrites();
        solo.Step(new VoteReply { From = Id(2), To = Id(1), Term = new Term(1), PreVote = false, Granted = true });
        Assert.Equal(RaftRole.Candidate, solo.Core.Role);
    }

    [Fact, Trait("Raft", "5.2")]
    public void A_member_votes_once_per_term()
    {
        var solo = new Solo();
        solo.Step(Vote(2, term: 1, 0, 0));
        Assert.True(Assert.IsType<VoteReply>(Assert.Single(solo.Held)).Granted);
        solo.Step(Vote(3, term: 1, 0, 0));
        Assert.False(Assert.IsType<VoteReply>(Assert.Single(solo.Sent)).Granted);
        // Asked again, it says the same again: its answer may have been lost.
        solo.Step(Vote(2, term: 1, 0, 0));
        Assert.True(Assert.IsType<VoteReply>(Assert.Single(solo.Held)).Granted);
    }

    [Fact, Trait("Raft", "5.2")]
    public void A_restarted_member_still_knows_its_vote()
    {
        var solo = new Solo(term: 4, vote: 2);
        solo.Step(Vote(3, term: 4, 0, 0));
        Assert.False(Assert.IsType<VoteReply>(Assert.Single(solo.Sent)).Granted);
    }

    [Fact, Trait("Raft", "5.2")]
    public void A_vote_is_sent_only_with_the_write_that_makes_it_durable()
    {
        var solo = new Solo();
        solo.Step(Vote(2, term: 1, 0, 0));
        Assert.Empty(solo.Sent);
        Assert.Equal(Id(2), solo.Persist!.Vote);
    }

    [Fact, Trait("Raft", "5.2")]
    public void A_candidate_that_hears_the_leader_of_its_term_follows_it()
    {
        var solo = new Solo();
        solo.Turn(core => core.BecomeCandidate(transfer: false));
        solo.Step(Append(2, term: 1, 0, 0, 0, Entry(1, 1)));
        Assert.Equal(RaftRole.Follower, solo.Core.Role);
        Assert.Equal(Id(2), solo.Core.Leader);
        Assert.Equal(new LogIndex(1), solo.Core.LastIndex);
    }

    [Fact, Trait("Raft", "5.2")]
    public void A_candidate_refuses_the_leader_of_an_older_term_and_goes_on()
    {
        var solo = new Solo(term: 5);
        solo.Turn(core => core.BecomeCandidate(transfer: false));
        solo.Step(Append(2, term: 5, 0, 0, 0));
        Assert.Equal(RaftRole.Candidate, solo.Core.Role);
        Assert.Equal(new Term(6), Assert.IsType<AppendReply>(Assert.Single(solo.Sent)).Term);
    }

    [Fact, Trait("Raft", "5.2")]
    public void A_split_vote_is_repeated_soon_in_a_newer_term()
    {
        var solo = new Solo(members: 3);
        solo.Turn(core => core.BecomeCandidate(transfer: false));
        solo.FinishWrites();
        foreach (int peer in new[] { 2, 3 })
            solo.Step(new VoteReply { From = Id(peer), To = Id(1), Term = new Term(1), PreVote = false, Granted = false });
        Assert.Equal(RaftRole.Follower, solo.Core.Role);
        int ticks = 0;
        for (; solo.Core.Role == RaftRole.Follower; ticks++)
            solo.Tick();
        Assert.InRange(ticks, 1, 20);
        Assert.Equal(new Term(2), solo.Sent.OfType<VoteRequest>().First().Term);
    }

    [Theory, Trait("Raft", "5.1")]
    [InlineData(RaftRole.Follower)]
    [InlineData(RaftRole.Candidate)]
    [InlineData(RaftRole.Leader)]
    public void Whoever_meets_a_newer_term_becomes_a_follower_in_it(RaftRole role)
    {
        var solo = new Solo();
        if (role == RaftRole.Candidate)
            solo.Turn(core => core.BecomeCandidate(transfer: false));
        if (role == RaftRole.Leader)
            solo.Lead(2);
        solo.Step(new AppendReply { From = Id(3), To = Id(1), Term = new Term(9), Accepted = false, Index = LogIndex.Zero });
        Assert.Equal(RaftRole.Follower, solo.Core.Role);
        Assert.Equal(new Term(9), solo.Core.Term);
        Assert.True(solo.Core.Vote.IsNone);
        Assert.Equal(new Term(9), solo.Persist!.Term);
    }

    [Fact, Trait("Raft", "5.1")]
    public void A_request_of_an_older_term_is_refused()
    {
        var solo = new Solo(term: 5);
        solo.Step(Append(2, term: 4, 0, 0, 0, Entry(1, 4)));
        var reply = Assert.IsType<AppendReply>(Assert.Single(solo.Sent));
        Assert.False(reply.Accepted);
        Assert.Equal(new Term(5), reply.Term);
        Assert.Equal(LogIndex.Zero, solo.Core.LastIndex);
        solo.Step(Vote(2, term: 4, 9, 4));
        Assert.False(Assert.IsType<VoteReply>(Assert.Single(solo.Sent)).Granted);
    }

    [Theory, Trait("Raft", "5.4.1")]
    [InlineData(3, 2, true)]
    [InlineData(4, 2, true)]
    [InlineData(1, 3, true)]
    [InlineData(2, 2, false)]
    [InlineData(9, 1, false)]
    public void A_vote_goes_only_to_a_log_that_is_at_least_as_up_to_date(long lastIndex, long lastTerm, bool granted)
    {
        Entry[] log = [Entry(1, 1), Entry(2, 2), Entry(3, 2)];
        var solo = new Solo(term: 3, log: log);
        solo.Step(Vote(2, term: 4, lastIndex, lastTerm, pre: true));
        Assert.Equal(granted, solo.Sent.OfType<VoteReply>().Single().Granted);
        solo.Step(Vote(2, term: 4, lastIndex, lastTerm));
        Assert.Equal(granted, solo.Sent.Concat(solo.Held).OfType<VoteReply>().Single().Granted);
        Assert.Equal(new Term(4), solo.Core.Term);
    }

    [Fact, Trait("Thesis", "9.6")]
    public void A_pre_vote_changes_no_term_no_vote_and_no_timer()
    {
        var asked = new Solo(configure: o => o with { Seed = 5 });
        var left = new Solo(configure: o => o with { Seed = 5 });
        int ticks = 0;
        for (; left.Core.Role == RaftRole.Follower; ticks++)
        {
            asked.Step(Vote(2, term: 1, 0, 0, pre: true));
            Assert.True(asked.Sent.OfType<VoteReply>().Single().Granted);
            Assert.Null(asked.Persist);
            Assert.Equal(Term.Zero, asked.Core.Term);
            Assert.True(asked.Core.Vote.IsNone);
            asked.Tick();
            left.Tick();
        }
        Assert.Equal(RaftRole.PreCandidate, asked.Core.Role);
    }

    [Fact, Trait("Thesis", "9.6")]
    public void A_granted_pre_vote_does_not_count_as_a_vote()
    {
        var solo = new Solo();
        solo.Turn(core => core.BecomeCandidate(transfer: false));
        solo.FinishWrites();
        solo.Step(new VoteReply { From = Id(2), To = Id(1), Term = new Term(1), PreVote = true, Granted = true });
        Assert.Equal(RaftRole.Candidate, solo.Core.Role);
    }

    [Fact, Trait("Thesis", "9.6")]
    public void A_pre_candidate_that_learns_a_newer_term_takes_it_and_asks_again_soon()
    {
        var solo = new Solo(term: 3);
        solo.Turn(core => core.BecomePreCandidate());
        solo.Step(new VoteReply { From = Id(2), To = Id(1), Term = new Term(5), PreVote = true, Granted = false });
        Assert.Equal(new Term(5), solo.Core.Term);
        int ticks = 0;
        for (; solo.Core.Role == RaftRole.Follower; ticks++)
            solo.Tick();
        Assert.InRange(ticks, 1, 12);
        Assert.Equal(new Term(6), solo.Sent.OfType<VoteRequest>().First().Term);
    }

    [Fact, Trait("Thesis", "4.2.3")]
    public void Who_heard_its_leader_within_an_election_timeout_refuses_votes_and_keeps_its_term()
    {
        var solo = new Solo();
        solo.Step(Beat(2, term: 1));
        solo.Tick(39);
        foreach (bool pre in new[] { true, false })
        {
            solo.Step(Vote(3, term: 7, 9, 1, pre));
            Assert.False(solo.Sent.OfType<VoteReply>().Single().Granted);
            Assert.Equal(new Term(1), solo.Core.Term);
        }
        solo.Tick();
        solo.Step(Vote(3, term: 7, 9, 1));
        Assert.True(solo.Held.OfType<VoteReply>().Single().Granted);
    }

    [Fact, Trait("Thesis", "3.10")]
    public void A_transfer_is_voted_for_in_spite_of_a_living_leader()
    {
        var solo = new Solo();
        solo.Step(Beat(2, term: 1));
        solo.Step(Vote(3, term: 2, 9, 1, transfer: true));
        Assert.True(solo.Held.OfType<VoteReply>().Single().Granted);
    }

    [Fact, Trait("Thesis", "6.2")]
    public void A_leader_that_no_quorum_answers_for_an_election_timeout_steps_down()
    {
        var solo = new Solo(members: 5);
        solo.Lead(2, 3);
        solo.Tick(39);
        solo.Accept(2, 1);
        solo.Tick();
        Assert.Equal(RaftRole.Follower, solo.Core.Role);
        Assert.True(solo.Core.Leader.IsNone);
    }

    [Fact, Trait("Promise", "6")]
    public void Evidence_of_the_leaders_death_ends_loyalty_to_it_until_it_speaks_again()
    {
        var solo = new Solo(configure: o => o with { EvidenceJitterTicks = 5 });
        solo.Step(Beat(2, term: 1));
        solo.Turn(core => core.PeerDied(Id(3)));
        Assert.Equal(Id(2), solo.Core.Leader);
        solo.Turn(core => core.PeerDied(Id(2)));
        Assert.True(solo.Core.Leader.IsNone);
        solo.Step(Vote(3, term: 2, 0, 0, pre: true));
        Assert.True(solo.Sent.OfType<VoteReply>().Single().Granted);
        solo.Step(Beat(2, term: 1));
        solo.Step(Vote(3, term: 2, 0, 0, pre: true));
        Assert.False(solo.Sent.OfType<VoteReply>().Single().Granted);
    }

    [Fact, Trait("Promise", "6")]
    public void After_evidence_a_pre_vote_follows_within_the_jitter_and_is_repeated_as_fast()
    {
        for (ulong seed = 1; seed <= 20; seed++)
        {
            var solo = new Solo(configure: o => o with { Seed = seed });
            solo.Step(Beat(2, term: 1));
            solo.Turn(core => core.PeerDied(Id(2)));
            int asked = solo.Sent.OfType<VoteRequest>().Count();
            for (int i = 0; i < 30; i++)
            {
                solo.Tick();
                asked += solo.Sent.OfType<VoteRequest>().Count();
                if (i == 1)
                    Assert.True(asked >= 2, $"seed {seed}: nobody asked within two ticks");
            }
            Assert.True(asked >= 2 * 15, $"seed {seed}: only {asked} requests in 30 ticks");
        }
    }

    [Fact, Trait("Promise", "9")]
    public void A_learner_and_a_removed_member_answer_vote_requests()
    {
        foreach (var membership in new[] { TestCluster.Config([2, 3], learners: [1]), TestCluster.Config([2, 3]) })
        {
            var solo = new Solo(membership: membership);
            solo.Step(Vote(2, term: 1, 0, 0));
            Assert.True(solo.Held.OfType<VoteReply>().Single().Granted);
        }
    }

    [Fact, Trait("Raft", "6")]
    public void Who_does_not_vote_never_campaigns()
    {
        foreach (var membership in new[] { TestCluster.Config([2, 3], learners: [1]), TestCluster.Config([2, 3]), Membership.Empty })
        {
            var solo = new Solo(membership: membership);
            solo.Step(Beat(2, term: 1));
            solo.Tick(300);
            Assert.Equal(RaftRole.Follower, solo.Core.Role);
            Assert.True(solo.Core.Leader.IsNone);
            solo.Step(new TimeoutNow { From = Id(2), To = Id(1), Term = new Term(1) });
            Assert.Equal(RaftRole.Follower, solo.Core.Role);
        }
    }

    [Fact]
    public void Two_leaders_in_one_term_stop_this_node()
    {
        var solo = new Solo();
        solo.Lead(2);
        var broken = Assert.Throws<InvariantBrokenException>(() => solo.Step(Append(3, term: 1, 0, 0, 0)));
        Assert.Contains("3 and 1 both lead term 1", broken.Message);
    }

    [Fact]
    public void What_is_not_for_this_member_or_from_nobody_is_ignored()
    {
        var solo = new Solo();
        solo.Step(new VoteReply { From = Id(1), To = Id(1), Term = new Term(9), PreVote = false, Granted = true });
        solo.Step(new VoteReply { From = Id(2), To = Id(3), Term = new Term(9), PreVote = false, Granted = true });
        solo.Step(new VoteReply { From = Id(999), To = Id(1), Term = new Term(9), PreVote = false, Granted = true });
        Assert.Equal(Term.Zero, solo.Core.Term);
    }

    [Fact]
    public void Members_that_are_given_one_seed_still_draw_different_timeouts()
    {
        var drawn = new HashSet<string>();
        for (int member = 1; member <= 7; member++)
        {
            for (uint boot = 1; boot <= 3; boot++)
            {
                var random = new SeededRandom(42, Id(member), boot);
                drawn.Add(string.Join(' ', Enumerable.Range(0, 4).Select(_ => random.Below(40))));
            }
        }
        Assert.Equal(21, drawn.Count);
    }
}
