using System.Diagnostics.Metrics;
using System.Text.RegularExpressions;
using HouseTests;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RaftKit.Hosting;
using RaftKit.Recipes;
using RaftKit.Tests.Fakes;
using RaftKit.Znodes;
using Xunit;

namespace RaftKit.Tests;

/// <summary>The member lives and dies with its host, and what it does can be seen.</summary>
public sealed class HostingTests : IAsyncLifetime
{
    private readonly FakeMember _member = new();
    private readonly RecordingLogger _logs = new();
    private IHost? _host;

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        if (_host is IAsyncDisposable host)
            await host.DisposeAsync();
    }

    [Fact]
    public async Task The_member_starts_before_the_applications_services_and_stops_after_them()
    {
        var host = Build(services => services.AddHostedService(_ => new Application(_member.Events)));

        await host.StartAsync();
        await host.StopAsync();

        Assert.Equal(["member started", "application started", "application stopped", "member stopped"], _member.Events);
    }

    [Fact]
    public async Task A_start_that_fails_fails_the_hosts_start()
    {
        _member.StartFailure = new IOException("The directory is in use by process 7.");
        var e = await Assert.ThrowsAsync<IOException>(() => Build().StartAsync());
        Assert.Contains("in use", e.Message);
    }

    [Fact]
    public async Task A_node_that_fails_leaves_the_host_running_and_shows_in_logs_and_health()
    {
        var host = Build();
        await host.StartAsync();
        var stopping = host.Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;

        _member.Fail(new IOException("fdatasync failed: EIO"));

        Assert.False(stopping.IsCancellationRequested);
        var (level, text, cause) = Assert.Single(_logs.Entries, e => e.Level == LogLevel.Critical);
        Assert.Contains("Member 1", text);
        Assert.Equal("fdatasync failed: EIO", cause!.Message);
        var report = await Check(host);
        Assert.Equal(HealthStatus.Unhealthy, report.Entries["raftkit-live"].Status);
        Assert.Contains("EIO", report.Entries["raftkit-live"].Description);
        Assert.Equal(HealthStatus.Unhealthy, report.Entries["raftkit-quorum"].Status);
        await host.StopAsync();
    }

    [Fact]
    public async Task A_member_with_its_quorum_is_healthy()
    {
        var host = Build();
        await host.StartAsync();

        var report = await Check(host);

        Assert.Equal(HealthStatus.Healthy, report.Status);
        Assert.Equal(["live", "raftkit"], report.Entries["raftkit-live"].Tags);
        Assert.Equal(["raftkit", "ready"], report.Entries["raftkit-ready"].Tags.Order());
        Assert.Equal(["quorum", "raftkit"], report.Entries["raftkit-quorum"].Tags);
        Assert.Equal(3L, Convert.ToInt64(report.Entries["raftkit-quorum"].Data["term"]));
    }

    [Fact]
    public async Task Without_a_leader_a_member_lives_but_is_not_ready()
    {
        var host = Build();
        await host.StartAsync();
        _member.Status = FakeMember.Leading with { Ready = false, Leader = default };

        var report = await Check(host);

        Assert.Equal(HealthStatus.Healthy, report.Entries["raftkit-live"].Status);
        Assert.Equal(HealthStatus.Unhealthy, report.Entries["raftkit-ready"].Status);
        Assert.Equal(HealthStatus.Unhealthy, report.Entries["raftkit-quorum"].Status);
    }

    [Fact]
    public async Task A_member_that_cannot_catch_up_is_not_ready()
    {
        var host = Build();
        await host.StartAsync();
        _member.BarrierFailure = new InvalidOperationException("no quorum confirmed the read");

        var report = await Check(host);

        Assert.Equal(HealthStatus.Unhealthy, report.Entries["raftkit-ready"].Status);
        Assert.Contains("no quorum confirmed the read", report.Entries["raftkit-ready"].Description);
    }

    [Fact]
    public void What_applications_need_can_be_injected()
    {
        var services = Build(add => add.AddRaftKit().AddLeaderElection("/elections/scheduler")).Services;

        Assert.Same(services.GetRequiredService<ZnodeSessionSource>().Current, services.GetRequiredService<IZnodeSession>());
        Assert.Same(_member.Quorum, services.GetRequiredService<IZnodeSessions>());
        var election = services.GetRequiredService<LeaderElection>();
        Assert.Equal("/elections/scheduler", election.Path);
        Assert.Same(election, services.GetRequiredKeyedService<LeaderElection>("/elections/scheduler"));
        Assert.Same(election, services.GetRequiredService<ILeaderElections>().For("/elections/scheduler"));
        Assert.NotSame(election, services.GetRequiredService<ILeaderElections>().For("/elections/other"));
    }

    [Fact]
    public void Other_data_for_an_election_that_exists_is_refused_with_both_values()
    {
        var elections = Build().Services.GetRequiredService<ILeaderElections>();
        var election = elections.For("/elections/scheduler", "blue"u8.ToArray());

        Assert.Same(election, elections.For("/elections/scheduler", "blue"u8.ToArray()));
        Assert.Same(election, elections.For("/elections/scheduler"));
        var refused = Assert.Throws<ArgumentException>(() => elections.For("/elections/scheduler", new byte[] { 0xff, 1 }));
        Assert.Contains(
            "'/elections/scheduler' has the data 'blue' already, and 0xFF01 is asked for", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_host_that_is_disposed_waits_for_what_its_elections_still_withdraw()
    {
        var host = Build();
        await host.StartAsync();
        var election = host.Services.GetRequiredService<ILeaderElections>().For("/elections/scheduler");
        var leadership = await election.WaitForLeadershipAsync();
        _member.Quorum.Hold();
        var resigning = leadership.DisposeAsync().AsTask();

        var disposing = ((IAsyncDisposable)host).DisposeAsync().AsTask();
        await _member.Disposed.Task;
        _host = null;

        Assert.False(disposing.IsCompleted);
        _member.Quorum.Release();
        await disposing;
        await resigning;
        Assert.Empty(_member.Quorum.ChildrenOf("/elections/scheduler"));
    }

    [Fact]
    public async Task Clusters_with_keys_stand_side_by_side()
    {
        var host = Build(services => services.AddKeyedRaftKit("audit", o => o.Member = 2).AddLeaderElection("/elections/audit"));
        await host.StartAsync();

        Assert.Equal(1, host.Services.GetRequiredService<RaftKitHost>().Options.Member);
        Assert.Equal(2, host.Services.GetRequiredKeyedService<RaftKitHost>("audit").Options.Member);
        Assert.Equal("/elections/audit", host.Services.GetRequiredKeyedService<LeaderElection>("audit:/elections/audit").Path);
        Assert.NotSame(host.Services.GetRequiredService<IZnodeSession>(), host.Services.GetRequiredKeyedService<IZnodeSession>("audit"));
        Assert.Equal(["member started", "member started"], _member.Events);
    }

    [Fact]
    public void Adding_it_twice_adds_options_and_not_a_second_member()
    {
        var services = Build(add => add.AddRaftKit(o => o.Member = 4)).Services;
        Assert.Equal(4, services.GetRequiredService<RaftKitHost>().Options.Member);
        Assert.Single(services.GetServices<IHostedService>().OfType<RaftKitHostedService>());
    }

    [Fact]
    public async Task Every_instrument_is_documented_under_its_name_and_unit_and_measures()
    {
        var host = Build();
        await host.StartAsync();
        var factory = host.Services.GetRequiredService<IMeterFactory>();
        var measured = new Dictionary<string, (string? Unit, long Value)>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Name == "RaftKit" && instrument.Meter.Scope == factory)
                    listener.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
        {
            Assert.Contains(tags.ToArray(), tag => tag.Key == "raftkit.member" && Equals(tag.Value, 1));
            measured[instrument.Name] = (instrument.Unit, value);
        });
        listener.Start();
        listener.RecordObservableInstruments();

        var page = File.ReadAllText(Path.Combine(Repository.ProjectFolder("RaftKit"), "README.md"));
        var documented = Regex.Matches(page, @"^\| `(raftkit\.[a-z_.]+)` \| \w+ \| `(\{\w+\})` \|", RegexOptions.Multiline)
            .ToDictionary(m => m.Groups[1].Value, m => m.Groups[2].Value);
        Assert.Equal(documented.OrderBy(d => d.Key), measured.ToDictionary(m => m.Key, m => m.Value.Unit!).OrderBy(m => m.Key));
        Assert.Equal(3, measured["raftkit.term"].Value);
        Assert.Equal(42, measured["raftkit.commit_index"].Value);
        Assert.Equal(41, measured["raftkit.applied_index"].Value);
        Assert.Equal(1, measured["raftkit.is_leader"].Value);
        Assert.Equal(0, measured["raftkit.node.failed"].Value);
    }

    private IHost Build(Action<IServiceCollection>? add = null)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Logging.AddProvider(_logs);
        builder.Services.AddSingleton<IClusterMemberFactory>(_member);
        builder.Services.AddRaftKit();
        builder.Services.AddHealthChecks().AddRaftKit();
        add?.Invoke(builder.Services);
        return _host = builder.Build();
    }

    private static Task<HealthReport> Check(IHost host) => host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync();

    private sealed class Application(List<string> events) : IHostedService
    {
        public Task StartAsync(CancellationToken cancellationToken)
        {
            events.Add("application started");
            return Task.CompletedTask;
        }

        public Task StopAsync(CancellationToken cancellationToken)
        {
            events.Add("application stopped");
            return Task.CompletedTask;
        }
    }
}
