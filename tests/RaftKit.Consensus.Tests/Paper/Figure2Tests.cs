using RaftKit.Consensus.Tests.Harness;
using static RaftKit.Consensus.Tests.Harness.Solo;

namespace RaftKit.Consensus.Tests.Paper;

/// <summary>Raft, figure 2: what its boxes say beyond the sentences of 5.1 to 5.4 that the other classes of this folder test.</summary>
public sealed class Figure2Tests
{
    [Fact, Trait("Raft", "figure 2")]
    public void A_first_start_knows_no_term_no_vote_no_entry_and_no_commit()
    {
        var core = new Solo().Core;
        Assert.Equal((Term.Zero, MemberId.None), (core.Term, core.Vote));
        Assert.Equal((LogIndex.Zero, LogIndex.Zero, LogIndex.Zero), (core.LastIndex, core.Commit, core.Applied));
        Assert.Equal(new LogIndex(1), core.FirstIndex);
    }

    [Fact, Trait("Raft", "figure 2")]
    public void The_term_only_grows_and_each_new_one_begins_without_a_vote()
    {
        var solo = new Solo();
        solo.Step(Vote(2, term: 5, 0, 0));
        Assert.Equal((new Term(5), Id(2)), (solo.Core.Term, solo.Core.Vote));
        solo.Step(Append(3, term: 4, 0, 0, 0, Entry(1, 4)));
        Assert.Equal(new Term(5), solo.Core.Term);
        solo.Step(Append(3, term: 6, 0, 0, 0, Entry(1, 6)));
        Assert.Equal((new Term(6), MemberId.None), (solo.Core.Term, solo.Core.Vote));
        Assert.Equal(new PersistRequest(new Term(6), MemberId.None, new LogIndex(1), new Term(6)), solo.Persist);
    }

    [Fact, Trait("Raft", "figure 2")]
    public void The_first_entry_of_a_log_has_index_one_and_each_has_its_leaders_term()
    {
        var solo = new Solo(term: 6);
        solo.Lead(2);
        Assert.Equal((1L, 7L), (solo.Appended[0].Index.Value, solo.Appended[0].Term.Value));
        solo.Turn(core => core.Propose(new byte[1], 0, out _));
        Assert.Equal((2L, 7L), (solo.Appended[0].Index.Value, solo.Appended[0].Term.Value));
    }

    [Fact, Trait("Raft", "figure 2")]
    public void What_is_committed_never_falls_though_a_leader_knows_of_less()
    {
        var solo = new Solo();
        solo.Step(Append(2, term: 1, 0, 0, 3, Entry(1, 1), Entry(2, 1), Entry(3, 1)));
        Assert.Equal(new LogIndex(3), solo.Core.Commit);
        // A new leader learns only with its first own entry what is committed.
        solo.Step(Append(3, term: 2, 3, 1, 1, Entry(4, 2)));
        solo.Step(Beat(3, term: 2, commit: 2));
        Assert.Equal(new LogIndex(3), solo.Core.Commit);
    }

    [Fact, Trait("Raft", "figure 2")]
    public void A_new_leader_assumes_that_everybody_has_its_log_and_knows_that_nobody_has()
    {
        var solo = new Solo(members: 5, term: 2, log: [Entry(1, 1), Entry(2, 2), Entry(3, 2)]);
        solo.Lead(2, 3);
        Assert.All(solo.Sent.OfType<AppendRequest>(), a => Assert.Equal((3L, 2L), (a.PreviousIndex.Value, a.PreviousTerm.Value)));
        Assert.All(new[] { 2, 3, 4, 5 }, peer => Assert.Equal(LogIndex.Zero, solo.Core.MatchOf(Id(peer))));
    }

    [Fact, Trait("Raft", "figure 2")]
    public void Whatever_a_leader_sends_tells_a_follower_who_leads()
    {
        var mark = new SnapshotMark(new LogIndex(9), new Term(1), 0, TestCluster.Config([1, 2, 3]), 50);
        Message[] messages =
        [
            Append(3, term: 1, 0, 0, 0, Entry(1, 1)),
            Append(3, term: 1, 8, 1, 0),
            Beat(3, term: 1),
            new SnapshotChunk { From = Id(3), To = Id(1), Term = new Term(1), Snapshot = mark, Offset = 0, Data = new byte[10],
                Checksum = 0 },
        ];
        foreach (var message in messages)
        {
            var solo = new Solo();
            solo.Step(message);
            Assert.Equal((Id(3), new Term(1)), (solo.Core.Leader, solo.Core.Term));
        }
    }

    [Fact, Trait("Raft", "figure 2")]
    public void An_append_names_what_precedes_its_entries_and_what_is_committed()
    {
        var solo = Solo.Leading();
        solo.Turn(core => core.Propose(new byte[1], 0, out _));
        var append = solo.Sent.OfType<AppendRequest>().Single(a => a.To == Id(2));
        Assert.Equal((1L, 1L, 1L, 1L), (append.PreviousIndex.Value, append.PreviousTerm.Value, append.Commit.Value, append.Term.Value));
        Assert.Equal([Entry(2, 1).Index], append.Entries.Select(e => e.Index));
    }

    [Fact, Trait("Raft", "figure 2")]
    public void Entries_that_are_there_already_are_not_appended_again()
    {
        var solo = new Solo(term: 1, log: [Entry(1, 1), Entry(2, 1)]);
        solo.Step(Append(2, term: 1, 0, 0, 0, Entry(1, 1), Entry(2, 1), Entry(3, 1), Entry(4, 1)));
        Assert.Null(solo.Cut);
        Assert.Equal([3L, 4L], solo.Appended.Select(e => e.Index.Value));
        Assert.Equal(new LogIndex(4), solo.Held.OfType<AppendReply>().Single().Index);
    }

    [Fact, Trait("Raft", "figure 2")]
    public void An_append_without_entries_changes_no_log_and_may_commit()
    {
        var solo = new Solo(term: 1, log: [Entry(1, 1), Entry(2, 1)]);
        solo.Step(Append(2, term: 1, 2, 1, 2));
        Assert.Null(solo.Persist);
        Assert.Equal((2L, 2L), (solo.Core.LastIndex.Value, solo.Core.Commit.Value));
    }

    [Fact, Trait("Raft", "figure 2")]
    public void A_vote_request_names_its_term_and_the_end_of_its_log()
    {
        var solo = new Solo(term: 4, log: [Entry(1, 1), Entry(2, 3), Entry(3, 3)]);
        solo.Turn(core => core.BecomeCandidate(transfer: false));
        Assert.All(
            solo.Held.Cast<VoteRequest>(),
            v => Assert.Equal((5L, 3L, 3L, 1), (v.Term.Value, v.LastIndex.Value, v.LastTerm.Value, v.From.Value)));
        Assert.Equal(2, solo.Held.Count);
    }

    [Fact, Trait("Raft", "figure 2")]
    public void Committed_entries_are_given_out_in_order_each_once_and_no_others()
    {
        var solo = new Solo();
        solo.Step(Append(2, term: 1, 0, 0, 3, Entry(1, 1), Entry(2, 1, "a"), Entry(3, 1, "b"), Entry(4, 1, "c")));
        List<Entry> read = [];
        solo.Core.ReadCommitted(new LogIndex(1), 1 << 20, read);
        Assert.Equal([1L, 2L, 3L], read.Select(e => e.Index.Value));
        solo.Core.AppliedTo(new LogIndex(3));
        read.Clear();
        solo.Core.ReadCommitted(solo.Core.Applied.Next, 1 << 20, read);
        Assert.Empty(read);
        Assert.Throws<InvariantBrokenException>(() => solo.Core.AppliedTo(new LogIndex(4)));
        Assert.Throws<InvariantBrokenException>(() => solo.Core.AppliedTo(new LogIndex(2)));
    }

    [Theory, Trait("Raft", "figure 2")]
    [InlineData(true)]
    [InlineData(false)]
    public void Giving_a_vote_puts_the_own_campaign_off_and_refusing_one_does_not(bool gives)
    {
        var solo = new Solo(term: 1, log: [Entry(1, 1)], configure: o => o with { Seed = 3 });
        var left = new Solo(term: 1, log: [Entry(1, 1)], configure: o => o with { Seed = 3 });
        while (left.Core.Role == RaftRole.Follower)
        {
            solo.Step(Vote(2, term: 2 + solo.Core.Term.Value, gives ? 1 : 0, gives ? 1 : 0));
            Assert.Equal(gives, solo.Core.Vote == Id(2));
            solo.Tick();
            left.Tick();
        }
        Assert.Equal(gives ? RaftRole.Follower : RaftRole.PreCandidate, solo.Core.Role);
    }

    [Fact, Trait("Raft", "figure 2")]
    public void A_candidate_that_nobody_answers_starts_over_after_its_timeout_and_asks_first()
    {
        var solo = new Solo();
        solo.Turn(core => core.BecomeCandidate(transfer: false));
        solo.FinishWrites();
        int ticks = 0;
        for (; solo.Core.Role == RaftRole.Candidate; ticks++)
            solo.Tick();
        Assert.InRange(ticks, 40, 80);
        Assert.Equal(RaftRole.PreCandidate, solo.Core.Role);
        // Thesis 9.6: the next term begins only when a majority would elect it.
        Assert.All(solo.Sent.OfType<VoteRequest>(), v => Assert.True(v.PreVote && v.Term == new Term(2)));
        Assert.Equal(new Term(1), solo.Core.Term);
    }

    [Fact, Trait("Raft", "figure 2")]
    public void A_new_leader_speaks_to_everybody_at_once_and_then_with_every_heartbeat()
    {
        var solo = new Solo(members: 5);
        solo.Lead(2, 3);
        Assert.Equal([2, 3, 4, 5], solo.Sent.OfType<Heartbeat>().Select(h => h.To.Value));
        for (int i = 0; i < 4; i++)
        {
            solo.Tick(5);
            Assert.Empty(solo.Sent.OfType<Heartbeat>());
            solo.Tick();
            Assert.Equal([2, 3, 4, 5], solo.Sent.OfType<Heartbeat>().Select(h => h.To.Value));
        }
    }

    [Fact, Trait("Raft", "figure 2")]
    public void An_acceptance_moves_match_and_next_and_a_late_one_takes_nothing_back()
    {
        var solo = Solo.Leading();
        solo.Turn(core =>
        {
            core.Propose(new byte[1], 0, out _);
            core.Propose(new byte[1], 0, out _);
        });
        solo.Accept(2, 3);
        Assert.Equal(new LogIndex(3), solo.Core.MatchOf(Id(2)));
        solo.Accept(2, 2);
        Assert.Equal(new LogIndex(3), solo.Core.MatchOf(Id(2)));
        solo.Turn(core => core.Propose(new byte[1], 0, out _));
        Assert.Equal(new LogIndex(3), solo.Sent.OfType<AppendRequest>().Single(a => a.To == Id(2)).PreviousIndex);
    }

    [Fact, Trait("Raft", "figure 3")]
    public void A_leader_appends_only_whatever_older_leaders_send_it()
    {
        var solo = new Solo(term: 3, log: [Entry(1, 1), Entry(2, 3)]);
        solo.Lead(2);
        solo.Step(Append(3, term: 3, 1, 1, 0, Entry(2, 2)));
        Assert.Null(solo.Cut);
        Assert.Equal((3L, 4L), (solo.Core.LastIndex.Value, solo.Core.LastTerm.Value));
        Assert.Equal(RaftRole.Leader, solo.Core.Role);
        Assert.Throws<InvariantBrokenException>(() => solo.Core.CutFrom(new LogIndex(2)));
    }

    [Fact, Trait("Raft", "5.3")]
    public void A_commit_covers_all_entries_before_it_those_of_earlier_leaders_too()
    {
        var solo = new Solo(term: 2, log: [Entry(1, 1, "a"), Entry(2, 2, "b")]);
        solo.Lead(2);
        solo.FinishWrites();
        solo.Accept(2, 3);
        Assert.Equal(new LogIndex(3), solo.Core.Commit);
        List<Entry> read = [];
        solo.Core.ReadCommitted(new LogIndex(1), 1 << 20, read);
        Assert.Equal([1L, 2L, 3L], read.Select(e => e.Index.Value));
        Assert.Equal([1L, 2L, 3L], read.Select(e => e.Term.Value));
    }

    [Fact, Trait("Raft", "5.3")]
    public void A_refused_append_is_repeated_further_back_until_the_logs_agree()
    {
        var solo = new Solo(term: 4, log: [Entry(1, 1), Entry(2, 2), Entry(3, 3), Entry(4, 4)]);
        solo.Lead(2);
        long[] previous = [.. Refusals(solo, [(4, 3, 3), (3, 2, 1), (1, 0, 0)])];
        Assert.Equal([3L, 1L, 0L], previous);
        solo.Accept(3, 5);
        Assert.Equal(new LogIndex(5), solo.Core.MatchOf(Id(3)));
    }

    [Fact, Trait("Raft", "5.5")]
    public void What_is_lost_is_sent_again_for_as_long_as_it_takes()
    {
        var solo = Solo.Leading();
        solo.Turn(core => core.Propose(new byte[1], 0, out _));
        solo.Accept(2, 2);
        for (int life = 0; life < 20; life++)
        {
            solo.Turn(core => core.PeerUnreachable(Id(3)));
            var append = solo.Sent.OfType<AppendRequest>().Single(a => a.To == Id(3));
            Assert.Equal(append.PreviousIndex.Value + append.Entries.Count, solo.Core.LastIndex.Value);
        }
    }

    [Fact, Trait("Raft", "5.6")]
    public void An_election_timeout_holds_several_heartbeats_so_that_a_lost_one_elects_nobody()
    {
        var options = new RaftCoreOptions { Self = Id(1), Seed = 1 };
        Assert.InRange(options.ElectionTicks, 5 * options.HeartbeatTicks, int.MaxValue);
        Assert.True(options.EvidenceJitterTicks < options.HeartbeatTicks);
    }

    private static IEnumerable<long> Refusals(Solo solo, (long Previous, long Hint, long HintTerm)[] refusals)
    {
        foreach (var (previous, hint, hintTerm) in refusals)
        {
            solo.Step(new AppendReply
            {
                From = Id(3), To = Id(1), Term = solo.Core.Term, Accepted = false,
                Index = new LogIndex(previous), HintIndex = new LogIndex(hint), HintTerm = new Term(hintTerm),
            });
            yield return solo.Sent.OfType<AppendRequest>().Single(a => a.To == Id(3)).PreviousIndex.Value;
        }
    }
}
