using RaftKit.Consensus.Tests.Harness;
using static RaftKit.Consensus.Tests.Harness.Solo;

namespace RaftKit.Consensus.Tests.Paper;

/// <summary>Reads (Raft 8, thesis 6.4), leadership transfer (thesis 3.10), membership (Raft 6) and snapshots (Raft 7).</summary>
public sealed class ServiceTests
{
    [Fact, Trait("Thesis", "6.4")]
    public void Reads_of_one_turn_share_one_round_that_no_other_turn_uses()
    {
        var solo = Leading();
        solo.Turn(core =>
        {
            core.ReadIndex(1);
            core.ReadIndex(2);
        });
        ulong first = solo.Sent.OfType<Heartbeat>().Select(h => h.ReadToken).Distinct().Single();
        solo.Turn(core => core.ReadIndex(3));
        ulong second = solo.Sent.OfType<Heartbeat>().Select(h => h.ReadToken).Distinct().Single();
        Assert.NotEqual(first, second);
        solo.Step(new HeartbeatReply { From = Id(2), To = Id(1), Term = solo.Core.Term, ReadToken = first });
        Assert.Equal([1UL, 2UL], solo.Reads.Select(r => r.Token));
        Assert.All(solo.Reads, r => Assert.Equal((1L, false), (r.Index.Value, r.Refused)));
    }

    [Fact, Trait("Thesis", "6.4")]
    public void An_answer_with_a_round_that_never_was_confirms_nothing()
    {
        var solo = Leading();
        solo.Turn(core => core.ReadIndex(1));
        solo.Step(new HeartbeatReply { From = Id(2), To = Id(1), Term = solo.Core.Term, ReadToken = ulong.MaxValue });
        Assert.Empty(solo.Reads);
    }

    [Fact, Trait("Thesis", "6.4")]
    public void A_learner_confirms_no_read()
    {
        var solo = new Solo(membership: TestCluster.Config([1, 2, 3], learners: [4]));
        solo.Lead(2);
        solo.FinishWrites();
        solo.Accept(2, 1);
        solo.Turn(core => core.ReadIndex(1));
        ulong round = solo.Sent.OfType<Heartbeat>().First().ReadToken;
        solo.Step(new HeartbeatReply { From = Id(4), To = Id(1), Term = solo.Core.Term, ReadToken = round });
        Assert.Empty(solo.Reads);
        solo.Step(new HeartbeatReply { From = Id(3), To = Id(1), Term = solo.Core.Term, ReadToken = round });
        Assert.Single(solo.Reads);
    }

    [Fact, Trait("Thesis", "6.4")]
    public void A_leader_refuses_reads_before_its_first_commit_and_when_it_loses_its_term()
    {
        var solo = new Solo();
        solo.Lead(2);
        solo.Turn(core => core.ReadIndex(1));
        Assert.True(Assert.Single(solo.Reads).Refused);
        solo.FinishWrites();
        solo.Accept(2, 1);
        solo.Turn(core => core.ReadIndex(2));
        solo.Step(Beat(3, term: 9));
        Assert.True(solo.Reads.Single(r => r.Token == 2).Refused);
    }

    [Fact, Trait("Thesis", "6.4")]
    public void A_followers_read_is_answered_by_the_leader_or_refused_after_an_election_timeout()
    {
        var solo = new Solo(configure: o => o with { Boot = 7 });
        solo.Step(Beat(2, term: 1));
        solo.Turn(core =>
        {
            core.ReadIndex(1);
            core.ReadIndex(2);
        });
        var request = solo.Sent.OfType<ReadIndexRequest>().Single();
        // A former life of this member cannot have used this number.
        Assert.Equal(7UL, request.Token >> 32);
        var reply =
            new ReadIndexReply { From = Id(2), To = Id(1), Term = new Term(1), Token = request.Token, Refused = false,
            Index = new LogIndex(5) };
        solo.Step(reply);
        Assert.Equal([new ReadGrant(1, new LogIndex(5), false, Term: new Term(1)), new ReadGrant(2, new LogIndex(5), false, Term: new Term(1))], solo.Reads);
        solo.Step(reply);
        Assert.Equal(2, solo.Reads.Count);

        solo.Turn(core => core.ReadIndex(3));
        for (int i = 0; i < 40; i++)
        {
            solo.Step(Beat(2, term: 1));
            solo.Tick();
        }
        Assert.True(solo.Reads.Single(r => r.Token == 3).Refused);
    }

    [Fact, Trait("Thesis", "6.4")]
    public void A_followers_read_is_refused_when_its_leader_changes()
    {
        var solo = new Solo();
        solo.Step(Beat(2, term: 1));
        solo.Turn(core => core.ReadIndex(1));
        solo.Step(Beat(3, term: 2));
        Assert.True(Assert.Single(solo.Reads).Refused);
    }

    [Fact, Trait("Thesis", "3.10")]
    public void A_transfer_waits_until_the_target_has_everything()
    {
        var solo = Leading();
        solo.Turn(core => core.Propose(new byte[1], 0, out _));
        solo.Turn(core => Assert.True(core.TransferLeadership(Id(3))));
        Assert.DoesNotContain(solo.Sent, m => m is TimeoutNow);
        Assert.Equal(Id(3), solo.Core.TransferTarget);
        Assert.Equal(ProposeOutcome.Busy, solo.Core.Propose(new byte[1], 0, out _));
        solo.Accept(3, 2);
        Assert.Equal(3, solo.Sent.OfType<TimeoutNow>().Single().To.Value);
    }

    [Fact, Trait("Thesis", "3.10")]
    public void Nobody_named_means_the_voter_that_has_most()
    {
        var solo = Leading();
        solo.Turn(core => core.Propose(new byte[1], 0, out _));
        solo.Accept(3, 2);
        solo.Turn(core => Assert.True(core.TransferLeadership(MemberId.None)));
        Assert.Equal(Id(3), solo.Core.TransferTarget);
        Assert.False(solo.Core.TransferLeadership(Id(1)));
        Assert.False(solo.Core.TransferLeadership(Id(9)));
    }

    [Fact, Trait("Thesis", "3.10")]
    public void The_target_of_a_transfer_campaigns_without_a_pre_vote_and_says_so()
    {
        var solo = new Solo();
        solo.Step(Beat(2, term: 1));
        solo.Step(new TimeoutNow { From = Id(2), To = Id(1), Term = new Term(1) });
        Assert.All(solo.Held.OfType<VoteRequest>(), v => Assert.True(v.Transfer && !v.PreVote));
        Assert.Equal(2, solo.Held.Count);
        // An old one changes nothing.
        solo.Step(new TimeoutNow { From = Id(2), To = Id(1), Term = new Term(1) });
        Assert.Equal(new Term(2), solo.Core.Term);
    }

    [Fact, Trait("Raft", "6")]
    public void A_learner_is_fed_but_never_counts()
    {
        var solo = new Solo(membership: TestCluster.Config([1, 2, 3], learners: [4, 5]));
        solo.Lead(2);
        Assert.Equal([2, 3, 4, 5], solo.Sent.OfType<AppendRequest>().Select(a => a.To.Value));
        solo.FinishWrites();
        solo.Accept(4, 1);
        solo.Accept(5, 1);
        Assert.Equal(LogIndex.Zero, solo.Core.Commit);
    }

    [Fact, Trait("Raft", "6")]
    public void A_membership_holds_as_soon_as_it_is_appended()
    {
        var solo = Leading();
        Assert.Equal(ProposeOutcome.Appended, solo.Core.ProposeMembership(TestCluster.Config([1, 2, 3, 4]), 0, out _));
        solo.Turn(_ => { });
        Assert.Equal(4, solo.Core.Membership.Voters.Count);
        Assert.Contains(solo.Sent, m => m is AppendRequest && m.To == Id(4));
        solo.FinishWrites();
        solo.Accept(2, 2);
        // Three of four are needed now.
        Assert.Equal(new LogIndex(1), solo.Core.Commit);
        solo.Accept(4, 2);
        Assert.Equal(new LogIndex(2), solo.Core.Commit);
    }

    [Fact, Trait("Raft", "6")]
    public void Only_adjacent_or_joint_memberships_may_follow()
    {
        Membership three = TestCluster.Config([1, 2, 3]), joint = TestCluster.Config([1, 4, 5], outgoing: [1, 2, 3]);
        Assert.Null(MembershipRules.Refusal(three, TestCluster.Config([1, 2, 3, 4])));
        Assert.Null(MembershipRules.Refusal(three, TestCluster.Config([1, 2])));
        Assert.Null(MembershipRules.Refusal(three, TestCluster.Config([1, 2, 3], learners: [7, 8])));
        Assert.Null(MembershipRules.Refusal(three, joint));
        Assert.Null(MembershipRules.Refusal(joint, TestCluster.Config([1, 4, 5])));
        Assert.NotNull(MembershipRules.Refusal(three, TestCluster.Config([1, 2, 4])));
        Assert.NotNull(MembershipRules.Refusal(three, TestCluster.Config([])));
        Assert.NotNull(MembershipRules.Refusal(three, TestCluster.Config([1, 2, 3], learners: [3])));
        Assert.NotNull(MembershipRules.Refusal(three, TestCluster.Config([4], outgoing: [1, 2])));
        Assert.NotNull(MembershipRules.Refusal(joint, TestCluster.Config([1, 2, 3])));
        Assert.NotNull(MembershipRules.Refusal(joint, TestCluster.Config([1, 4, 6], outgoing: [1, 4, 5])));
        // Another life of a voter is a removal and an addition: two steps.
        var reborn = new Membership([new(Id(1), 1), new(Id(2), 1), new(Id(3), 2)], [], []);
        Assert.NotNull(MembershipRules.Refusal(three, reborn));
        Assert.NotNull(MembershipRules.Refusal(three, new Membership(reborn.Voters, [], three.Voters)));
    }

    [Fact, Trait("Raft", "6")]
    public void Another_life_of_a_member_starts_from_nothing()
    {
        var solo = Leading();
        solo.Accept(3, 1);
        Change(solo, TestCluster.Config([1, 2]));
        var reborn = new Membership([new(Id(1), 1), new(Id(2), 1)], [new(Id(3), 2)], []);
        Assert.Equal(ProposeOutcome.Appended, solo.Core.ProposeMembership(reborn, 0, out _));
        solo.Turn(_ => { });
        // Its heartbeats name nothing that the former life acknowledged.
        solo.Tick(6);
        Assert.Equal(LogIndex.Zero, solo.Sent.OfType<Heartbeat>().Single(h => h.To == Id(3)).Commit);
    }

    [Fact, Trait("Raft", "7")]
    public void A_peer_that_needs_what_is_compacted_gets_the_snapshot_one_chunk_at_a_time()
    {
        var solo = Compacted(out var mark);
        var send = Assert.Single(solo.SnapshotSends);
        Assert.Equal((3, mark, 0L), (send.To.Value, send.Snapshot, send.Offset));
        solo.Tick();
        Assert.Empty(solo.SnapshotSends);
        solo.Step(Got(solo, mark, 60, installed: false));
        Assert.Equal(60, Assert.Single(solo.SnapshotSends).Offset);
        // The same answer twice does not double the chunks.
        solo.Step(Got(solo, mark, 60, installed: false));
        Assert.Empty(solo.SnapshotSends);
        solo.Step(Got(solo, mark, 100, installed: false));
        Assert.Empty(solo.SnapshotSends);
        solo.Step(Got(solo, mark, 0, installed: true));
        Assert.Equal(mark.Index, solo.Sent.OfType<AppendRequest>().Single(a => a.To == Id(3)).PreviousIndex);
    }

    [Fact, Trait("Raft", "7")]
    public void A_lost_chunk_is_sent_again_and_a_lost_word_of_installation_asked_for()
    {
        var solo = Compacted(out var mark);
        Heartbeats(solo, 40);
        Assert.Equal(0, solo.SnapshotSends.Single().Offset);
        solo.Step(Got(solo, mark, 100, installed: false));
        Heartbeats(solo, 40);
        var question = solo.Sent.OfType<AppendRequest>().Single(a => a.To == Id(3));
        Assert.Equal((mark.Index, mark.Term, 0), (question.PreviousIndex, question.PreviousTerm, question.Entries.Count));
        solo.Accept(3, mark.Index.Value);
        Assert.Equal(mark.Index, solo.Sent.OfType<AppendRequest>().Single(a => a.To == Id(3)).PreviousIndex);
    }

    [Fact, Trait("Raft", "7")]
    public void A_newer_snapshot_replaces_the_one_that_was_being_sent()
    {
        var solo = Compacted(out var mark);
        solo.Step(Got(solo, mark, 60, installed: false));
        var newer = mark with { Index = new LogIndex(5), Length = 200 };
        solo.Turn(core =>
        {
            core.AppliedTo(newer.Index);
            core.SnapshotTaken(newer, keep: 0);
        });
        Assert.Equal((newer, 0L), (solo.SnapshotSends.Single().Snapshot, solo.SnapshotSends.Single().Offset));
    }

    [Fact, Trait("Raft", "7")]
    public void A_receiver_takes_chunks_in_order_and_says_where_to_go_on()
    {
        var solo = new Solo();
        var mark = Mark(10, 100);
        solo.Step(Chunk(mark, 50, 10));
        Assert.Empty(solo.SnapshotWrites);
        Assert.Equal(0, solo.Sent.OfType<SnapshotReply>().Single().NextOffset);
        solo.Step(Chunk(mark, 0, 50));
        Assert.Single(solo.SnapshotWrites);
        // Doubled while it is being written.
        solo.Step(Chunk(mark, 0, 50));
        Assert.Empty(solo.SnapshotWrites);
        solo.Turn(core => core.SnapshotChunkWritten(Id(2), new Term(2), mark.Index, 50));
        Assert.Equal(50, solo.Sent.OfType<SnapshotReply>().Single().NextOffset);
        solo.Step(Chunk(mark, 50, 50));
        Assert.True(solo.SnapshotWrites.Single().IsLast);
    }

    [Fact, Trait("Raft", "7")]
    public void An_installed_snapshot_replaces_the_log_and_its_answer_waits_for_the_disk()
    {
        var solo = new Solo(term: 1, log: [Entry(1, 1), Entry(2, 1)]);
        var mark = Mark(10, 100) with { Membership = TestCluster.Config([1, 2, 3, 4]) };
        solo.Step(Chunk(mark, 0, 100));
        // Appends in the meantime are not acknowledged: the log on disk is about to be reset.
        solo.Step(Append(2, term: 2, 2, 1, 0, Entry(3, 2)));
        Assert.Empty(solo.Held);
        solo.Turn(core => core.SnapshotInstalled(mark, Id(2)));
        Assert.True(solo.Held.OfType<SnapshotReply>().Single().Installed);
        Assert.Equal(
            (10L, 10L, 10L, 11L), (solo.Core.Commit.Value, solo.Core.Durable.Value, solo.Core.LastIndex.Value, solo.Core.FirstIndex.Value));
        Assert.Equal(mark.Membership, solo.Core.Membership);
        solo.Step(Append(2, term: 2, 10, 2, 11, Entry(11, 2)));
        Assert.Equal(new LogIndex(11), solo.Core.Commit);
    }

    [Fact, Trait("Raft", "7")]
    public void A_snapshot_that_the_log_already_holds_is_not_installed()
    {
        var solo = new Solo(term: 2, log: [Entry(1, 1), Entry(2, 2), Entry(3, 2)]);
        solo.Step(Chunk(Mark(2, 100), 0, 100));
        Assert.Empty(solo.SnapshotWrites);
        Assert.True(solo.Held.OfType<SnapshotReply>().Single().Installed);
        Assert.Equal(new LogIndex(3), solo.Core.LastIndex);
        Assert.Equal(new LogIndex(2), solo.Core.Commit);
    }

    [Fact, Trait("Raft", "7")]
    public void Compacting_keeps_what_slow_peers_may_still_need()
    {
        var solo = Leading();
        solo.Turn(core =>
        {
            for (int i = 0; i < 9; i++)
                core.Propose(new byte[1], 0, out _);
        });
        solo.FinishWrites();
        solo.Accept(2, 10);
        solo.Turn(core =>
        {
            core.AppliedTo(new LogIndex(10));
            core.SnapshotTaken(Mark(10, 1) with { Term = core.Term }, keep: 4);
        });
        Assert.Equal((10L, 7L), (solo.Core.SnapshotIndex.Value, solo.Core.FirstIndex.Value));
    }

    [Fact]
    public void Entries_trimmed_from_memory_are_read_back()
    {
        var solo = Leading();
        solo.Turn(core =>
        {
            for (int i = 0; i < 20; i++)
                core.Propose(new byte[] { (byte)i }, 0, out _);
        });
        solo.FinishWrites();
        solo.Accept(2, 21);
        solo.Turn(core => core.TrimMemory(100));
        Assert.True(solo.Core.Log.FirstInMemory > new LogIndex(15));
        List<Entry> read = [];
        while (read.Count < 21)
            solo.Core.ReadCommitted(new LogIndex(read.Count + 1), 200, read);
        Assert.Equal(Enumerable.Range(0, 20).Select(i => (byte)i), read.Skip(1).Select(e => e.Payload.Span[0]));
        // Also for a peer that is far behind.
        solo.Step(new AppendReply { From = Id(3), To = Id(1), Term = solo.Core.Term, Accepted = true, Index = LogIndex.Zero });
        Assert.Equal(new LogIndex(1), solo.Sent.OfType<AppendRequest>().First(a => a.To == Id(3)).Entries[0].Index);
    }

    private static Solo Leading()
    {
        var solo = new Solo();
        solo.Lead(2);
        solo.FinishWrites();
        solo.Accept(2, 1);
        Assert.True(solo.Core.HasCommittedInTerm);
        return solo;
    }

    private static void Change(Solo solo, Membership membership)
    {
        Assert.Equal(ProposeOutcome.Appended, solo.Core.ProposeMembership(membership, 0, out var index));
        solo.Turn(_ => { });
        solo.FinishWrites();
        solo.Accept(2, index.Value);
        Assert.Equal(index, solo.Core.Commit);
    }

    /// <summary>A leader that compacted its log up to 4, while member 3 has nothing.</summary>
    private static Solo Compacted(out SnapshotMark mark)
    {
        var solo = Leading();
        solo.Turn(core =>
        {
            for (int i = 0; i < 5; i++)
                core.Propose(new byte[1], 0, out _);
        });
        solo.FinishWrites();
        solo.Accept(2, 6);
        var taken = mark = Mark(4, 100) with { Term = solo.Core.Term };
        solo.Turn(core =>
        {
            core.AppliedTo(taken.Index);
            core.SnapshotTaken(taken, keep: 0);
        });
        solo.Step(new AppendReply { From = Id(3), To = Id(1), Term = solo.Core.Term, Accepted = false, Index = LogIndex.Zero });
        return solo;
    }

    /// <summary>Both peers answer heartbeats, and nothing else happens.</summary>
    private static void Heartbeats(Solo solo, int ticks)
    {
        for (int i = 0; i < ticks; i++)
        {
            foreach (int peer in new[] { 2, 3 })
                solo.Step(new HeartbeatReply { From = Id(peer), To = Id(1), Term = solo.Core.Term, ReadToken = 1 });
            solo.Tick();
        }
    }

    private static SnapshotReply Got(Solo solo, SnapshotMark mark, long next, bool installed) =>
        new() { From = Id(3), To = Id(1), Term = solo.Core.Term, SnapshotIndex = mark.Index, NextOffset = next, Installed = installed };

    private static SnapshotMark Mark(long index, long length) =>
        new(new LogIndex(index), new Term(2), 0, TestCluster.Config([1, 2, 3]), length);

    private static SnapshotChunk Chunk(SnapshotMark mark, long offset, int length) => new()
    {
        From = Id(2), To = Id(1), Term = new Term(2), Snapshot = mark, Offset = offset, Data = new byte[length], Checksum = 0,
    };
}
