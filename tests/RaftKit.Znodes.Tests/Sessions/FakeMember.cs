using Xunit;
using System.Buffers;
using Microsoft.Extensions.Logging.Abstractions;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;

namespace RaftKit.Znodes.Tests.Sessions;

/// <summary>One member of a <see cref="FakeQuorum"/>: the room under test with a loop that does what the real one promises.</summary>
internal sealed class FakeMember : ILoopServices, INodeInbox
{
    private readonly FakeQuorum _quorum;
    private readonly Queue<NodeInput> _inbox = new();
    private readonly List<FakeProposal> _waiting = [];
    private readonly List<IReadCallback> _barriers = [];
    private TimeSpan _lastTurn;
    private NodeStatus _told;

    public FakeMember(FakeQuorum quorum, int number, long boot, ZnodeOptions options)
    {
        _quorum = quorum;
        Self = new MemberId(number);
        Boot = boot;
        Scheduler = new Sessions.FakeScheduler(() => quorum.Now);
        Service = new ZnodeService(options, Scheduler, NullLogger.Instance);
        Service.Connect(this);
        _lastTurn = quorum.Now;
        Status = _told = new NodeStatus(Self, RaftRole.Follower, quorum.Term, MemberId.None, false, LogIndex.Zero, LogIndex.Zero);
        Service.Keeper.Start(this);
    }

    public ZnodeService Service { get; }

    public FakeScheduler Scheduler { get; }

    /// <summary>Stands still: handles nothing, and no tick passes.</summary>
    public bool IsPaused { get; set; }

    public bool IsDead { get; set; }

    /// <summary>Its part of the network is cut off from the others.</summary>
    public bool IsIsolated { get; set; }

    /// <summary>Applies nothing, as if it were far behind.</summary>
    public bool IsBehind { get; set; }

    /// <summary>What the leader's own log would refuse.</summary>
    public bool IsBusy { get; set; }

    /// <summary>Has so many proposals under way that it refuses more.</summary>
    public bool IsFull { get; set; }

    public LoopTime Now => new(_quorum.Now, 1_000_000 + (long)_quorum.Now.TotalMilliseconds);

    public NodeStatus Status { get; private set; }

    public MemberId Self { get; }

    public IReadOnlyDictionary<MemberId, string> ConfiguredEndpoints { get; } = new Dictionary<MemberId, string>();

    public HostProcess HostProcess => new("machine", 1, Self.Value, Boot);

    public int Incarnation => 1;

    public long Boot { get; }

    public int Applied { get; private set; }

    public List<string> Sent { get; } = [];

    public bool Works => !IsPaused && !IsDead;

    public void Post(NodeInput input)
    {
        if (!IsDead)
            _inbox.Enqueue(input);
        else if (input is NodeInput.Call call)
            call.Target.Stopped();
    }

    public void Propose(string machine, ReadOnlyMemory<byte> command, IProposalCallback? callback)
    {
        if (IsFull)
            callback?.Failed(ProposalFailure.NotApplied, "Too many proposals wait for the quorum.");
        else
            _waiting.Add(new FakeProposal(this, command.ToArray(), callback));
    }

    public bool ProposeAsLeader(string machine, ReadOnlyMemory<byte> command)
    {
        if (Status.Role != RaftRole.Leader || IsBusy)
            return false;
        _quorum.ProposedByLeader(this, new FakeProposal(this, command.ToArray(), null));
        return true;
    }

    public void Send(MemberId to, byte channel, ReadOnlyMemory<byte> payload) => _quorum.Deliver(this, to, payload.ToArray());

    public void ReadBarrier(IReadCallback callback) => _barriers.Add(callback);

    /// <summary>A turn: inputs, then what is committed, then nothing else. False if there was nothing to do.</summary>
    public bool Turn()
    {
        if (!Works)
            return false;
        var worked = PublishStatus();
        // What is posted meanwhile is for the next turn, as in production.
        for (var left = _inbox.Count; left > 0 && _inbox.TryDequeue(out var input); left--)
        {
            worked = true;
            switch (input)
            {
                case NodeInput.Call call:
                    call.Target.Run();
                    break;
                case NodeInput.Received { Message: RaftKit.Node.Transport.PeerMessage.Channel channel } received:
                    Service.Keeper.Received(received.From, channel.Payload);
                    break;
                case NodeInput.PeerDied died:
                    Service.Keeper.PeerDied(died.Evidence);
                    break;
                default:
                    throw new NotSupportedException(input.GetType().Name);
            }
        }
        worked |= _quorum.TakeIn(this, _waiting);
        worked |= ApplyCommitted();
        worked |= PublishStatus();
        if (_barriers.Count > 0 && _quorum.CanConfirm(this) && Applied == _quorum.Log.Count)
        {
            worked = true;
            var ready = _barriers.ToArray();
            _barriers.Clear();
            foreach (var barrier in ready)
                barrier.Ready();
        }
        while (Works && Scheduler.RunOne())
            worked = true;
        return worked;
    }

    public void Tick(TimeSpan interval)
    {
        if (!Works)
            return;
        var late = _quorum.Now - _lastTurn - interval;
        _lastTurn = _quorum.Now;
        Turn();
        Service.Keeper.Tick(late > 4 * interval ? late : TimeSpan.Zero);
        Turn();
    }

    public void LinkChanged(FakeMember other, bool up)
    {
        if (Works)
            Service.Keeper.LinkChanged(other.Self, up);
    }

    /// <summary>The loop ends: whatever waits is told.</summary>
    public void Kill()
    {
        IsDead = true;
        foreach (var proposal in _waiting.Concat(_quorum.Forget(this)))
            proposal.Callback?.Failed(ProposalFailure.Unknown, "The member stopped.");
        foreach (var barrier in _barriers)
            barrier.Failed("The member stopped.");
        foreach (var input in _inbox)
            if (input is NodeInput.Call call)
                call.Target.Stopped();
        _inbox.Clear();
        Service.Keeper.Stopped("The member stopped.");
        while (Scheduler.RunOne())
        {
        }
    }

    /// <summary>Takes over another member's state as a snapshot, jumping over everything in between.</summary>
    public void InstallSnapshotOf(FakeMember other)
    {
        using var capture = other.Service.Machine.Capture();
        var restorer = Service.Machine.BeginRestore();
        var frame = new ArrayBufferWriter<byte>();
        bool more;
        do
        {
            frame.ResetWrittenCount();
            more = capture.WriteSlice(frame);
            restorer.Frame(frame.WrittenSpan.ToArray());
        }
        while (more);
        var from = Applied;
        Applied = other.Applied;
        restorer.Complete(_quorum.ContextOf(Applied - 1));
        for (var i = from; i < Applied; i++)
        {
            var proposal = _quorum.Log[i].Proposal;
            if (proposal.Owner == this && !proposal.IsTold)
            {
                proposal.IsTold = true;
                proposal.Callback?.Applied(_quorum.ContextOf(i), proposal.Result!);
            }
        }
    }

    private bool ApplyCommitted()
    {
        var worked = false;
        while (!IsBehind && Applied < _quorum.CommittedFor(this))
        {
            worked = true;
            var proposal = _quorum.Log[Applied].Proposal;
            var context = _quorum.ContextOf(Applied);
            var result = new ArrayBufferWriter<byte>();
            Service.Machine.Apply(context, proposal.Command, result);
            if (proposal.Result is null)
                proposal.Result = result.WrittenSpan.ToArray();
            else
                Assert.Equal(proposal.Result, result.WrittenSpan.ToArray());
            Applied++;
            if (proposal.Owner == this && !proposal.IsTold)
            {
                proposal.IsTold = true;
                proposal.Callback?.Applied(context, result.WrittenMemory);
            }
        }
        return worked;
    }

    private bool PublishStatus()
    {
        var (role, term, leader, ready) = _quorum.StatusOf(this);
        Status = new NodeStatus(Self, role, term, leader, ready, new LogIndex(_quorum.Log.Count), new LogIndex(Applied));
        if (_told.Role == role && _told.Term == term && _told.Leader == leader && _told.Ready == ready)
            return false;
        _told = Status;
        Service.Keeper.StatusChanged(Status);
        return true;
    }
}

internal sealed class FakeProposal(FakeMember owner, byte[] command, IProposalCallback? callback)
{
    public FakeMember Owner { get; } = owner;

    public byte[] Command { get; } = command;

    public IProposalCallback? Callback { get; } = callback;

    public byte[]? Result { get; set; }

    public bool IsTold { get; set; }
}
