using Microsoft.Extensions.Logging;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Node.Reads;
using RaftKit.Node.Tests.Log;
using RaftKit.Node.Tests.Transport;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Loop;

/// <summary>Whatever ends a loop, and whatever then fails as well: whoever asked it for something is told.</summary>
public sealed class EndOfLoopTests : ILeaseClock, ITransport, IDiskLane, INodeInbox, ILogger, IDisposable
{
    private readonly List<string> _told = [];
    private readonly Queue<NodeInput> _posted = new();
    private TimeSpan _clock = TimeSpan.FromHours(1);
    private bool _flushFails;
    private bool _loggerFails;
    private NodeLoop? _loop;

    TimeSpan ILeaseClock.Now => _clock;

    public void Dispose() => _loop?.Dispose();

    [Fact]
    public void A_clock_that_goes_back_ends_the_loop_and_everybody_is_told()
    {
        var loop = Started();
        _clock = TimeSpan.Zero;

        AskAll(loop);

        Assert.True(loop.IsStopped);
        Assert.NotNull(loop.Failure);
        Assert.Equal(["call", "proposal", "read"], _told.Order());
    }

    [Fact]
    public void A_transport_that_fails_ends_the_loop_and_everybody_is_told()
    {
        var loop = Started();
        _flushFails = true;

        AskAll(loop);

        Assert.Equal("flush", loop.Failure?.Message);
        Assert.Equal(["call ran", "proposal", "read"], _told.Order());
    }

    [Fact]
    public void A_participant_that_fails_when_it_is_told_keeps_nobody_else_from_being_told()
    {
        var (first, second) = (new Participant(this, "first", fails: true), new Participant(this, "second", fails: false));
        var loop = Started(first, second);

        loop.Turn(
            [new NodeInput.Stop(_ => throw new InvalidOperationException("told")), new NodeInput.Stop(_ => _told.Add("stop")), Failing()], At(2));

        Assert.True(loop.IsStopped);
        Assert.Equal("on purpose", loop.Failure?.Message);
        Assert.Equal(["failing call", "second", "stop"], _told.Order());
    }

    [Fact]
    public void A_logger_that_fails_keeps_nobody_from_being_told()
    {
        var loop = Started(new Participant(this, "first", fails: true), new Participant(this, "second", fails: false));
        _loggerFails = true;

        loop.Turn([Failing(), new NodeInput.Call(new Call(() => _told.Add("call ran"), () => _told.Add("call")))], At(2));

        Assert.True(loop.IsStopped);
        Assert.Equal("on purpose", loop.Failure?.Message);
        Assert.Equal(["call", "failing call", "second"], _told.Order());
    }

    private NodeLoop Started(params ILoopParticipant[] participants)
    {
        var self = new MemberId(1);
        var options = new NodeLoopOptions
        {
            Self = self,
            Members = new Dictionary<MemberId, string> { [self] = "127.0.0.1:1", [new MemberId(2)] = "127.0.0.1:2" },
            Seed = 1,
            HostProcess = HostProcess.Unknown,
        };
        var loop = _loop = new NodeLoop(
            options,
            new NodeLoopPorts(new MemoryDirectory(new Random(1)), this, this, this, this, this) { LeaseClock = this }, [],
            participants);
        loop.Start(At(1));
        // The other one is as empty: both are founders, so that there is a core to be told the time.
        loop.Turn([new NodeInput.LinkUp(1, LoopHarness.Said(new MemberId(2), incarnation: 0, boot: 0))], At(1));
        loop.Turn(
            [
                new NodeInput.Received(
                    1, new MemberId(2),
                    new PeerMessage.BootstrapAnswer(BootstrapState.Empty, Guid.Empty, [self, new MemberId(2)])),
            ],
            At(1));
        while (_posted.TryDequeue(out var next))
            loop.Turn([next], At(1));
        Assert.NotNull(loop.Core);
        return loop;
    }

    private void AskAll(NodeLoop loop) => loop.Turn(
        [
            new NodeInput.Call(new Call(() => _told.Add("call ran"), () => _told.Add("call"))),
            new NodeInput.Propose("none", default, new Proposing(_told)),
            new NodeInput.Read(new Reading(_told)),
        ],
        At(2));

    private NodeInput.Call Failing() =>
        new(new Call(() => throw new InvalidOperationException("on purpose"), () => _told.Add("failing call")));

    private static LoopTime At(int seconds) => new(TimeSpan.FromSeconds(seconds), 0);

    IDisposable? ILogger.BeginScope<TState>(TState state) => null;

    bool ILogger.IsEnabled(LogLevel logLevel) => true;

    void ILogger.Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (_loggerFails)
            throw new InvalidOperationException("log");
    }

    void ITransport.Flush()
    {
        if (_flushFails)
            throw new InvalidOperationException("flush");
    }

    void ITransport.Send(MemberId to, PeerMessage message)
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

    void ITransport.Refuse(long link, string reason)
    {
    }

    void IDiskLane.Submit(DiskJob job)
    {
        job.Execute();
        _posted.Enqueue(new NodeInput.DiskDone(job));
    }

    void INodeInbox.Post(NodeInput input) => _posted.Enqueue(input);

    private sealed class Call(Action run, Action stopped) : ILoopCall
    {
        public void Run() => run();

        public void Stopped() => stopped();
    }

    private sealed class Proposing(List<string> told) : IProposalCallback
    {
        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result) => Assert.Fail("It was applied.");

        public void Failed(ProposalFailure failure, string reason) => told.Add("proposal");
    }

    private sealed class Reading(List<string> told) : IReadCallback
    {
        public void Ready() => Assert.Fail("It was answered.");

        public void Failed(string reason) => told.Add("read");
    }

    private sealed class Participant(EndOfLoopTests tests, string name, bool fails) : ILoopParticipant
    {
        public byte Channel => 9;

        public void Start(ILoopServices services)
        {
        }

        public void StatusChanged(NodeStatus status)
        {
        }

        public void Tick(TimeSpan lateness)
        {
        }

        public void Received(MemberId from, ReadOnlyMemory<byte> payload)
        {
        }

        public void LinkChanged(MemberId member, bool up)
        {
        }

        public void PeerDied(DeathEvidence evidence)
        {
        }

        public void Stopping(Action done)
        {
        }

        public void Stopped(string reason)
        {
            if (fails)
                throw new InvalidOperationException(name);
            tests._told.Add(name);
        }
    }
}
