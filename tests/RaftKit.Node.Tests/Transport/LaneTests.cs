using RaftKit.Consensus;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Transport;

public sealed class LaneTests
{
    private static readonly MemberId Two = new(2);

    // However slowly this machine runs the test: the link must not end meanwhile.
    private static readonly TcpTransportOptions Patient =
        TestMember.Options() with { LinkTimeout = TimeSpan.FromMinutes(2), StopTimeout = TimeSpan.FromMinutes(2) };

    [Fact]
    public void What_must_not_wait_travels_in_the_priority_lane()
    {
        foreach (var message in Samples.All())
        {
            var expected = message switch
            {
                PeerMessage.Raft { Message: AppendRequest } or PeerMessage.ForwardProposals => Lane.Bulk,
                PeerMessage.Raft { Message: SnapshotChunk } => Lane.Snapshot,
                _ => Lane.Priority,
            };
            Assert.Equal(expected, Lanes.Of(message));
        }
    }

    [Fact]
    public async Task A_heartbeat_overtakes_appends_that_wait_for_a_stalled_peer()
    {
        await using var one = new TestMember(1, Patient);
        one.Join((Two, "127.0.0.1:1"));
        using var stalled = await RawPeer.Link(one, RawPeer.HelloOf(2), receiveBuffer: 16 * 1024);
        await one.LinkUp();

        const int appends = 40;
        for (var i = 0; i < appends; i++)
            one.Send(Two, new PeerMessage.Raft(Samples.Append(i, 1 << 20)));
        one.Send(Two, new PeerMessage.Raft(Samples.Heartbeat(1)));

        var seen = 0;
        while (true)
        {
            var message = ((PeerMessage.Raft)MessageCodec.Decode(stalled.ReadBody())).Message;
            if (message is Heartbeat)
                break;
            Assert.Equal(seen++, Assert.IsType<AppendRequest>(message).PreviousIndex.Value);
        }
        // Kernel buffers cannot be overtaken: what counts is that most of the queue was.
        Assert.InRange(seen, 0, appends / 2);
        for (; seen < appends; seen++)
            Assert.Equal(
                seen, Assert.IsType<AppendRequest>(((PeerMessage.Raft)MessageCodec.Decode(
                    stalled.ReadBody())).Message).PreviousIndex.Value);
        Assert.Equal(0, one.Transport.Counters.DroppedOf(Lane.Bulk));
    }

    [Fact]
    public async Task A_peer_that_reads_nothing_costs_bounded_memory_and_no_waiting()
    {
        await using var one = new TestMember(1, Patient with { MaxQueuedBytes = 4 << 20 });
        one.Join((Two, "127.0.0.1:1"));
        using var stalled = await RawPeer.Link(one, RawPeer.HelloOf(2), receiveBuffer: 16 * 1024);
        await one.LinkUp();
        for (var i = 0; i < 200; i++)
            one.Send(Two, new PeerMessage.Raft(Samples.Append(i, 1 << 20)));
        Assert.InRange(one.Transport.Counters.DroppedOf(Lane.Bulk), 150, 197);

        // What was not dropped comes in order, with the newest missing.
        var last = -1L;
        var stopping = one.Transport.StopAsync("drained");
        while (stalled.ReadBody() is { } body && !HandshakeCodec.IsLinkFrame(body))
        {
            if (MessageCodec.Decode(body) is not PeerMessage.Raft { Message: AppendRequest append })
                continue;
            Assert.Equal(last + 1, append.PreviousIndex.Value);
            last = append.PreviousIndex.Value;
        }
        await stopping;
        Assert.Equal(200 - one.Transport.Counters.DroppedOf(Lane.Bulk) - 1, last);
    }

    [Fact]
    public void A_lane_is_bounded_in_count_and_in_bytes_and_takes_one_message_of_any_size_when_empty()
    {
        var queue = new SendQueue(
            new TcpTransportOptions { Listen = "", MaxQueuedMessages = 3, MaxQueuedBytes = 1000, MaxQueuedPriorityBytes = 300 });
        Assert.True(queue.TryAdd(Append(5000), Lane.Bulk));
        Assert.False(queue.TryAdd(Append(1), Lane.Bulk));
        Assert.True(queue.TryTake(Lane.Bulk, out _));
        Assert.True(queue.TryAdd(Append(1), Lane.Bulk));
        Assert.True(queue.TryAdd(Append(1), Lane.Bulk));
        Assert.True(queue.TryAdd(Append(1), Lane.Bulk));
        Assert.False(queue.TryAdd(Append(1), Lane.Bulk));

        Assert.True(queue.TryAdd(new PeerMessage.Channel(1, new byte[150]), Lane.Priority));
        Assert.False(queue.TryAdd(new PeerMessage.Channel(1, new byte[150]), Lane.Priority));

        Assert.True(queue.TryAdd(new PeerMessage.Raft(Samples.Chunk(100)), Lane.Snapshot));
        Assert.True(queue.TryAdd(new PeerMessage.Raft(Samples.Chunk(100)), Lane.Snapshot));
        Assert.False(queue.TryAdd(new PeerMessage.Raft(Samples.Chunk(100)), Lane.Snapshot));

        queue.Close(discard: false);
        Assert.False(queue.TryAdd(Append(1), Lane.Bulk));
        Assert.Equal(3, queue.CountOf(Lane.Bulk));
        queue.Close(discard: true);
        Assert.False(queue.TryTake(Lane.Bulk, out _));
    }

    [Fact]
    public async Task A_message_beyond_the_longest_frame_is_dropped_and_the_link_goes_on()
    {
        var (one, two) = await TestMember.LinkedPair(TestMember.Options() with { MaxFrameBytes = 100_000 });
        await using var _ = one;
        await using var __ = two;
        one.Send(two.Id, new PeerMessage.Channel(1, Samples.Bytes(200_000)));
        await LinkTests.Exchange(one, two);
        Assert.Equal(1, one.Transport.Counters.Oversized);
    }

    private static PeerMessage.Raft Append(int bytes) => new(Samples.Append(1, bytes));
}
