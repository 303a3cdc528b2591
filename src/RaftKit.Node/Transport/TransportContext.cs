using Microsoft.Extensions.Logging;
using RaftKit.Consensus;
using RaftKit.Node.Loop;

namespace RaftKit.Node.Transport;

/// <summary>What the parts of one transport share.</summary>
internal sealed class TransportContext
{
    private long _lastLink;
    private long _lastAttempt;
    private PeerHello? _hello;

    public TransportContext(TcpTransportOptions options, INodeInbox inbox, TimeProvider time, ILogger logger)
    {
        Options = options;
        Inbox = inbox;
        Time = time;
        Logger = logger;
        Tasks = new RunningTasks(Fail);
    }

    public TcpTransportOptions Options { get; }

    public INodeInbox Inbox { get; }

    public TimeProvider Time { get; }

    public ILogger Logger { get; }

    public TransportCounters Counters { get; } = new();

    public RunningTasks Tasks { get; }

    /// <summary>Set while the transport stops.</summary>
    public CancellationTokenSource Stopping { get; } = new();

    /// <summary>What we say of ourselves; known before the first handshake.</summary>
    public PeerHello Hello
    {
        get => Volatile.Read(ref _hello) ?? throw new InvariantBrokenException("a handshake began before the node said who it is");
        set => Volatile.Write(ref _hello, value);
    }

    public MemberId Self => Hello.Member;

    public long NextLink() => Interlocked.Increment(ref _lastLink);

    /// <summary>The number of our next hello. Taken where it is decided to say it, so that a greater number was decided later.</summary>
    public long NextAttempt() => Interlocked.Increment(ref _lastAttempt);

    /// <summary>The transport itself is wrong: the node stops, as with any broken invariant (DESIGN, promise 10).</summary>
    public void Fail(Exception fault)
    {
        if (Stopping.IsCancellationRequested && fault is OperationCanceledException or ObjectDisposedException)
            return;
        TransportLog.Failed(Logger, fault);
        Inbox.Post(new NodeInput.Call(new Fault(fault)));
    }

    private sealed class Fault(Exception fault) : ILoopCall
    {
        public void Run() => throw new InvariantBrokenException($"the transport failed: {fault}");

        public void Stopped()
        {
        }
    }
}
