using RaftKit.Consensus;
using RaftKit.Consensus.Tests.Harness;
using static RaftKit.Consensus.Tests.Harness.Solo;

namespace RaftKit.Consensus.Tests;

/// <summary>
/// Entries that rot on the disk of a running member, which only somebody far behind makes it read: the state has them, so a snapshot of it
/// takes their place, and the member goes on (protocol-aware recovery: Alagappan et al., FAST'18).
/// </summary>
public sealed class RotWhileRunningTests
{
    private const int Observer = 256;

    [Fact]
    public void Who_lacks_a_rotten_entry_gets_what_is_before_it_then_a_snapshot_and_nothing_in_between()
    {
        var leader = Behind(rotten: 4);

        ComesBack(leader);
        Assert.Equal([2L, 3L], To3(leader).SelectMany(a => a.Entries).Select(e => e.Index.Value));
        leader.Accept(3, 3);

        Assert.Empty(To3(leader));
        Assert.Empty(leader.SnapshotSends);
        Assert.True(leader.Core.NeedsSnapshot);
        Assert.Equal(RaftRole.Leader, leader.Core.Role);

        // It waits, however long, and the others' writes go on.
        leader.Turn(core => core.Propose(new byte[1], 0, out _));
        Assert.Single(leader.Sent.OfType<AppendRequest>(), a => a.To == Id(2));
        leader.FinishWrites();
        leader.Accept(2, 8);
        Assert.Equal(8, leader.Core.Commit.Value);
        Assert.Empty(To3(leader));
        Assert.Empty(leader.SnapshotSends);

        var mark = Snapshot(leader, 7);
        Assert.Equal((3, mark), (leader.SnapshotSends.Single().To.Value, leader.SnapshotSends.Single().Snapshot));
        Assert.False(leader.Core.NeedsSnapshot);
        leader.Step(Installed(leader, 3, mark));
        Assert.Equal([8L], To3(leader).SelectMany(a => a.Entries).Select(e => e.Index.Value));
    }

    [Fact]
    public void A_snapshot_that_was_begun_before_the_rotten_entry_is_not_enough()
    {
        var leader = Behind(rotten: 4);
        ComesBack(leader);
        leader.Accept(3, 3);

        var early = Snapshot(leader, 2);

        Assert.Equal(early, leader.Core.Snapshot);
        Assert.True(leader.Core.NeedsSnapshot);
        Assert.Empty(leader.SnapshotSends);
        var enough = Snapshot(leader, 5);
        Assert.Equal(enough, leader.SnapshotSends.Single().Snapshot);
    }

    [Fact]
    public void Where_a_snapshot_covers_it_already_that_is_sent_at_once()
    {
        var leader = Behind(rotten: 2);
        Snapshot(leader, 5, keep: 5);

        ComesBack(leader);

        Assert.False(leader.Core.NeedsSnapshot);
        Assert.Equal(5, leader.SnapshotSends.Single().Snapshot.Index.Value);
    }

    [Fact]
    public void An_observer_that_lacks_a_rotten_entry_waits_for_the_snapshot_too()
    {
        var leader = Behind(rotten: 2);

        leader.Step(Asks(leader, last: 0, lastTerm: 0));
        leader.Step(Asks(leader, last: 1, lastTerm: 1));
        Assert.DoesNotContain(leader.Sent.OfType<AppendRequest>(), a => a.Entries.Any(e => e.Index.Value > 1));
        Assert.True(leader.Core.NeedsSnapshot);
        Assert.Empty(leader.SnapshotSends);

        var mark = Snapshot(leader, 6);
        Assert.Equal((Observer, mark), (leader.SnapshotSends.Single().To.Value, leader.SnapshotSends.Single().Snapshot));
    }

    [Fact]
    public void An_entry_that_rots_before_it_is_applied_is_in_no_state_and_stops_the_node()
    {
        var leader = Behind(rotten: 4, applied: 3);
        ComesBack(leader);

        Assert.Throws<InvalidDataException>(() => leader.Accept(3, 3));
    }

    /// <summary>Leads in term 1 with entries 1 to 7 committed; members 1 and 2 have them, 3 has the first; none is in memory.</summary>
    private static Solo Behind(long rotten, long applied = 7)
    {
        var leader = Leading();
        leader.Turn(core =>
        {
            for (int i = 0; i < 6; i++)
                core.Propose(new byte[1], 0, out _);
        });
        leader.FinishWrites();
        leader.Accept(2, 7);
        leader.Turn(core =>
        {
            core.AppliedTo(new LogIndex(applied));
            core.TrimMemory(0);
        });
        leader.Rotten.Add(rotten);
        return leader;
    }

    private static void ComesBack(Solo leader)
    {
        leader.Turn(core =>
        {
            core.PeerUnreachable(Id(3));
            core.PeerReachable(Id(3));
        });
    }

    private static IEnumerable<AppendRequest> To3(Solo leader) => leader.Sent.OfType<AppendRequest>().Where(a => a.To == Id(3));

    private static SnapshotMark Snapshot(Solo leader, long index, long keep = 0)
    {
        var mark = new SnapshotMark(new LogIndex(index), leader.Core.Term, 0, TestCluster.Config([1, 2, 3]), 100);
        leader.Turn(core => core.SnapshotTaken(mark, keep));
        return mark;
    }

    private static SnapshotReply Installed(Solo leader, int from, SnapshotMark mark) => new()
    {
        From = Id(from), To = Id(1), Term = leader.Core.Term, SnapshotIndex = mark.Index, NextOffset = 0, Installed = true,
    };

    private static ObserveRequest Asks(Solo leader, long last, long lastTerm) => new()
    {
        From = Id(Observer), To = Id(1), Term = leader.Core.Term, LastIndex = new LogIndex(last), LastTerm = new Term(lastTerm),
    };
}
