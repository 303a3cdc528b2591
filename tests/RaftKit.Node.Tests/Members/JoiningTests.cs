using Microsoft.Extensions.Logging.Abstractions;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Tests.Log;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Members;

/// <summary>The loop of member 3, whose directory is empty, beside members 1 and 2 of a cluster that exists.</summary>
public sealed class JoiningTests : ITransport, IDiskLane, INodeInbox
{
    private static readonly MemberId[] Members = [new(1), new(2), new(3)];
    private static readonly Guid Cluster = new(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);

    private readonly NodeLoop _loop;
    private readonly List<MemberId> _asked = [];
    private TimeSpan _now = TimeSpan.FromSeconds(1);

    public JoiningTests()
    {
        var options = new NodeLoopOptions
        {
            Self = new MemberId(3),
            Members = Members.ToDictionary(m => m, m => $"127.0.0.1:{m.Value}"),
            Seed = 1,
            HostProcess = HostProcess.Unknown,
        };
        var ports = new NodeLoopPorts(new MemoryDirectory(new Random(1)), this, this, this, this, NullLogger.Instance);
        _loop = new NodeLoop(options, ports, [], []);
        _loop.Start(new LoopTime(_now, 0));
        foreach (var member in Members[..2])
            Turn(new NodeInput.LinkUp(member.Value, new PeerHello(Cluster, member, 1, 1, "127.0.0.1:1", HostProcess.Unknown)));
        Hear(1, new PeerMessage.BootstrapAnswer(BootstrapState.Formed, Cluster, Members));
        Assert.Equal([new MemberId(1)], _asked);
    }

    [Fact]
    public void A_leader_that_refuses_is_not_asked_again_as_fast_as_it_answers()
    {
        for (var i = 0; i < 10; i++)
            Hear(1, Refusal(leader: 1));
        Assert.Single(_asked);

        for (var i = 0; i < 20; i++)
            Turn(new NodeInput.Tick(TimeSpan.Zero));
        Assert.Equal([new MemberId(1), new MemberId(1)], _asked);
    }

    [Fact]
    public void Another_member_that_is_named_as_the_leader_is_asked_at_once_and_two_that_name_each_other_only_once()
    {
        Hear(1, Refusal(leader: 2));
        Assert.Equal([new MemberId(1), new MemberId(2)], _asked);

        Hear(2, Refusal(leader: 1));
        Hear(1, Refusal(leader: 2));
        Assert.Equal(2, _asked.Count);
    }

    void ITransport.Send(MemberId to, PeerMessage message)
    {
        if (message is PeerMessage.JoinRequest)
            _asked.Add(to);
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

    void ITransport.Relink(long link, string reason) => Assert.Fail(reason);

    void ITransport.Refuse(long link, string reason) => Assert.Fail(reason);

    void IDiskLane.Submit(DiskJob job) => Assert.Fail("A member without an identity writes nothing.");

    void INodeInbox.Post(NodeInput input) => Assert.Fail("Nothing is under way.");

    private static PeerMessage.JoinReply Refusal(int leader) => new(false, Cluster, 0, new MemberId(leader), "Not now.");

    private void Hear(int from, PeerMessage message) => Turn(new NodeInput.Received(from, new MemberId(from), message));

    private void Turn(NodeInput input)
    {
        _now += TimeSpan.FromMilliseconds(5);
        _loop.Turn([input], new LoopTime(_now, 0));
        Assert.Null(_loop.Failure);
    }
}
