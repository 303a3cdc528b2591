using RaftKit.Consensus.Tests.Harness;
using static RaftKit.Consensus.Tests.Harness.Solo;

namespace RaftKit.Consensus.Tests.Paper;

/// <summary>Raft 5.3, 5.4.2 and 8, from the leader's and the follower's side.</summary>
public sealed class ReplicationTests
{
    [Fact, Trait("Raft", "8")]
    public void A_leader_opens_its_term_with_an_empty_entry()
    {
        var solo = new Solo();
        solo.Lead(2);
        Assert.Equal(EntryKind.NoOp, Assert.Single(solo.Appended).Kind);
        Assert.All(solo.Sent.OfType<AppendRequest>(), a => Assert.Equal(solo.Appended, a.Entries));
        Assert.Equal(2, solo.Sent.OfType<AppendRequest>().Count());
    }

    [Fact, Trait("Raft", "5.3")]
    public void What_is_proposed_in_one_turn_is_one_append_to_each_peer_and_one_write()
    {
        var solo = new Solo();
        solo.Lead(2);
        solo.Accept(2, 1);
        solo.Accept(3, 1);
        solo.Turn(core =>
        {
            for (int i = 0; i < 100; i++)
                Assert.Equal(ProposeOutcome.Appended, core.Propose(new byte[10], 5, out _));
        });
        Assert.Equal(100, solo.Appended.Count);
        Assert.Equal([100, 100], solo.Sent.OfType<AppendRequest>().Select(a => a.Entries.Count));
        // One array, shared.
        Assert.Same(solo.Sent.OfType<AppendRequest>().First().Entries, solo.Sent.OfType<AppendRequest>().Last().Entries);
    }

    [Fact, Trait("Raft", "5.3")]
    public void An_entry_is_committed_once_a_majority_holds_it_durably()
    {
        var solo = new Solo(members: 5);
        solo.Lead(2, 3);
        solo.Accept(2, 1);
        Assert.Equal(LogIndex.Zero, solo.Core.Commit);
        solo.Accept(3, 1);
        // Two of five, and the leader's own disk is still at it.
        Assert.Equal(LogIndex.Zero, solo.Core.Commit);
        solo.FinishWrites();
        Assert.Equal(new LogIndex(1), solo.Core.Commit);
    }

    [Fact, Trait("Raft", "5.3")]
    public void A_commit_is_told_at_once_when_no_append_carries_it()
    {
        var solo = new Solo();
        solo.Lead(2);
        solo.Accept(2, 1);
        solo.Accept(3, 1);
        solo.Turn(core => core.Propose(new byte[1], 0, out _));
        solo.FinishWrites();
        solo.Accept(2, 2);
        var notice = Assert.IsType<Heartbeat>(Assert.Single(solo.Sent));
        Assert.Equal((2, 2L, 0UL), (notice.To.Value, notice.Commit.Value, notice.ReadToken));
        // Member 3 is not known to hold it: it hears of it with its own acknowledgement.
        solo.Accept(3, 2);
        Assert.Equal(3, Assert.IsType<Heartbeat>(Assert.Single(solo.Sent)).To.Value);
        solo.Turn(_ => { });
        Assert.Empty(solo.Sent);
    }

    [Fact, Trait("Raft", "5.4.2")]
    public void An_older_terms_entry_on_a_majority_is_not_committed_by_counting()
    {
        var solo = new Solo(members: 5, term: 2, log: [Entry(1, 1), Entry(2, 2)]);
        solo.Lead(2, 3);
        solo.FinishWrites();
        solo.Accept(2, 2);
        solo.Accept(3, 2);
        solo.Accept(4, 2);
        Assert.Equal(LogIndex.Zero, solo.Core.Commit);
        solo.Accept(2, 3);
        solo.Accept(3, 3);
        Assert.Equal(new LogIndex(3), solo.Core.Commit);
    }

    [Fact, Trait("Raft", "5.3")]
    public void A_follower_accepts_only_what_follows_an_entry_that_it_holds()
    {
        var solo = new Solo(term: 1, log: [Entry(1, 1)]);
        solo.Step(Append(2, term: 1, 2, 1, 0, Entry(3, 1)));
        Assert.False(solo.Sent.OfType<AppendReply>().Single().Accepted);
        Assert.Null(solo.Persist);
        solo.Step(Append(2, term: 1, 1, 1, 0, Entry(2, 1)));
        Assert.Equal(new LogIndex(2), solo.Held.OfType<AppendReply>().Single(r => r.Accepted).Index);
    }

    [Fact, Trait("Raft", "5.3")]
    public void An_acceptance_is_sent_only_with_the_write_that_makes_it_durable()
    {
        var solo = new Solo();
        solo.Step(Append(2, term: 1, 0, 0, 0, Entry(1, 1, "x")));
        Assert.Empty(solo.Sent);
        Assert.True(Assert.IsType<AppendReply>(Assert.Single(solo.Held)).Accepted);
        Assert.Equal(new LogIndex(1), solo.Persist!.LastIndex);
        // Again, before the write is done: the answer must wait as well.
        solo.Step(Append(2, term: 1, 0, 0, 0, Entry(1, 1, "x")));
        Assert.Empty(solo.Sent);
        Assert.Single(solo.Held);
    }

    [Fact, Trait("Raft", "5.3")]
    public void A_conflicting_suffix_is_cut_and_replaced()
    {
        var solo = new Solo(term: 1, log: [Entry(1, 1), Entry(2, 1), Entry(3, 1)]);
        solo.Step(Append(2, term: 2, 1, 1, 0, Entry(2, 2)));
        Assert.Equal(new LogIndex(2), solo.Cut);
        Assert.Equal(Entry(2, 2), Assert.Single(solo.Appended));
        Assert.Equal(new LogIndex(2), solo.Core.LastIndex);
    }

    [Fact, Trait("Raft", "5.3")]
    public void An_old_append_cuts_nothing_that_came_after_it()
    {
        var solo = new Solo(term: 1);
        solo.Step(Append(2, term: 1, 0, 0, 0, Entry(1, 1), Entry(2, 1), Entry(3, 1)));
        solo.Step(Append(2, term: 1, 0, 0, 0, Entry(1, 1)));
        Assert.Null(solo.Cut);
        Assert.Equal(new LogIndex(3), solo.Core.LastIndex);
        Assert.Equal(new LogIndex(1), solo.Held.OfType<AppendReply>().Single().Index);
    }

    [Fact, Trait("Raft", "5.3")]
    public void What_is_committed_is_never_cut()
    {
        var solo = new Solo(term: 1);
        solo.Step(Append(2, term: 1, 0, 0, 2, Entry(1, 1), Entry(2, 1)));
        Assert.Equal(new LogIndex(2), solo.Core.Commit);
        var broken = Assert.Throws<InvariantBrokenException>(() => solo.Step(Append(3, term: 2, 1, 1, 0, Entry(2, 2), Entry(3, 2))));
        Assert.Contains("cut from 2", broken.Message);
    }

    [Fact, Trait("Raft", "5.3")]
    public void A_follower_commits_no_further_than_what_this_append_matched()
    {
        var solo = new Solo(term: 1, log: [Entry(1, 1), Entry(2, 1), Entry(3, 1)]);
        solo.Step(Append(2, term: 2, 1, 1, 9));
        Assert.Equal(new LogIndex(1), solo.Core.Commit);
        solo.Step(Append(2, term: 2, 1, 1, 9, Entry(2, 2)));
        Assert.Equal(new LogIndex(2), solo.Core.Commit);
    }

    [Fact, Trait("Raft", "5.3")]
    public void Truncating_and_appending_in_one_turn_come_out_as_one()
    {
        var solo = new Solo(term: 1, log: [Entry(1, 1), Entry(2, 1), Entry(3, 1)]);
        solo.Turn(core =>
        {
            core.Step(Append(2, term: 2, 2, 1, 0, Entry(3, 2), Entry(4, 2)));
            core.Step(Append(3, term: 3, 1, 1, 0, Entry(2, 3)));
        });
        Assert.Equal(new LogIndex(2), solo.Cut);
        Assert.Equal(Entry(2, 3), Assert.Single(solo.Appended));
        // What was promised for entries that were cut in the same turn is not sent.
        Assert.Equal(new LogIndex(2), solo.Held.OfType<AppendReply>().Single().Index);
        Assert.Equal(new PersistRequest(new Term(3), MemberId.None, new LogIndex(2), new Term(3)), solo.Persist);
    }

    [Fact, Trait("Raft", "5.3")]
    public void Entries_that_no_leader_could_have_sent_are_ignored()
    {
        var solo = new Solo(term: 1, log: [Entry(1, 1)]);
        solo.Step(Append(2, term: 1, 1, 1, 0, Entry(3, 1)));
        solo.Step(Append(2, term: 1, 1, 1, 0, Entry(2, 5)));
        solo.Step(Append(2, term: 1, 1, 1, 0, new Entry(new Term(1), new LogIndex(2), EntryKind.Membership, 0, new byte[] { 1 })));
        Assert.Equal(new LogIndex(1), solo.Core.LastIndex);
        Assert.Empty(solo.Held);
    }

    [Fact, Trait("Raft", "5.3")]
    public void A_refusal_names_the_last_place_where_the_logs_may_agree()
    {
        var solo = new Solo(term: 4, log: [Entry(1, 1), Entry(2, 1), Entry(3, 3), Entry(4, 3), Entry(5, 3)]);
        solo.Step(Append(2, term: 4, 9, 2, 0));
        var refusal = solo.Sent.OfType<AppendReply>().Single();
        Assert.Equal((9L, 2L, 1L), (refusal.Index.Value, refusal.HintIndex.Value, refusal.HintTerm.Value));
    }

    [Fact, Trait("Raft", "5.3")]
    public void A_leader_backs_off_by_whole_terms()
    {
        Entry[] log =
            [Entry(1, 1), .. Enumerable.Range(2, 50).Select(i => Entry(i, 2)), .. Enumerable.Range(52, 50).Select(i => Entry(i, 5))];
        var solo = new Solo(term: 5, log: log);
        solo.Lead(2);
        Assert.Equal(new LogIndex(101), solo.Sent.OfType<AppendRequest>().First().PreviousIndex);
        solo.Step(new AppendReply
        {
            From = Id(2), To = Id(1), Term = new Term(6), Accepted = false, Index = new LogIndex(101), HintIndex = new LogIndex(90),
            HintTerm = new Term(3),
        });
        Assert.Equal(new LogIndex(51), solo.Sent.OfType<AppendRequest>().Single().PreviousIndex);
    }

    [Fact, Trait("Raft", "5.3")]
    public void Appends_are_pipelined_up_to_the_window_and_go_on_with_each_answer()
    {
        var solo = new Solo(configure: o => o with { MaxInflightMessages = 3 });
        solo.Lead(2);
        solo.Accept(2, 1);
        int sent = 0;
        for (int i = 0; i < 5; i++)
        {
            solo.Turn(core => core.Propose(new byte[1], 0, out _));
            sent += solo.Sent.OfType<AppendRequest>().Count(a => a.To == Id(2));
        }
        Assert.Equal(3, sent);
        solo.Accept(2, 2);
        Assert.Equal(2, solo.Sent.OfType<AppendRequest>().Single(a => a.To == Id(2)).Entries.Count);
    }

    [Fact, Trait("Raft", "5.3")]
    public void A_window_is_bounded_in_bytes_and_a_message_too()
    {
        var solo = new Solo(configure: o => o with { MaxInflightBytes = 300, MaxAppendBytes = 150 });
        solo.Lead(2);
        solo.Accept(2, 1);
        solo.Turn(core =>
        {
            for (int i = 0; i < 6; i++)
                core.Propose(new byte[100], 0, out _);
        });
        // An entry of 100 bytes weighs more with its header: one in each message, and three messages fill the window.
        Assert.Equal([1, 1, 1], solo.Sent.OfType<AppendRequest>().Where(a => a.To == Id(2)).Select(a => a.Entries.Count));
    }

    [Fact, Trait("Raft", "5.3")]
    public void A_broken_link_starts_the_pipeline_over_with_a_probe()
    {
        var solo = new Solo();
        solo.Lead(2);
        solo.Accept(2, 1);
        for (int i = 0; i < 3; i++)
            solo.Turn(core => core.Propose(new byte[1], 0, out _));
        solo.Turn(core => core.PeerUnreachable(Id(2)));
        Assert.Equal(new LogIndex(1), solo.Sent.OfType<AppendRequest>().Single().PreviousIndex);
        solo.Turn(core => core.Propose(new byte[1], 0, out _));
        Assert.DoesNotContain(solo.Sent, m => m is AppendRequest && m.To == Id(2));
    }

    [Fact, Trait("Raft", "5.3")]
    public void An_acceptance_beyond_the_leaders_log_is_ignored()
    {
        var solo = new Solo();
        solo.Lead(2);
        solo.FinishWrites();
        solo.Accept(2, 99);
        Assert.Equal(LogIndex.Zero, solo.Core.Commit);
    }

    [Fact, Trait("Raft", "5.3")]
    public void A_heartbeat_never_names_a_commit_beyond_what_the_peer_is_known_to_hold()
    {
        var solo = new Solo();
        solo.Lead(2);
        solo.FinishWrites();
        solo.Accept(2, 1);
        solo.Tick(6);
        Assert.Equal([(2, 1L), (3, 0L)], solo.Sent.OfType<Heartbeat>().Select(h => (h.To.Value, h.Commit.Value)));
    }

    [Fact]
    public void A_proposal_elsewhere_than_at_the_leader_is_surely_not_appended()
    {
        var solo = new Solo();
        Assert.Equal(ProposeOutcome.NotLeader, solo.Core.Propose(new byte[1], 0, out _));
        Assert.Equal(LogIndex.Zero, solo.Core.LastIndex);
    }

    [Fact]
    public void Stamps_never_go_back()
    {
        var solo = new Solo();
        solo.Lead(2);
        solo.Turn(core =>
        {
            core.Propose(default, 100, out _);
            core.Propose(default, 50, out _);
            core.Propose(default, 101, out _);
        });
        Assert.Equal([100L, 100L, 101L], solo.Appended.Select(e => e.Stamp));
        Assert.Equal(101, solo.Core.LastStamp);
    }

    [Fact]
    public void A_completion_for_an_overwritten_suffix_counts_for_nothing_even_if_the_entry_came_back()
    {
        var solo = new Solo(term: 1, log: [Entry(1, 1)]);
        solo.Step(Append(2, term: 2, 1, 1, 0, Entry(2, 2)));
        var first = solo.Persist!;
        solo.Step(Append(3, term: 3, 1, 1, 0, Entry(2, 3)));
        solo.Step(Append(2, term: 4, 1, 1, 0, Entry(2, 2)));
        var third = solo.Persist!;
        solo.Turn(core => core.Persisted(first));
        // The same entry is back, but a crash now could lose it: its second write is not done.
        Assert.Equal(new LogIndex(1), solo.Core.Durable);
        solo.Turn(core => core.Persisted(third));
        Assert.Equal(new LogIndex(2), solo.Core.Durable);
    }
}
