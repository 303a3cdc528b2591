using Microsoft.Extensions.Logging;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Tests.Log;
using RaftKit.Node.Tests.Transport;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Loop;

/// <summary>
/// The loop of member 1 of two over a disk in memory; the test says what the other member says, and sees what it is sent.
/// </summary>
internal sealed class LoopHarness : ITransport, IDiskLane, INodeInbox, IDisposable
{
    public static readonly MemberId Self = new(1), Other = new(2);

    private readonly ILogDirectory _directory;
    private readonly Queue<NodeInput> _posted = new();
    private TimeSpan _now = TimeSpan.FromSeconds(1);
    private long _lastLink;

    public LoopHarness(
        IReadOnlyList<IStateMachine>? machines = null, Func<NodeLoopOptions, NodeLoopOptions>? configure = null,
        ILogDirectory? directory = null)
    {
        _directory = directory ?? new MemoryDirectory(new Random(1));
        var options = new NodeLoopOptions
        {
            Self = Self,
            Members = new Dictionary<MemberId, string> { [Self] = "127.0.0.1:1", [Other] = "127.0.0.1:2" },
            Seed = 1,
            HostProcess = HostProcess.Unknown,
        };
        Loop = new NodeLoop(
            configure?.Invoke(options) ?? options, new NodeLoopPorts(_directory, this, this, this, this, Logger), machines ?? [], []);
        Loop.Start(new LoopTime(_now, 0));
    }

    public NodeLoop Loop { get; }

    public RaftCore Core => Loop.Core!;

    public RecordingLogger Logger { get; } = new();

    public List<(MemberId To, PeerMessage Message)> Sent { get; } = [];

    /// <summary>The endpoints that are dialled.</summary>
    public IReadOnlyDictionary<MemberId, string> Peers { get; private set; } = new Dictionary<MemberId, string>();

    /// <summary>Why links were refused.</summary>
    public List<string> Refusals { get; } = [];

    public PeerHello Hello { get; private set; } = null!;

    /// <summary>Both form a cluster; the other one's link is up.</summary>
    public LoopHarness Form()
    {
        Hear(Link(Said(Other, incarnation: 0, boot: 0)), Other,
            new PeerMessage.BootstrapAnswer(BootstrapState.Empty, Guid.Empty, [Self, Other]));
        Assert.NotNull(Loop.Core);
        Unlink(_lastLink, Other);
        Link(Said(Other));
        return this;
    }

    /// <summary>Forms, leads, and has applied an entry of its own term; the other one acknowledges everything from now on.</summary>
    public LoopHarness Lead()
    {
        Form();
        for (var i = 0; !Loop.Status.Ready || Loop.ClusterId == Guid.Empty; i++)
        {
            Assert.True(i < 400, "It never led.");
            Tick();
            Acknowledge();
        }
        return this;
    }

    public static PeerHello Said(MemberId member, int incarnation = 1, long boot = 1, Guid cluster = default) =>
        new(cluster, member, incarnation, boot, $"127.0.0.1:{member.Value}", HostProcess.Unknown);

    public long Link(PeerHello hello)
    {
        Turn(new NodeInput.LinkUp(++_lastLink, hello));
        return _lastLink;
    }

    public void Unlink(long link, MemberId peer) => Turn(new NodeInput.LinkDown(link, peer, Goodbye: true));

    public void Hear(PeerMessage message) => Hear(_lastLink, Other, message);

    public void Hear(long link, MemberId from, PeerMessage message) => Turn(new NodeInput.Received(link, from, message));

    public void Acknowledge() =>
        Hear(new PeerMessage.Raft(new AppendReply { From = Other, To = Self, Term = Core.Term, Accepted = true, Index = Core.LastIndex }));

    public void Tick() => Turn(new NodeInput.Tick(TimeSpan.Zero));

    public void Turn(NodeInput input)
    {
        _now += TimeSpan.FromMilliseconds(5);
        _posted.Enqueue(input);
        while (_posted.TryDequeue(out var next))
            Loop.Turn([next], new LoopTime(_now, 0));
    }

    void ITransport.Send(MemberId to, PeerMessage message)
    {
        Sent.Add((to, message));
        if (to != Other || message is not PeerMessage.Raft { Message: var raft })
            return;
        Message? reply = raft switch
        {
            VoteRequest vote => new VoteReply { From = Other, To = Self, Term = vote.Term, PreVote = vote.PreVote, Granted = true },
            Heartbeat beat => new HeartbeatReply { From = Other, To = Self, Term = beat.Term, ReadToken = beat.ReadToken },
            _ => null,
        };
        if (reply is not null)
            _posted.Enqueue(new NodeInput.Received(_lastLink, Other, new PeerMessage.Raft(reply)));
    }

    void ITransport.Flush()
    {
    }

    void ITransport.SetPeers(IReadOnlyDictionary<MemberId, string> endpoints)
    {
        foreach (var endpoint in endpoints.Values.Where(e => e.Length > 0))
            NetworkAddress.Parse(endpoint);
        Peers = endpoints;
    }

    void ITransport.SetHello(PeerHello hello) => Hello = hello;

    void ITransport.Relink(long link, string reason)
    {
    }

    void ITransport.Refuse(long link, string reason) => Refusals.Add(reason);

    void IDiskLane.Submit(DiskJob job)
    {
        job.Execute();
        _posted.Enqueue(new NodeInput.DiskDone(job));
    }

    void INodeInbox.Post(NodeInput input) => _posted.Enqueue(input);

    public void Dispose() => Loop.Dispose();
}
