using RaftKit.Consensus.Tests.Harness;
using static RaftKit.Consensus.Tests.Harness.Solo;

namespace RaftKit.Consensus.Tests.Paper;

/// <summary>Raft 8, thesis 6.4 and 3.10: the steps of a read index and of a transfer, one by one.</summary>
public sealed class ReadAndTransferTests
{
    [Fact, Trait("Thesis", "6.4")]
    public void A_read_index_is_what_was_committed_when_it_was_asked()
    {
        var solo = Leading();
        solo.Turn(core => core.ReadIndex(1));
        ulong round = solo.Sent.OfType<Heartbeat>().First().ReadToken;
        solo.Turn(core => core.Propose(new byte[1], 0, out _));
        solo.FinishWrites();
        solo.Accept(2, 2);
        Assert.Equal(new LogIndex(2), solo.Core.Commit);
        Confirm(solo, 3, round);
        Assert.Equal(new ReadGrant(1, new LogIndex(1), Refused: false), Assert.Single(solo.Reads));
    }

    [Fact, Trait("Thesis", "6.4")]
    public void A_round_takes_a_majority_and_answers_of_one_member_are_one()
    {
        var solo = Leading(members: 5, 2, 3);
        solo.Turn(core => core.ReadIndex(1));
        ulong round = solo.Sent.OfType<Heartbeat>().First().ReadToken;
        Confirm(solo, 2, round);
        Confirm(solo, 2, round);
        Assert.Empty(solo.Reads);
        Confirm(solo, 4, round);
        Assert.Single(solo.Reads);
    }

    [Fact, Trait("Thesis", "6.4")]
    public void A_round_that_began_before_a_read_says_nothing_about_it()
    {
        var solo = Leading();
        solo.Tick(6);
        ulong before = solo.Sent.OfType<Heartbeat>().First().ReadToken;
        solo.Turn(core => core.ReadIndex(1));
        Confirm(solo, 2, before);
        Assert.Empty(solo.Reads);
        Confirm(solo, 2, before + 1);
        Assert.Single(solo.Reads);
    }

    [Fact, Trait("Thesis", "6.4")]
    public void A_leader_alone_in_its_cluster_reads_at_once()
    {
        var solo = new Solo(members: 1);
        solo.Tick();
        solo.FinishWrites();
        solo.FinishWrites();
        solo.Turn(core => core.ReadIndex(1));
        Assert.Equal(new ReadGrant(1, new LogIndex(1), Refused: false), Assert.Single(solo.Reads));
    }

    [Fact, Trait("Thesis", "6.4")]
    public void A_followers_request_is_answered_only_when_its_round_is_confirmed()
    {
        var solo = Leading();
        solo.Step(new ReadIndexRequest { From = Id(3), To = Id(1), Term = solo.Core.Term, Token = 77 });
        Assert.Empty(solo.Sent.OfType<ReadIndexReply>());
        ulong round = solo.Sent.OfType<Heartbeat>().First().ReadToken;
        Confirm(solo, 2, round);
        var reply = Assert.Single(solo.Sent.OfType<ReadIndexReply>());
        Assert.Equal((3, 77UL, false, 1L), (reply.To.Value, reply.Token, reply.Refused, reply.Index.Value));
    }

    [Fact, Trait("Thesis", "6.4")]
    public void An_answer_of_somebody_who_does_not_lead_is_not_believed()
    {
        var solo = new Solo();
        solo.Step(Beat(2, term: 1));
        solo.Turn(core => core.ReadIndex(1));
        ulong token = solo.Sent.OfType<ReadIndexRequest>().Single().Token;
        solo.Step(new ReadIndexReply { From = Id(3), To = Id(1), Term = new Term(1), Token = token, Refused = false,
            Index = new LogIndex(9) });
        Assert.Empty(solo.Reads);
    }

    [Fact, Trait("Raft", "8")]
    public void A_leader_that_a_newer_term_deposed_answers_none_of_its_reads()
    {
        var solo = Leading();
        solo.Turn(core => core.ReadIndex(1));
        solo.Step(new ReadIndexRequest { From = Id(3), To = Id(1), Term = solo.Core.Term, Token = 77 });
        solo.Step(Append(2, term: 5, 1, 1, 1, Entry(2, 5)));
        Assert.True(solo.Reads.Single().Refused);
        Assert.True(solo.Sent.OfType<ReadIndexReply>().Single().Refused);
    }

    [Fact, Trait("Raft", "8")]
    public void A_leader_does_not_know_what_is_committed_before_the_first_entry_of_its_term_is()
    {
        var solo = new Solo(term: 2, log: [Entry(1, 1), Entry(2, 2)]);
        solo.Lead(2);
        solo.FinishWrites();
        solo.Accept(2, 2);
        Assert.False(solo.Core.HasCommittedInTerm);
        Assert.Equal(LogIndex.Zero, solo.Core.Commit);
        solo.Accept(2, 3);
        Assert.True(solo.Core.HasCommittedInTerm);
        Assert.Equal(new LogIndex(3), solo.Core.Commit);
    }

    [Fact, Trait("Thesis", "3.10")]
    public void While_a_transfer_lasts_nothing_is_taken_and_reads_still_are()
    {
        var solo = Leading();
        solo.Turn(core => core.TransferLeadership(Id(3)));
        Assert.Equal(ProposeOutcome.Busy, solo.Core.Propose(new byte[1], 0, out _));
        Assert.Equal(ProposeOutcome.Busy, solo.Core.ProposeMembership(TestCluster.Config([1, 2]), 0, out _));
        solo.Turn(core => core.ReadIndex(1));
        Confirm(solo, 2, solo.Sent.OfType<Heartbeat>().First().ReadToken);
        Assert.False(Assert.Single(solo.Reads).Refused);
    }

    [Fact, Trait("Thesis", "3.10")]
    public void The_target_is_told_once_it_has_everything_and_again_with_each_heartbeat()
    {
        var solo = Leading();
        solo.Turn(core => core.Propose(new byte[1], 0, out _));
        solo.Turn(core => core.TransferLeadership(Id(2)));
        solo.Tick(6);
        Assert.Empty(solo.Sent.OfType<TimeoutNow>());
        solo.Accept(2, 2);
        Assert.Single(solo.Sent.OfType<TimeoutNow>());
        solo.Tick(5);
        Assert.Empty(solo.Sent.OfType<TimeoutNow>());
        solo.Tick();
        Assert.Equal(2, Assert.Single(solo.Sent.OfType<TimeoutNow>()).To.Value);
    }

    [Fact, Trait("Thesis", "3.10")]
    public void A_transfer_is_given_up_after_an_election_timeout_and_the_leader_goes_on()
    {
        var solo = Leading();
        solo.Turn(core => core.TransferLeadership(Id(3)));
        for (int i = 0; i < 40; i++)
        {
            Assert.Equal(Id(3), solo.Core.TransferTarget);
            solo.Step(new HeartbeatReply { From = Id(2), To = Id(1), Term = solo.Core.Term, ReadToken = 1 });
            solo.Tick();
        }
        Assert.True(solo.Core.TransferTarget.IsNone);
        Assert.Equal(ProposeOutcome.Appended, solo.Core.Propose(new byte[1], 0, out _));
    }

    [Fact, Trait("Thesis", "3.10")]
    public void A_former_leader_votes_for_its_successor_whose_term_is_newer()
    {
        var solo = Leading();
        solo.Turn(core => core.TransferLeadership(Id(3)));
        solo.Step(Vote(3, term: 2, 1, 1, transfer: true));
        Assert.Equal((RaftRole.Follower, 2L, 3), (solo.Core.Role, solo.Core.Term.Value, solo.Core.Vote.Value));
        Assert.True(solo.Held.OfType<VoteReply>().Single().Granted);
    }

    [Fact, Trait("Thesis", "3.10")]
    public void A_word_to_campaign_of_an_older_term_changes_nothing()
    {
        var solo = new Solo(term: 4);
        solo.Step(new TimeoutNow { From = Id(2), To = Id(1), Term = new Term(3) });
        Assert.Equal((RaftRole.Follower, 4L), (solo.Core.Role, solo.Core.Term.Value));
        Assert.Empty(solo.Held);
    }

    [Fact, Trait("Thesis", "6.2")]
    public void Answers_of_a_quorum_keep_a_leader_however_slow_their_disks()
    {
        var solo = Leading(members: 5, 2, 3);
        for (int i = 0; i < 400; i++)
        {
            if (i % 39 == 0)
            {
                Confirm(solo, 2, 1);
                Confirm(solo, 3, 1);
            }
            solo.Tick();
        }
        Assert.Equal(RaftRole.Leader, solo.Core.Role);
    }

    private static void Confirm(Solo solo, int peer, ulong round) =>
        solo.Step(new HeartbeatReply { From = Id(peer), To = Id(1), Term = solo.Core.Term, ReadToken = round });

    private static Solo Leading(int members = 3, params int[] voters)
    {
        var solo = new Solo(members);
        int[] voting = voters.Length > 0 ? voters : [2];
        solo.Lead(voting);
        solo.FinishWrites();
        foreach (int peer in voting)
            solo.Accept(peer, 1);
        Assert.True(solo.Core.HasCommittedInTerm);
        return solo;
    }
}
