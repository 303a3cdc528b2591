using System.Globalization;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using PartitionLeaders.Reports;
using RaftKit;
using RaftKit.Node.Members;
using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>
/// A broker: an application with a member of the quorum inside. It lives in sessions: in each it registers, campaigns for its partitions
/// and writes to those that it leads; when a session ends (it was frozen for too long) everything that hung on it is over, and the next one
/// starts from the beginning.
/// </summary>
internal sealed class Broker : BackgroundService
{
    public const string Verb = "broker";

    private readonly BrokerSettings _settings;
    private readonly IZnodeSessions _sessions;
    private readonly IQuorumMember _member;
    private readonly IQuorumMembership _membership;
    private readonly SupervisorLink _supervisor;
    private readonly ReportSink _reports = new();
    private readonly PauseDetector _pauses;
    private readonly LocalReader _reader;
    private readonly ProgressLog _progress;
    private readonly WriteGate _gate = new();
    private readonly ConsistencyReader? _consistencyReader;

    public Broker(
        BrokerSettings settings, IZnodeSessions sessions, IQuorumMember member, IQuorumMembership membership, SupervisorLink supervisor)
    {
        (_settings, _sessions, _member, _membership, _supervisor) = (settings, sessions, member, membership, supervisor);
        _pauses = new PauseDetector(_reports);
        _reader = new LocalReader(sessions.View, _pauses, settings.Cluster);
        _progress = new ProgressLog(_reports, _reader);
        _consistencyReader = ConsistencyReader.Of(sessions.View, settings, _reports, _gate);
    }

    public static async Task<int> RunAsync(BrokerSettings settings)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Logging.AddSimpleConsole(console => (console.SingleLine, console.TimestampFormat) = (true, "HH:mm:ss.fff "));
        builder.Logging.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(
            console => console.LogToStandardErrorThreshold = LogLevel.Trace); // Standard output is for reports.
        builder.Services.AddRaftKit(o =>
        {
            o.Member = settings.Id;
            o.Role = Cluster.IsObserver(settings.Id) ? QuorumRole.Observer : QuorumRole.Member;
            foreach (var (index, address) in settings.Addresses.Index())
                o.Members.Add((index + 1).ToString(CultureInfo.InvariantCulture), address);
            o.AllowPlainText = true; // Loopback, or the addresses that the user gave: a sample for a private network.
            o.DataDirectory = settings.DataDirectory;
            o.SessionTimeout = settings.SessionTimeout;
            o.ExpireOnRefusedConnection = settings.ExpireOnRefused;
            o.SnapshotEveryEntries = settings.SnapshotEvery ?? o.SnapshotEveryEntries;
            o.LeaderLease = TimeSpan.FromMilliseconds(settings.LeaderLeaseMs);
        });
        builder.Services.AddSingleton(settings);
        builder.Services.AddSingleton<SupervisorLink>();
        builder.Services.AddSingleton<IHostLifetime>(services => services.GetRequiredService<SupervisorLink>());
        builder.Services.AddHostedService<Broker>();
        using var host = builder.Build();
        await host.RunAsync();
        return 0;
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => TogetherAsync(
        stoppingToken,
        [
            _pauses.RunAsync,
            _reader.RunAsync,
            _progress.RunAsync,
            new MemberWatch(_member, _membership, _reports).RunAsync,
            ObeyAsync,
            LiveAsync,
            .. _consistencyReader is not null ? Historians(_consistencyReader) : [],
        ]);

    private IEnumerable<Func<CancellationToken, Task>> Historians(ConsistencyReader reader) =>
    [
        .. HistoryClient.Several(_sessions, _settings, _reports, _gate),
        Guest.Of(_sessions, _settings, _reports, _gate),
        HistoryReader.Of(_sessions.View, _settings, _reports),
        reader.RunAsync,
    ];

    private async Task LiveAsync(CancellationToken stop)
    {
        for (var life = 1; ; life++)
        {
            await using var session = _sessions.Open();
            await session.OpenedAsync(stop);
            using var end = CancellationTokenSource.CreateLinkedTokenSource(stop, session.Expired);
            try
            {
                await Tree.EnsureAsync(session, _settings, end.Token);
                await TogetherAsync(end.Token, Duties(session, life));
            }
            catch (Exception e) when (e is SessionExpiredException || (e is OperationCanceledException && !stop.IsCancellationRequested))
            {
                // The session ended, not the broker.
            }
        }
    }

    private IEnumerable<Func<CancellationToken, Task>> Duties(IZnodeSession session, int life)
    {
        var registration = new Registration(session, _settings.Id, _reports);
        yield return registration.WatchBrokersAsync;
        yield return registration.RegisterAsync;
        yield return new Probe(session, _settings.Id, () => _member.Status, _gate, _progress).RunAsync;
        foreach (var partition in _settings.Cluster.PartitionsOf(_settings.Id))
        {
            var replicas = _settings.Cluster.Replicas(partition);
            yield return new PartitionCandidate(session, partition, _settings.Id, replicas, _reports, _progress, _gate).RunAsync;
        }
    }

    private async Task ObeyAsync(CancellationToken stop)
    {
        await foreach (var command in _supervisor.Commands.ReadAllAsync(stop))
        {
            if (command == BrokerCommands.StopWriters)
            {
                await _gate.CloseAsync().WaitAsync(stop);
                _progress.Flush();
                _reports.Send(new BrokerReport.WritersStopped());
            }
            else if (command == BrokerCommands.ReadPartitions)
            {
                await ReadPartitionsAsync(stop);
            }
            else if (command.StartsWith(BrokerCommands.Seen, StringComparison.Ordinal))
            {
                _consistencyReader?.HasSeen(Convert.ToInt64(command[BrokerCommands.Seen.Length..], 16));
            }
        }
    }

    private async Task ReadPartitionsAsync(CancellationToken stop)
    {
        try
        {
            await using var session = _sessions.Open();
            await session.SyncAsync(stop);
            for (var partition = 0; partition < _settings.Cluster.Partitions; partition++)
            {
                var state = await session.GetAsync(Paths.State(partition), cancellationToken: stop);
                var leaders = await session.GetAsync(Paths.Leaders(partition), cancellationToken: stop);
                _reports.Send(new BrokerReport.PartitionRead(partition, Text(state), Text(leaders)));
            }

            _reports.Send(new BrokerReport.ReadEnded(null));
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            _reports.Send(new BrokerReport.ReadEnded(e.Message));
        }
    }

    private static string Text(Znode? znode) => znode is null ? "" : Encoding.UTF8.GetString(znode.Data.Span);

    // Runs them until they all ended or the first failed, which then ends the others.
    private static async Task TogetherAsync(CancellationToken cancel, IEnumerable<Func<CancellationToken, Task>> duties)
    {
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        await Task.WhenAll(duties.Select(async duty =>
        {
            try
            {
                await duty(end.Token);
            }
            catch
            {
                await end.CancelAsync();
                throw;
            }
        }).ToArray());
    }
}
