using Microsoft.Extensions.Logging;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Loop;

/// <summary>
/// A member in production: a <see cref="NodeLoop"/> on its thread, its disk lanes and its transport. It holds no rule of its own; it starts
/// the parts in order and ends them in order.
/// </summary>
internal sealed class RaftNode : IAsyncDisposable
{
    private readonly NodeLoopOptions _options;
    private readonly LoopThread _thread;
    private readonly DiskLaneThread _logLane;
    private readonly DiskLaneThread _snapshotLane;
    private readonly TcpTransport _transport;
    private readonly TaskCompletionSource<Exception?> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _gate = new();
    private bool _started;
    private Task? _stop;
    private Task _abort = Task.CompletedTask;

    public RaftNode(
        NodeLoopOptions options, TcpTransportOptions transport, string dataDirectory, IReadOnlyList<IStateMachine> machines,
        IReadOnlyList<ILoopParticipant> participants, TimeProvider time, ILoggerFactory loggers)
    {
        _options = options;
        // First, for it may be refused: nothing runs yet.
        var directory = new DiskLogDirectory(dataDirectory);
        _thread = new LoopThread($"raftkit {options.Self} loop", options.TickInterval, time, options.Inbox);
        _logLane = new DiskLaneThread($"raftkit {options.Self} log", _thread);
        _snapshotLane = new DiskLaneThread($"raftkit {options.Self} snapshot", _thread);
        _transport = new TcpTransport(transport, _thread, time, loggers.CreateLogger("RaftKit.Transport"));
        var ports = new NodeLoopPorts(
            directory, _logLane, _snapshotLane, _transport, _thread, loggers.CreateLogger("RaftKit.Node"));
        Loop = new NodeLoop(options, ports, machines, participants);
        _thread.Counters = Loop.Counters;
    }

    public NodeLoop Loop { get; }

    public NodeStatus Status => Loop.Status;

    public NodeCounters Counters => Loop.Counters;

    public INodeInbox Inbox => _thread;

    /// <summary>Completes when the loop has ended: with its failure, or with null after an orderly stop.</summary>
    public Task<Exception?> Ended => _ended.Task;

    /// <summary>Listens, takes the directory, recovers and begins to take part.</summary>
    public void Start()
    {
        _transport.Start();
        Loop.Start(_thread.Now);
        _thread.Start(Loop, LoopEnded);
        _started = true;
    }

    /// <summary>
    /// Stops in order: the host's session closes, leadership is handed over, writes become durable; then the peers hear a goodbye. Each
    /// step takes a bounded time. Also ends what a failed start left.
    /// </summary>
    public Task StopAsync()
    {
        // Whoever asks a second time (a disposal after a stop that its caller no longer waited for) waits for the same stop: the directory
        // is free only then.
        lock (_gate)
            return _stop ??= StopOnceAsync();
    }

    public async ValueTask DisposeAsync() => await StopAsync().ConfigureAwait(false);

    private async Task StopOnceAsync()
    {
        if (_started)
        {
            _thread.Post(new NodeInput.Stop(_ => { }));
            await _ended.Task.ConfigureAwait(false);
            _thread.Join();
        }
        await _abort.ConfigureAwait(false);
        await _transport.StopAsync($"Member {_options.Self} stops.").ConfigureAwait(false);
        _logLane.Close();
        _snapshotLane.Close();
        Loop.Dispose();
    }

    private void LoopEnded(Exception? failure)
    {
        // Without a goodbye: the others then have their evidence, and elect at once.
        if (failure is not null)
            _abort = _transport.AbortAsync();
        _ended.TrySetResult(failure);
    }
}
