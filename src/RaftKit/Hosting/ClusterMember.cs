using System.Globalization;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;
using RaftKit.Znodes;
using RaftKit.Znodes.Sessions;

namespace RaftKit.Hosting;

/// <summary>The member in production: the node with the tree in its log and the sessions on its loop.</summary>
internal sealed class ClusterMember : IClusterMember
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(5);

    private readonly RaftKitOptions _options;
    private readonly string _dataDirectory;
    private readonly IReadOnlyList<IStateMachine> _machines;
    private readonly TimeProvider _time;
    private readonly DeferredLoggers _loggers;
    private readonly StartInbox _inbox = new();
    private readonly ZnodeService _znodes;
    private readonly QuorumMembership _membership;
    private readonly FeatureLevels _levels;
    private readonly TaskCompletionSource<Exception> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private RaftNode? _node;
    private Task _watchingForEnd = Task.CompletedTask;
    private Task _rehearsing = Task.CompletedTask;

    public ClusterMember(
        RaftKitOptions options, string dataDirectory, IReadOnlyList<IStateMachine> machines, TimeProvider time, ILoggerFactory loggers)
    {
        _options = options;
        _dataDirectory = dataDirectory;
        _machines = machines;
        _time = time;
        _loggers = new DeferredLoggers(loggers);
        _znodes = new ZnodeService(
            new ZnodeOptions { SessionTimeout = options.SessionTimeout, ExpireOnRefusedConnection = options.ExpireOnRefusedConnection },
            new ThreadPoolClientScheduler(static () => BootTimeClock.Now),
            _loggers.CreateLogger("RaftKit.Znodes"));
        _znodes.Connect(_inbox);
        _membership = new QuorumMembership(_inbox, TaskCreationOptions.RunContinuationsAsynchronously);
        _levels = new FeatureLevels(_inbox, options.Features, TaskCreationOptions.RunContinuationsAsynchronously);
    }

    public INodeInbox Inbox => _inbox;

    public IQuorumMembership Membership => _membership;

    public IFeatureLevels Levels => _levels;

    public IZnodeSessions Sessions => _znodes.Sessions;

    public NodeStatus? Status => _node?.Status;

    public NodeCounters? Counters => _node?.Counters;

    public SessionCounters SessionCounters => _znodes.Counters;

    public IProposalMeter? ProposalMeter { private get; set; }

    public Task<Exception> Failed => _failed.Task;

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        RequireUsableDirectory();
        var node = new RaftNode(
            LoopOptions(), TransportOptions(), _dataDirectory, [_znodes.Machine, .. _machines], [_znodes.Keeper, _membership, _levels],
            _time, _loggers);
        try
        {
            // Recovery reads the log: as long as that takes, off the caller's thread.
            await Task.Run(node.Start, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            _inbox.Close();
            await node.DisposeAsync().ConfigureAwait(false);
            throw;
        }

        _node = node;
        _inbox.Connect(node.Inbox);
        _watchingForEnd = WatchForEndAsync(node);
        // Alone there is nobody to fail over to.
        if (_options.RehearseFailover && _options.Members.Count > 1 && _options.Role == QuorumRole.Member)
            _rehearsing = Task.Run(RehearseAsync, CancellationToken.None);
    }

    // What the log would say of it is about durability, and here nothing was ever written.
    private void RequireUsableDirectory()
    {
        const string Mend = "Name a folder on a local disk that this process may write to.";
        if (File.Exists(_dataDirectory))
            throw new IOException($"DataDirectory is '{_dataDirectory}', which is a file. {Mend}");
        var lockFile = Path.Combine(_dataDirectory, DiskLogDirectory.LockName);
        // The node itself says what is wrong with a lock that is a directory.
        if (!Directory.Exists(_dataDirectory) || Directory.Exists(lockFile))
            return;
        try
        {
            // The first thing that the node itself opens there, and locks.
            using var first = new FileStream(lockFile, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new IOException(
                $"DataDirectory is '{_dataDirectory}', and this process cannot write to it: {failure.Message} {Mend}", failure);
        }
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (_node is not { } node)
            return;
        await node.StopAsync().WaitAsync(cancellationToken).ConfigureAwait(false);
        await _watchingForEnd.ConfigureAwait(false);
        await _rehearsing.WaitAsync(cancellationToken).ConfigureAwait(false);
    }

    public async Task ReadBarrierAsync(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var read = new Barrier();
        await using var cancellation = cancellationToken.UnsafeRegister(
            static (barrier, token) => ((Barrier)barrier!).Cancel(token), read).ConfigureAwait(false);
        _inbox.Post(new NodeInput.Read(read));
        await read.Task.ConfigureAwait(false);
    }

    public async ValueTask DisposeAsync()
    {
        _inbox.Close();
        if (_node is { } node)
            await node.DisposeAsync().ConfigureAwait(false);
        await _rehearsing.ConfigureAwait(false);
        _loggers.Dispose();
    }

    private async Task RehearseAsync()
    {
        try
        {
            var began = _time.GetTimestamp();
            if (await FailoverRehearsal.RunOnceAsync().ConfigureAwait(false) is { } succeeded)
                RaftKitLog.Rehearsed(
                    _loggers.CreateLogger("RaftKit"), _options.Member, succeeded, (long)_time.GetElapsedTime(began).TotalMilliseconds);
        }
        catch (Exception e)
        {
            // Nothing depends on it: the first failover is slower, that is all.
            RaftKitLog.RehearsalFailed(_loggers.CreateLogger("RaftKit"), _options.Member, e);
        }
    }

    private async Task WatchForEndAsync(RaftNode node)
    {
        if (await node.Ended.ConfigureAwait(false) is { } failure)
            _failed.TrySetResult(failure);
    }

    private NodeLoopOptions LoopOptions() => new()
    {
        Self = new MemberId(_options.Member),
        Members = Members(),
        Seed = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong))),
        HostProcess = HostProcess.Current(),
        TickInterval = Tick,
        HeartbeatTicks = Ticks(_options.HeartbeatInterval),
        ElectionTicks = Ticks(_options.ElectionTimeout),
        VoterPromise = _options.LeaderLease,
        ClockDrift = _options.ClockDrift,
        ForceBootstrap = _options.ForceBootstrap,
        JoinOnly = _options.Join || _options.AutoJoin,
        AutoJoin = _options.AutoJoin,
        AllowAutoJoin = _options.AllowAutoJoin,
        SnapshotEveryEntries = _options.SnapshotEveryEntries,
        SnapshotEveryBytes = _options.SnapshotEveryBytes,
        StopPatience = _options.StopPatience,
        ProposalMeter = ProposalMeter,
        Features = _options.Features,
    };

    private TcpTransportOptions TransportOptions() => new()
    {
        Listen = _options.ListenEndpoint,
        AllowPlainText = _options.AllowPlainText,
        AdmitsJoiners = _options.AllowAutoJoin,
        Security = _options.Tls is { } tls ? Security(tls) : null,
    };

    private Dictionary<MemberId, string> Members() =>
        _options.Members.Count == 0
            ? new() { [new MemberId(_options.Member)] = _options.ListenEndpoint }
            : _options.Members.ToDictionary(m => new MemberId(int.Parse(m.Key, CultureInfo.InvariantCulture)), m => m.Value);

    private static TransportSecurity Security(RaftKitTlsOptions tls)
    {
        var certificate = new CertificateFile(tls.CertificatePath, tls.KeyPath);
        // Read now: one that cannot be read must fail the start, not the first handshake, which would stop the node.
        _ = certificate.Current;
        X509Certificate2Collection? roots = null;
        if (tls.AuthorityPath is { } authority)
        {
            roots = [];
            roots.ImportFromPemFile(authority);
        }

        return new TransportSecurity { Certificate = () => certificate.Current, Roots = roots, CheckHostName = tls.CheckHostName };
    }

    private static int Ticks(TimeSpan time) => Math.Max(1, (int)Math.Round(time / Tick));

    private sealed class Barrier : IReadCallback
    {
        private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Task => _done.Task;

        public bool IsAbandoned => _done.Task.IsCompleted;

        public void Ready() => _done.TrySetResult();

        public void Failed(string reason) => _done.TrySetException(new NotAppliedException(reason));

        public void Cancel(CancellationToken token) => _done.TrySetCanceled(token);
    }
}
