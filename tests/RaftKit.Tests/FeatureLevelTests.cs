using System.Buffers;
using System.Globalization;
using HouseTests;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using RaftKit.Node.Levels;
using RaftKit.Node.Loop;
using Xunit;

namespace RaftKit.Tests;

/// <summary>An application rolls its own state machine to new commands, as hosts over real sockets and disks.</summary>
public sealed class FeatureLevelTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<int, string> _endpoints = Enumerable.Range(1, 3).ToDictionary(
        i => i, _ => $"127.0.0.1:{Loopback.FreePort()}");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_cluster_rolls_to_a_new_level_and_a_member_that_goes_back_says_what_it_lacks_while_its_host_lives_on()
    {
        var hosts = new Dictionary<int, IHost>();
        foreach (var id in _endpoints.Keys)
            hosts[id] = await StartAsync(id, newest: 1);
        Assert.Equal("old", await ApplyAsync(hosts[1]));
        foreach (var id in _endpoints.Keys)
        {
            await StopAsync(hosts[id]);
            hosts[id] = await StartAsync(id, newest: 2);
            Assert.Equal("old", await ApplyAsync(hosts[id]));
        }

        var levels = hosts[2].Services.GetRequiredService<IFeatureLevels>();
        Assert.Equal((1, new FeatureRange(1, 2)), (levels.Finalized("orders"), levels.Supported["orders"]));
        await levels.FinalizeAsync("orders", 2).WaitAsync(Patience);
        Assert.Equal(2, levels.Finalized("orders"));
        Assert.Equal("new", await ApplyAsync(hosts[1]));

        await StopAsync(hosts[3]);
        hosts[3] = await StartAsync(3, newest: 1);
        var health = await UntilUnhealthyAsync(hosts[3]);
        Assert.Contains("stopped by itself", health.Description);
        Assert.Contains("Start a build that supports level 2 in the same directory", health.Description);
        Assert.IsType<FeatureLevelUnsupportedException>(health.Exception);
        Assert.False(hosts[3].Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping.IsCancellationRequested);

        await StopAsync(hosts[3]);
        hosts[3] = await StartAsync(3, newest: 2);
        Assert.Equal("new", await ApplyAsync(hosts[3]));
        foreach (var host in hosts.Values)
            await StopAsync(host);
    }

    [Theory]
    [InlineData("", 1, 2)]
    [InlineData("raftkit", 1, 2)]
    [InlineData("orders", 0, 2)]
    [InlineData("orders", 3, 2)]
    public void What_no_feature_can_be_is_refused_where_it_is_declared(string feature, int min, int max)
    {
        Assert.Throws<ArgumentException>(() => new RaftKitOptions().Supports(feature, min, max));
    }

    [Fact]
    public void More_features_than_a_handshake_has_room_for_are_refused_where_they_are_declared()
    {
        var options = new RaftKitOptions();
        for (var i = 1; i <= 15; i++)
            options.Supports($"feature-{i}", 1, 1);
        options.Supports("feature-1", 1, 2);
        Assert.Contains("15 features already", Assert.Throws<ArgumentException>(() => options.Supports("feature-16", 1, 1)).Message);
    }

    private static async Task<string> ApplyAsync(IHost host) =>
        System.Text.Encoding.ASCII.GetString(
            (await host.Services.GetRequiredService<IReplicated<Orders>>().ProposeAsync(new byte[1]).WaitAsync(Patience)).Span);

    private static async Task<HealthReportEntry> UntilUnhealthyAsync(IHost host)
    {
        using var patience = new CancellationTokenSource(Patience);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while (true)
        {
            var report = await host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(
                r => r.Name == "raftkit-live", patience.Token);
            if (report.Entries["raftkit-live"] is { Status: HealthStatus.Unhealthy } entry)
                return entry;
            await timer.WaitForNextTickAsync(patience.Token);
        }
    }

    private static async Task StopAsync(IHost host)
    {
        await host.StopAsync().WaitAsync(Patience);
        host.Dispose();
    }

    private async Task<IHost> StartAsync(int member, int newest)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ContentRootPath = _folder.Path });
        builder.Services.AddRaftKit(o =>
        {
            o.Member = member;
            foreach (var (id, endpoint) in _endpoints)
                o.Members[id.ToString(CultureInfo.InvariantCulture)] = endpoint;
            o.DataDirectory = $"member-{member}";
            o.RehearseFailover = false;
            o.Supports("orders", 1, newest);
        }).AddStateMachine<Orders>();
        builder.Services.AddHealthChecks().AddRaftKit();
        var host = builder.Build();
        await host.StartAsync().WaitAsync(Patience);
        return host;
    }

    /// <summary>Answers in the form of the level as of the command.</summary>
    private sealed class Orders : IStateMachine
    {
        public string Name => "orders";

        public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result) =>
            result.Write(context.LevelOf("orders") >= 2 ? "new"u8 : "old"u8);

        public ISnapshotCapture Capture() => new Nothing();

        public IStateRestorer BeginRestore() => new Nothing();

        private sealed class Nothing : ISnapshotCapture, IStateRestorer
        {
            public bool WriteSlice(IBufferWriter<byte> frame) => false;

            public void Frame(ReadOnlyMemory<byte> frame)
            {
                // It holds no state.
            }

            public void Complete(in CommandContext context)
            {
                // It holds no state.
            }

            public void Dispose()
            {
                // Nothing is held.
            }
        }
    }
}
