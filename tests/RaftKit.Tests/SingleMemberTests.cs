using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Text;
using HouseTests;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using RaftKit.Hosting;
using RaftKit.Recipes;
using RaftKit.Znodes;
using Xunit;

namespace RaftKit.Tests;

/// <summary>With no configuration there is one durable member that works: the real node, on a real disk.</summary>
public sealed class SingleMemberTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task What_was_written_is_there_after_a_restart_and_ephemerals_are_not()
    {
        await RunAsync(async services =>
        {
            var session = services.GetRequiredService<IZnodeSession>();
            await session.CreateAsync("/config", Encoding.UTF8.GetBytes("kept")).WaitAsync(Patience);
            await session.CreateAsync("/alive", default, CreateMode.Ephemeral).WaitAsync(Patience);
            Assert.NotNull(services.GetRequiredService<IZnodeView>().Get("/alive"));
        });
        Assert.True(Directory.Exists(Path.Combine(_folder.Path, "raftkit-data")), "the data is not in raftkit-data under the content root");

        await RunAsync(async services =>
        {
            var session = services.GetRequiredService<IZnodeSession>();
            await session.SyncAsync().WaitAsync(Patience);
            Assert.Equal("kept", Encoding.UTF8.GetString((await session.GetAsync("/config"))!.Data.Span));
            Assert.Null(await session.ExistsAsync("/alive"));
        });
    }

    [Fact]
    public async Task Leadership_is_won_with_a_token_that_grows_over_restarts()
    {
        var tokens = new List<FencingToken>();
        for (var life = 0; life < 3; life++)
        {
            await RunAsync(async services =>
            {
                await using var leadership = await services.GetRequiredService<LeaderElection>().WaitForLeadershipAsync().WaitAsync(
                    Patience);
                Assert.True(leadership.IsHeld);
                tokens.Add(leadership.FencingToken);
            });
        }

        Assert.True(tokens[0] < tokens[1] && tokens[1] < tokens[2], string.Join(", ", tokens));
    }

    [Fact]
    public async Task A_session_that_was_disposed_before_the_start_does_not_live()
    {
        using var host = Build();
        await host.Services.GetRequiredService<IZnodeSessions>().Open().DisposeAsync();
        await host.StartAsync().WaitAsync(Patience);

        // What becomes of the first session stands in the log before the first write of the second.
        await host.Services.GetRequiredService<IZnodeSession>().CreateAsync("/later").WaitAsync(Patience);

        var counters = host.Services.GetRequiredService<RaftKitHost>().Member.SessionCounters;
        Assert.Equal(1, counters.Opened - counters.Closed);
        await host.StopAsync().WaitAsync(Patience);
    }

    [Fact]
    public async Task What_a_write_took_is_measured_in_seconds_and_traced_from_the_call_to_its_answer()
    {
        var measured = new ConcurrentQueue<double>();
        var traced = new ConcurrentQueue<Activity>();
        using var traces = new ActivityListener
        {
            ShouldListenTo = source => source.Name == "RaftKit",
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = traced.Enqueue,
        };
        ActivitySource.AddActivityListener(traces);
        await RunAsync(async services =>
        {
            var factory = services.GetRequiredService<IMeterFactory>();
            using var listener = new MeterListener
            {
                InstrumentPublished = (instrument, listener) =>
                {
                    if (instrument.Meter.Scope == factory && instrument is { Name: "raftkit.proposal.duration", Unit: "s" })
                        listener.EnableMeasurementEvents(instrument);
                },
            };
            listener.SetMeasurementEventCallback<double>((_, took, tags, _) =>
            {
                Assert.Contains(tags.ToArray(), tag => tag.Key == "raftkit.member" && Equals(tag.Value, 1));
                measured.Enqueue(took);
            });
            listener.Start();
            var session = services.GetRequiredService<IZnodeSession>();
            using var parent = new Activity("the caller").Start();

            var created = await session.CreateAsync("/traced").WaitAsync(Patience);
            await Assert.ThrowsAsync<ZnodeException>(() => session.CreateAsync("/traced").WaitAsync(Patience));

            Assert.Same(parent, Activity.Current);
            var writes = traced.Where(a => a.ParentId == parent.Id).ToList();
            Assert.Equal(["raftkit.create", "raftkit.create"], writes.Select(a => a.OperationName));
            Assert.Equal(["proposed", "applied"], writes[0].Events.Select(e => e.Name));
            Assert.Equal(created.Stat.CreatedZxid, writes[0].GetTagItem("raftkit.zxid"));
            Assert.Equal(session.Id, writes[0].GetTagItem("raftkit.session"));
            Assert.Equal("NodeExists", writes[1].GetTagItem("error.type"));
        });
        Assert.True(measured.Count >= 2);
        Assert.All(measured, took => Assert.InRange(took, 0.00001, Patience.TotalSeconds));
    }

    [Fact]
    public async Task It_becomes_healthy()
    {
        await RunAsync(async services =>
        {
            await services.GetRequiredService<IZnodeSession>().SyncAsync().WaitAsync(Patience);
            var report = await services.GetRequiredService<HealthCheckService>().CheckHealthAsync();
            Assert.Equal(HealthStatus.Healthy, report.Status);
        });
    }

    [Fact]
    public async Task Two_members_cannot_use_one_folder()
    {
        await RunAsync(async _ =>
        {
            using var second = Build();
            var e = await Assert.ThrowsAnyAsync<Exception>(() => second.StartAsync().WaitAsync(Patience));
            Assert.Contains("raftkit-data", e.Message);
        });
    }

    [Fact]
    public async Task A_host_that_was_never_started_can_be_disposed_though_its_session_was_used()
    {
        var host = (IAsyncDisposable)Build();
        var session = ((IHost)host).Services.GetRequiredService<IZnodeSession>();
        var create = session.CreateAsync("/never");

        await host.DisposeAsync().AsTask().WaitAsync(Patience);

        await Assert.ThrowsAsync<RaftKit.Node.Proposals.NotAppliedException>(() => create.WaitAsync(Patience));
        Assert.False(Directory.Exists(Path.Combine(_folder.Path, "raftkit-data")), "the disk was touched before the start");
    }

    private async Task RunAsync(Func<IServiceProvider, Task> use)
    {
        using var host = Build();
        await host.StartAsync().WaitAsync(Patience);
        await use(host.Services);
        await host.StopAsync().WaitAsync(Patience);
    }

    private IHost Build()
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ContentRootPath = _folder.Path });
        builder.Services.AddRaftKit().AddLeaderElection("/elections/scheduler");
        builder.Services.AddHealthChecks().AddRaftKit();
        return builder.Build();
    }
}
