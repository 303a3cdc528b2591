using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using System.Threading.Channels;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using RaftKit.Consensus;
using RaftKit.Hosting;
using RaftKit.Load.Loads;
using RaftKit.Node.Loop;
using RaftKit.Znodes;

namespace RaftKit.Load.Members;

/// <summary>A process with a member of the quorum inside, that does what the parent orders.</summary>
internal sealed class Member : IDisposable
{
    public const string Verb = "member";

    private readonly Lock _lock = new();
    private readonly StreamWriter _output = new(Console.OpenStandardOutput()) { NewLine = "\n" };
    private readonly IHost _host;
    private readonly IQuorumMember _member;
    private readonly IZnodeSessions _sessions;
    private readonly Func<NodeCounters> _counters;

    private Member(IHost host)
    {
        _host = host;
        _member = host.Services.GetRequiredService<IQuorumMember>();
        _sessions = host.Services.GetRequiredService<IZnodeSessions>();
        _counters = () => host.Services.GetRequiredService<RaftKitHost>().Member.Counters!;
    }

    public static async Task<int> RunAsync(MemberSettings settings)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { DisableDefaults = true });
        builder.Logging.AddSimpleConsole(console => (console.SingleLine, console.TimestampFormat) = (true, "HH:mm:ss.fff "));
        builder.Logging.SetMinimumLevel(LogLevel.Information);
        builder.Services.Configure<ConsoleLoggerOptions>(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Services.AddRaftKit(o =>
        {
            o.Member = settings.Id;
            foreach (var (index, port) in settings.Ports.Index())
                o.Members.Add((index + 1).ToString(CultureInfo.InvariantCulture), $"127.0.0.1:{port}");
            o.DataDirectory = settings.DataDirectory;
            if (settings.Timeouts is { } timeouts)
            {
                o.HeartbeatInterval = TimeSpan.FromMilliseconds(timeouts.HeartbeatMs);
                o.ElectionTimeout = TimeSpan.FromMilliseconds(timeouts.ElectionMs);
            }
        });
        using var host = builder.Build();
        await host.StartAsync();
        using var member = new Member(host);
        await member.ObeyAsync();
        await host.StopAsync();
        return 0;
    }

    public void Dispose() => _output.Dispose();

    private async Task ObeyAsync()
    {
        using var stop = new CancellationTokenSource();
        var watching = WatchStatusAsync(stop.Token);
        var probe = new WriteProbe(_sessions);
        var prepared = probe.PrepareAsync();
        await foreach (var order in ReadOrders().ReadAllAsync(CancellationToken.None))
        {
            try
            {
                if (order is MemberOrder.Run run)
                {
                    var figures = await new LoadRun(_sessions, _counters(), run).RunAsync(() => Send(new MemberReport.WindowOpened()));
                    Send(new MemberReport.WindowClosed(figures));
                }
                else if (order is MemberOrder.AwaitWrite)
                {
                    await prepared;
                    Send(new MemberReport.WriteAcknowledged(await probe.AwaitWriteAsync()));
                }
                else if (order is MemberOrder.Fill fill)
                {
                    await using var session = _sessions.Open();
                    await TreeFilling.RunAsync(session, fill.Znodes, fill.Size, fill.PerEntry);
                    Send(new MemberReport.Filled());
                }
                else if (order is MemberOrder.Tell)
                {
                    Send(Tell());
                }
            }
            catch (Exception e)
            {
                Send(new MemberReport.Failed(e.Message));
            }
        }

        await stop.CancelAsync();
        await watching;
    }

    private MemberReport.State Tell()
    {
        using var process = Process.GetCurrentProcess();
        var (counters, (digest, zxid)) = (_counters(), _sessions.View.Digest);
        return new MemberReport.State(
            _member.Status!.Self.Value, _sessions.View.Count, digest, zxid, Math.Round(counters.LongestSnapshotTurn.TotalMilliseconds, 2),
            Math.Round(counters.LongestSnapshotTurnWork.TotalMilliseconds, 2), counters.SnapshotsTaken, counters.SnapshotsInstalled,
            process.PeakWorkingSet64 >> 20);
    }

    // On a thread of its own: reading the console blocks, and a blocked thread of the pool would be missing from the measurement.
    private static ChannelReader<MemberOrder> ReadOrders()
    {
        var orders = Channel.CreateUnbounded<MemberOrder>();
        new Thread(() =>
        {
            while (Console.In.ReadLine() is { } line)
                orders.Writer.TryWrite(JsonSerializer.Deserialize(line, LoadJson.Default.MemberOrder)!);
            orders.Writer.Complete();
        }) { IsBackground = true, Name = "Orders" }.Start();
        return orders.Reader;
    }

    private async Task WatchStatusAsync(CancellationToken stop)
    {
        MemberReport.Status? told = null;
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(10));
        while (!stop.IsCancellationRequested)
        {
            if (_member.Status is { } now && new MemberReport.Status(now.Role == RaftRole.Leader, now.Ready, now.Term.Value) is var status
                && status != told)
                Send(told = status);
            await timer.WaitForNextTickAsync(CancellationToken.None);
        }
    }

    private void Send(MemberReport report)
    {
        var line = JsonSerializer.Serialize(report, LoadJson.Default.MemberReport);
        lock (_lock)
        {
            _output.WriteLine(line);
            _output.Flush();
        }
    }
}
