using Microsoft.Extensions.Logging.Abstractions;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Tests.Log;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Loop;

/// <summary>The loop of member 1 of two, whose other member and disk answer as the test says.</summary>
public sealed class ClusterIdTests : ITransport, IDiskLane, INodeInbox, IDisposable
{
    private static readonly MemberId Self = new(1), Other = new(2);

    private readonly NodeLoop _loop;
    private readonly Queue<NodeInput> _posted = new();
    private TimeSpan _now = TimeSpan.FromSeconds(1);

    public ClusterIdTests()
    {
        var options = new NodeLoopOptions
        {
            Self = Self,
            Members = new Dictionary<MemberId, string> { [Self] = "127.0.0.1:1", [Other] = "127.0.0.1:2" },
            Seed = 1,
            HostProcess = HostProcess.Unknown,
        };
        _loop = new NodeLoop(
            options, new NodeLoopPorts(new MemoryDirectory(new Random(1)), this, this, this, this, NullLogger.Instance), [], []);
        _loop.Start(new LoopTime(_now, 0));
        Turn(new NodeInput.LinkUp(1, new PeerHello(Guid.Empty, Other, 0, 0, "127.0.0.1:2", HostProcess.Unknown)));
        Hear(new PeerMessage.BootstrapAnswer(BootstrapState.Empty, Guid.Empty, [Self, Other]));
        Assert.NotNull(_loop.Core);
        Turn(new NodeInput.LinkDown(1, Other, Goodbye: true));
        Turn(new NodeInput.LinkUp(2, new PeerHello(Guid.Empty, Other, 1, 1, "127.0.0.1:2", HostProcess.Unknown)));
    }

    private RaftCore Core => _loop.Core!;

    [Fact]
    public void The_clusters_id_is_proposed_until_it_is_in_the_log_also_when_a_handover_is_in_its_way_at_first()
    {
        for (var i = 0; Core.Role != RaftRole.Leader; i++)
        {
            Assert.True(i < 200, "It never led.");
            Turn(new NodeInput.Tick(TimeSpan.Zero));
        }
        Assert.True(Core.TransferLeadership(Other));
        Acknowledge();
        Assert.True(_loop.Status.Ready);
        var last = Core.LastIndex;

        // The other never campaigns: the handover is given up after an election timeout.
        for (var i = 0; Core.LastIndex == last; i++)
        {
            Assert.True(i < 200, "Nothing was proposed any more.");
            Turn(new NodeInput.Tick(TimeSpan.Zero));
            Acknowledge();
        }

        Assert.NotEqual(Guid.Empty, _loop.ClusterId);
        Assert.Equal(last.Next, Core.LastIndex);
    }

    void ITransport.Send(MemberId to, PeerMessage message)
    {
        if (message is not PeerMessage.Raft { Message: var raft })
            return;
        Message? reply = raft switch
        {
            VoteRequest vote => new VoteReply { From = Other, To = Self, Term = vote.Term, PreVote = vote.PreVote, Granted = true },
            Heartbeat beat => new HeartbeatReply { From = Other, To = Self, Term = beat.Term, ReadToken = beat.ReadToken },
            _ => null,
        };
        if (reply is not null)
            _posted.Enqueue(new NodeInput.Received(2, Other, new PeerMessage.Raft(reply)));
    }

    void ITransport.Flush()
    {
    }

    void ITransport.SetPeers(IReadOnlyDictionary<MemberId, string> endpoints)
    {
    }

    void ITransport.SetHello(PeerHello hello)
    {
    }

    void ITransport.Relink(long link, string reason)
    {
    }

    void ITransport.Refuse(long link, string reason) => Assert.Fail(reason);

    void IDiskLane.Submit(DiskJob job)
    {
        job.Execute();
        _posted.Enqueue(new NodeInput.DiskDone(job));
    }

    void INodeInbox.Post(NodeInput input) => Assert.Fail("Nobody else posts.");

    void IDisposable.Dispose() => _loop.Dispose();

    private void Acknowledge() =>
        Hear(new PeerMessage.Raft(new AppendReply { From = Other, To = Self, Term = Core.Term, Accepted = true, Index = Core.LastIndex }));

    private void Hear(PeerMessage message) => Turn(new NodeInput.Received(_loop.Core is null ? 1 : 2, Other, message));

    private void Turn(NodeInput input)
    {
        _now += TimeSpan.FromMilliseconds(5);
        _posted.Enqueue(input);
        while (_posted.TryDequeue(out var next))
        {
            _loop.Turn([next], new LoopTime(_now, 0));
            Assert.Null(_loop.Failure);
        }
    }
}
