using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Loop;

/// <summary>A newer snapshot starts all transfers over: it waits for those under way, and not for ever.</summary>
public sealed class SnapshotPatienceTests : IDisposable
{
    private const int Every = 20;
    private static readonly MemberId Observer = new(256);

    private readonly LoopHarness _leader = new(
        [new RegisterMachine()], o => o with { SnapshotEveryEntries = Every, KeepEntries = 0 });
    private long _link;

    public SnapshotPatienceTests() => _leader.Lead();

    public void Dispose() => _leader.Dispose();

    [Fact]
    public void A_snapshot_comes_after_its_interval_where_nobody_waits_for_one()
    {
        var first = Snapshot(atMost: 2 * Every);
        Assert.InRange(Snapshot(atMost: 2 * Every) - first, Every, Every + 3);
    }

    [Fact]
    public void While_one_is_being_sent_the_next_waits_for_eight_intervals_at_most()
    {
        var first = Snapshot(atMost: 2 * Every);
        _link = _leader.Link(LoopHarness.Said(Observer, cluster: _leader.Loop.ClusterId));
        var other = _leader.Link(LoopHarness.Said(LoopHarness.Other, cluster: _leader.Loop.ClusterId));
        Assert.NotEqual(_link, other);
        Ask();
        Assert.True(_leader.Core.SendsSnapshots);

        Assert.InRange(Snapshot(atMost: 10 * Every, Ask) - first, 8 * Every, 8 * Every + 3);
    }

    [Fact]
    public void Once_it_was_taken_over_the_next_comes_in_its_time()
    {
        var first = Snapshot(atMost: 2 * Every);
        _link = _leader.Link(LoopHarness.Said(Observer, cluster: _leader.Loop.ClusterId));
        _leader.Link(LoopHarness.Said(LoopHarness.Other, cluster: _leader.Loop.ClusterId));
        Ask();
        for (var i = 0; i < 2 * Every; i++)
            Propose();
        Assert.Equal(first, _leader.Core.SnapshotIndex.Value);

        _leader.Hear(_link, Observer, new PeerMessage.Raft(new SnapshotReply
        {
            From = Observer, To = LoopHarness.Self, Term = _leader.Core.Term, SnapshotIndex = _leader.Core.SnapshotIndex, NextOffset = 0,
            Installed = true,
        }));
        Assert.False(_leader.Core.SendsSnapshots);
        _leader.Tick();
        Assert.InRange(_leader.Core.SnapshotIndex.Value - first, 2 * Every, 2 * Every + 3);
    }

    private long Snapshot(int atMost, Action? meanwhile = null)
    {
        var before = _leader.Core.SnapshotIndex;
        for (var i = 0; _leader.Core.SnapshotIndex == before; i++)
        {
            Assert.True(i < atMost, $"No snapshot after {i} entries.");
            Propose();
            meanwhile?.Invoke();
        }
        return _leader.Core.SnapshotIndex.Value;
    }

    private void Propose()
    {
        _leader.Turn(new NodeInput.Propose("register", new byte[8], null));
        _leader.Acknowledge();
        _leader.Tick();
    }

    // It has nothing, is there, and takes no chunk.
    private void Ask() => _leader.Hear(_link, Observer, new PeerMessage.Raft(new ObserveRequest
    {
        From = Observer, To = LoopHarness.Self, Term = _leader.Core.Term, LastIndex = LogIndex.Zero, LastTerm = Term.Zero,
    }));
}
