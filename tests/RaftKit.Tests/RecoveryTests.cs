using HouseTests;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using RaftKit.Hosting;
using RaftKit.Node.Log;
using RaftKit.Node.Reads;
using RaftKit.Znodes;
using Xunit;

namespace RaftKit.Tests;

/// <summary>A quorum is lost, and forced anew out of one real directory.</summary>
public sealed class RecoveryTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<int, string> _endpoints = Enumerable.Range(1, 3).ToDictionary(
        i => i, _ => $"127.0.0.1:{Loopback.FreePort()}");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task One_survivor_becomes_the_quorum_the_others_old_data_is_refused_and_emptied_they_join_it()
    {
        long before;
        using (var hosts = await StartAsync(1, 2, 3))
        {
            before = await WriteAsync(hosts[1], "/a");
            // Two others are enough for it: the one that will be left has it once it can read it.
            await hosts[0].Services.GetRequiredService<IZnodeView>().ReadAsync(v => v.Get("/a"), ReadConsistency.Linearizable).WaitAsync(
                Patience);
            var running = Assert.Throws<DirectoryInUseException>(() => QuorumRecovery.Inspect(DirectoryOf(1)));
            Assert.Contains("held by another node", running.Message);
        }

        var report = QuorumRecovery.Inspect(DirectoryOf(1));
        Assert.Equal((1, 0), (report.Member, report.RecoveryEpoch));
        Assert.Equal([1, 2, 3], report.Members);
        Assert.Contains("members [1, 2, 3]", report.ToString(), StringComparison.Ordinal);
        Assert.True(report.LastIndex >= before);
        Refuses(() => QuorumRecovery.ForceNewQuorum(DirectoryOf(1), Guid.NewGuid(), report.Members),
            $"belongs to cluster {report.ClusterId}, not to");
        Refuses(() => QuorumRecovery.ForceNewQuorum(DirectoryOf(1), report.ClusterId, [1, 2]),
            "has the members 1, 2, 3, not 1, 2. Nothing was changed.");
        Assert.Equal(0, QuorumRecovery.Inspect(DirectoryOf(1)).RecoveryEpoch);
        Assert.Throws<DirectoryMismatchException>(() => QuorumRecovery.Inspect(DirectoryOf(4)));

        var forced = QuorumRecovery.ForceNewQuorum(DirectoryOf(1), report.ClusterId, report.Members);
        Assert.Equal((1, report.ClusterId, report.LastIndex + 2), (forced.RecoveryEpoch, forced.ClusterId, forced.LastIndex));

        using var alone = await StartAsync(1);
        var next = await WriteAsync(alone[0], "/b");
        Assert.True(next > before);
        Assert.Equal(1, next >> 48);
        Assert.Equal(1, Member(alone[0]).Status!.RecoveryEpoch);

        using (var old = await StartAsync(2))
        {
            var failure = await old[0].Services.GetRequiredService<RaftKitHost>().Member.Failed.WaitAsync(Patience);
            Assert.IsType<DirectoryRolledBackException>(failure);
            Assert.Contains("of before recovery epoch 1", failure.Message);
        }

        Directory.Delete(DirectoryOf(2), recursive: true);
        using var joined = await StartAsync(2);
        var read = await joined[0].Services.GetRequiredService<IZnodeView>()
            .ReadAsync(v => (v.Get("/a"), v.Get("/b")), ReadConsistency.Linearizable).WaitAsync(Patience);
        Assert.NotNull(read.Value.Item1);
        Assert.NotNull(read.Value.Item2);
        Assert.Equal(1, read.Zxid >> 48);
    }

    private static void Refuses(Action force, string why) => Assert.Contains(why, Assert.Throws<ArgumentException>(force).Message);

    private static async Task<long> WriteAsync(IHost host, string path) =>
        (await host.Services.GetRequiredService<IZnodeSession>().CreateAsync(path).WaitAsync(Patience)).Stat.CreatedZxid;

    private static IQuorumMember Member(IHost host) => host.Services.GetRequiredService<IQuorumMember>();

    private string DirectoryOf(int member) => Path.Combine(_folder.Path, $"data-{member}");

    private async Task<Running> StartAsync(params int[] members)
    {
        var hosts = new Running(members.Select(Build));
        await Task.WhenAll(hosts.Select(h => h.StartAsync())).WaitAsync(Patience);
        return hosts;
    }

    private IHost Build(int member)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ContentRootPath = _folder.Path });
        builder.Services.AddRaftKit(options =>
        {
            options.Member = member;
            foreach (var (id, endpoint) in _endpoints)
                options.Members[$"{id}"] = endpoint;
            options.DataDirectory = $"data-{member}";
            options.RehearseFailover = false;
        });
        return builder.Build();
    }

    private sealed class Running(IEnumerable<IHost> hosts) : List<IHost>(hosts), IDisposable
    {
        public void Dispose()
        {
            foreach (var host in this)
                host.Dispose();
        }
    }
}
