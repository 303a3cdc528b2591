using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Tests.Transport;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Loop;

/// <summary>What waits for a loop's turn is bounded; here the loop never takes a turn.</summary>
public sealed class InboxTests
{
    private static readonly MemberId Peer = new(2);

    private readonly NodeCounters _counters = new();
    private readonly LoopThread _inbox;

    public InboxTests()
    {
        var limits =
            new InboxLimits { MaxCalls = 3, MaxCallBytes = 100, MaxBulk = 3, MaxBulkBytes = 100, MaxUrgent = 3, MaxUrgentBytes = 100 };
        _inbox = new LoopThread("never started", TimeSpan.FromMilliseconds(5), TimeProvider.System, limits) { Counters = _counters };
    }

    [Fact]
    public void A_proposal_beyond_the_count_is_refused_as_surely_not_applied_before_it_enters()
    {
        var taken = Enumerable.Range(0, 3).Select(_ => Propose(1)).ToList();
        var refused = Propose(1);

        Assert.All(taken, t => Assert.Null(t.Refusal));
        Assert.Contains(
            "The node is busy: 3 calls of 3 bytes wait for its loop already (at most 3 and 100 bytes may)", refused.Refusal,
            StringComparison.Ordinal);
        Assert.Equal(1, _counters.CallsRefused);
    }

    [Fact]
    public void Bytes_are_bounded_as_well_and_one_large_proposal_always_fits()
    {
        Assert.Null(Propose(1000).Refusal);
        Assert.NotNull(Propose(1).Refusal);
    }

    [Fact]
    public void Reads_and_calls_share_the_room_of_proposals()
    {
        Propose(1);
        var read = new Caller();
        _inbox.Post(new NodeInput.Read(read));
        var call = new Caller();
        _inbox.Post(new NodeInput.Call(call));
        var refusedCall = new Caller();
        _inbox.Post(new NodeInput.Call(refusedCall));
        var refusedRead = new Caller();
        _inbox.Post(new NodeInput.Read(refusedRead));

        Assert.Null(read.Refusal);
        Assert.Null(call.Refusal);
        Assert.NotNull(refusedCall.Refusal);
        Assert.NotNull(refusedRead.Refusal);
    }

    [Fact]
    public void Entries_of_peers_that_find_no_room_are_dropped_and_their_heartbeats_have_a_room_of_their_own()
    {
        for (var i = 0; i < 5; i++)
            _inbox.Post(new NodeInput.Received(1, Peer, new PeerMessage.ForwardProposals(default, 1, []), 10));
        Assert.Equal(2, _counters.MessagesDropped);

        for (var i = 0; i < 3; i++)
            _inbox.Post(new NodeInput.Received(1, Peer, new PeerMessage.Channel(1, default), 10));
        Assert.Equal(2, _counters.MessagesDropped);
    }

    [Fact]
    public void What_the_loop_is_owed_always_finds_room()
    {
        for (var i = 0; i < 10; i++)
        {
            Propose(1);
            _inbox.Post(new NodeInput.Received(1, Peer, new PeerMessage.ForwardProposals(default, 1, []), 10));
            _inbox.Post(new NodeInput.Received(1, Peer, new PeerMessage.Channel(1, default), 10));
        }
        var (refused, dropped) = (_counters.CallsRefused, _counters.MessagesDropped);

        _inbox.Post(new NodeInput.Tick(TimeSpan.Zero));
        _inbox.Post(new NodeInput.LinkUp(1, RawPeer.HelloOf(2)));
        _inbox.Post(new NodeInput.LinkDown(1, Peer, Goodbye: false));
        _inbox.Post(new NodeInput.Stop(_ => Assert.Fail("It was refused.")));
        var end = new Caller { MayBeRefused = false };
        _inbox.Post(new NodeInput.Call(end));

        Assert.Null(end.Refusal);
        Assert.Equal((refused, dropped), (_counters.CallsRefused, _counters.MessagesDropped));
    }

    private Caller Propose(int bytes)
    {
        var caller = new Caller();
        _inbox.Post(new NodeInput.Propose("machine", new byte[bytes], caller));
        return caller;
    }

    private sealed class Caller : IProposalCallback, IReadCallback, ILoopCall
    {
        public string? Refusal { get; private set; }

        public bool MayBeRefused { get; init; } = true;

        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result) => Assert.Fail("Nobody applies anything.");

        public void Failed(ProposalFailure failure, string reason)
        {
            Assert.Equal(ProposalFailure.NotApplied, failure);
            Refusal = reason;
        }

        public void Ready() => Assert.Fail("Nobody grants anything.");

        public void Failed(string reason) => Refusal = reason;

        public void Run() => Assert.Fail("Nobody runs it.");

        public void Stopped() => Assert.Fail("Nobody stopped the node.");

        public void Refused(string reason) => Refusal = reason;
    }
}
