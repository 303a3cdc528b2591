using RaftKit.Consensus.Tests.Harness;
using static RaftKit.Consensus.Tests.Harness.Solo;

namespace RaftKit.Consensus.Tests.Paper;

/// <summary>
/// Raft 7 and its figure 13: the receiver's rules one by one, and what compaction leaves. The sender's side is in <see
/// cref="ServiceTests"/>.
/// </summary>
public sealed class SnapshotTests
{
    [Fact, Trait("Raft", "7")]
    public void A_chunk_of_an_older_term_is_refused_with_the_newer()
    {
        var solo = new Solo(term: 5);
        solo.Step(Chunk(Mark(9, 3), 0, 10, term: 4));
        Assert.Empty(solo.SnapshotWrites);
        var refusal = solo.Sent.OfType<AppendReply>().Single();
        Assert.Equal((false, 5L), (refusal.Accepted, refusal.Term.Value));
    }

    [Fact, Trait("Raft", "7")]
    public void Another_snapshot_starts_from_its_first_byte()
    {
        var solo = new Solo();
        solo.Step(Chunk(Mark(9, 2), 0, 40));
        solo.Turn(core => core.SnapshotChunkWritten(Id(2), new Term(2), new LogIndex(9), 40));
        Assert.Equal(40, solo.Sent.OfType<SnapshotReply>().Single().NextOffset);
        solo.Step(Chunk(Mark(12, 2), 40, 10));
        Assert.Empty(solo.SnapshotWrites);
        var reply = solo.Sent.OfType<SnapshotReply>().Single();
        Assert.Equal((12L, 0L), (reply.SnapshotIndex.Value, reply.NextOffset));
        solo.Step(Chunk(Mark(12, 2), 0, 10));
        Assert.Equal(0, Assert.Single(solo.SnapshotWrites).Offset);
    }

    [Fact, Trait("Raft", "7")]
    public void Chunks_of_two_senders_are_never_one_snapshot()
    {
        var solo = new Solo();
        solo.Step(Chunk(Mark(9, 2), 0, 40));
        solo.Turn(core => core.SnapshotChunkWritten(Id(2), new Term(2), new LogIndex(9), 40));
        solo.Step(Chunk(Mark(9, 2), 40, 60, term: 3, from: 3));
        Assert.Empty(solo.SnapshotWrites);
        var reply = solo.Sent.OfType<SnapshotReply>().Single();
        Assert.Equal((3, 0L), (reply.To.Value, reply.NextOffset));
        // What the former sender wrote meanwhile changes nothing, and is not answered: it does not lead.
        solo.Turn(core => core.SnapshotChunkWritten(Id(2), new Term(2), new LogIndex(9), 80));
        Assert.Empty(solo.Sent);
    }

    [Theory, Trait("Raft", "7")]
    [InlineData(-1, 10)]
    [InlineData(95, 10)]
    [InlineData(long.MaxValue, 10)]
    public void A_chunk_that_no_snapshot_could_have_is_ignored_even_where_its_end_overflows(long offset, int length)
    {
        var solo = new Solo();
        solo.Step(Chunk(Mark(9, 2), offset, length));
        Assert.Empty(solo.SnapshotWrites);
        Assert.Empty(solo.Sent);
    }

    [Fact, Trait("Raft", "7")]
    public void Entries_after_a_snapshot_that_the_log_agrees_with_are_kept()
    {
        var solo = new Solo(term: 2, log: [Entry(1, 1), Entry(2, 2), Entry(3, 2), Entry(4, 2)]);
        // It was complete before the log got there by itself.
        solo.Turn(core => core.SnapshotInstalled(Mark(3, 2), Id(2)));
        Assert.Equal((4L, 3L, 0L), (solo.Core.LastIndex.Value, solo.Core.Commit.Value, solo.Core.SnapshotIndex.Value));
        Assert.Null(solo.Cut);
    }

    [Theory, Trait("Raft", "7")]
    [InlineData(3, 3)]
    [InlineData(9, 3)]
    public void A_log_that_contradicts_a_snapshot_or_ends_before_it_goes_as_a_whole(long index, long term)
    {
        var solo = new Solo(term: 3, log: [Entry(1, 1), Entry(2, 2), Entry(3, 2), Entry(4, 2)]);
        var mark = Mark(index, term);
        solo.Step(Chunk(mark, 0, 100, term: 3));
        Assert.True(solo.SnapshotWrites.Single().IsLast);
        solo.Turn(core => core.SnapshotInstalled(mark, Id(2)));
        Assert.Equal((index, index), (solo.Core.LastIndex.Value, solo.Core.Commit.Value));
        Assert.Equal((index, index + 1), (solo.Core.SnapshotIndex.Value, solo.Core.FirstIndex.Value));
        Assert.Equal(mark.Membership, solo.Core.Membership);
    }

    [Fact, Trait("Raft", "7")]
    public void A_snapshot_keeps_the_term_of_its_last_entry_for_the_next_append_and_the_next_vote()
    {
        var solo = new Solo(term: 3);
        var mark = Mark(9, 3);
        solo.Step(Chunk(mark, 0, 100, term: 3));
        solo.Turn(core => core.SnapshotInstalled(mark, Id(2)));
        solo.Step(Vote(3, term: 4, 9, 2, pre: true));
        Assert.False(solo.Sent.OfType<VoteReply>().Single().Granted);
        solo.Tick(40);
        solo.Step(Vote(3, term: 4, 8, 3, pre: true));
        Assert.False(solo.Sent.OfType<VoteReply>().Single().Granted);
        solo.Step(Vote(3, term: 4, 9, 3, pre: true));
        Assert.True(solo.Sent.OfType<VoteReply>().Single().Granted);
        solo.Step(Append(2, term: 3, 9, 3, 9, Entry(10, 3)));
        Assert.Equal(new LogIndex(10), solo.Core.LastIndex);
    }

    [Fact, Trait("Raft", "7")]
    public void Only_what_is_applied_is_compacted_and_only_what_is_durable_leaves_the_log()
    {
        var solo = new Solo(term: 2);
        solo.Step(Append(2, term: 2, 0, 0, 2, Entry(1, 1), Entry(2, 2), Entry(3, 2)));
        Assert.Throws<InvariantBrokenException>(() => solo.Core.SnapshotTaken(Mark(2, 2), keep: 0));
        solo.Core.AppliedTo(new LogIndex(2));
        Assert.Throws<InvariantBrokenException>(() => solo.Core.SnapshotTaken(Mark(2, 1), keep: 0));
        solo.Turn(core => core.SnapshotTaken(Mark(2, 2), keep: 0));
        // Nothing is written yet: the log is still to be handed to the disk.
        Assert.Equal((2L, 1L), (solo.Core.SnapshotIndex.Value, solo.Core.FirstIndex.Value));
    }

    [Fact, Trait("Raft", "7")]
    public void An_older_snapshot_than_the_own_changes_nothing()
    {
        var solo = new Solo(term: 2, log: [Entry(1, 1), Entry(2, 2), Entry(3, 2)]);
        solo.Step(Append(2, term: 2, 3, 2, 3));
        solo.Core.AppliedTo(new LogIndex(3));
        solo.Turn(core => core.SnapshotTaken(Mark(3, 2), keep: 0));
        solo.Turn(core => core.SnapshotTaken(Mark(2, 2), keep: 0));
        Assert.Equal(new LogIndex(3), solo.Core.SnapshotIndex);
        solo.Step(Chunk(Mark(2, 2), 0, 100));
        Assert.Empty(solo.SnapshotWrites);
        Assert.True(solo.Held.OfType<SnapshotReply>().Single().Installed);
    }

    private static SnapshotMark Mark(long index, long term) =>
        new(new LogIndex(index), new Term(term), 0, TestCluster.Config([1, 2, 3, 4]), 100);

    private static SnapshotChunk Chunk(SnapshotMark mark, long offset, int length, long term = 2, int from = 2) => new()
    {
        From = Id(from), To = Id(1), Term = new Term(term), Snapshot = mark, Offset = offset, Data = new byte[length], Checksum = 0,
    };
}
