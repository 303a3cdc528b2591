using HouseTests;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using RaftKit.Consensus;
using RaftKit.Node.Reads;
using RaftKit.Znodes;
using Xunit;

namespace RaftKit.Tests;

/// <summary>Every kind of read, through real hosts over loopback.</summary>
public sealed class ReadTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<int, string> _endpoints = Enumerable.Range(1, 3).ToDictionary(
        i => i, _ => $"127.0.0.1:{Loopback.FreePort()}");
    private readonly List<IHost> _hosts = [];

    public async Task InitializeAsync()
    {
        for (var i = 1; i <= 3; i++)
            _hosts.Add(Build(i));
        await Task.WhenAll(_hosts.Select(h => h.StartAsync())).WaitAsync(Patience);
        await Session(_hosts[0]).CreateAsync("/a", "1"u8.ToArray()).WaitAsync(Patience);
    }

    public async Task DisposeAsync()
    {
        await Task.WhenAll(_hosts.Select(h => h.StopAsync())).WaitAsync(Patience);
        foreach (var host in _hosts)
            host.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task Every_member_reads_by_the_leaders_lease_and_the_next_leader_by_its_own()
    {
        foreach (var host in _hosts)
            await ReadsByLeaseAsync(host);

        var leader = Leader();
        await leader.StopAsync().WaitAsync(Patience);
        foreach (var host in _hosts.Where(h => h != leader))
            await ReadsByLeaseAsync(host);
    }

    [Fact]
    public async Task Who_insists_on_a_quorum_gets_one()
    {
        foreach (var host in _hosts)
        {
            var read = await View(host).ReadAsync(v => v.Get("/a")?.Stat.Version, ReadConsistency.Linearizable).WaitAsync(Patience);
            Assert.Equal((0, ReadGuarantee.ReadIndex), (read.Value, read.Guarantee));
            Assert.Equal(TimeSpan.Zero, read.Behind);
        }
    }

    [Fact]
    public async Task A_user_who_is_sent_from_member_to_member_never_goes_back()
    {
        var seen = 0L;
        for (var i = 0; i < 12; i++)
        {
            var written = await Session(_hosts[i % 3]).SetAsync("/a", "2"u8.ToArray()).WaitAsync(Patience);
            // As the number would come in a request.
            var user = new ReadSession(seen);
            user.Advance(written.ModifiedZxid);
            var read = await View(_hosts[(i + 1) % 3]).ReadAsync(v => v.Get("/a")!.Stat.Version, ReadConsistency.Session(user)).WaitAsync(
                Patience);
            Assert.Equal(written.Version, read.Value);
            Assert.Equal(ReadGuarantee.Session, read.Guarantee);
            Assert.True(user.Seen >= written.ModifiedZxid && user.Seen == read.Zxid);
            seen = user.Seen;
        }
    }

    [Fact]
    public async Task A_member_that_is_alone_reads_no_staler_than_allowed_or_says_how_far_behind_it_is()
    {
        var last = _hosts.First(h => h != Leader());
        var bounded = await View(last).ReadAsync(
            v => v.Get("/a") is not null, ReadConsistency.AtMostBehind(TimeSpan.FromSeconds(30))).WaitAsync(Patience);
        Assert.True(bounded.Value);
        Assert.Equal(ReadGuarantee.BoundedStaleness, bounded.Guarantee);
        Assert.InRange(bounded.Behind!.Value, TimeSpan.Zero, TimeSpan.FromSeconds(30));

        await Task.WhenAll(_hosts.Where(h => h != last).Select(h => h.StopAsync())).WaitAsync(Patience);
        var stale = await Assert.ThrowsAsync<StaleReadException>(
            () => View(last).ReadAsync(v => v.Get("/a"), ReadConsistency.AtMostBehind(TimeSpan.FromMilliseconds(1))).WaitAsync(Patience));
        Assert.True(stale.Behind > TimeSpan.FromMilliseconds(1));
        Assert.Contains("ms behind", stale.Message);

        var local = await View(last).ReadAsync(v => v.Get("/a") is not null, ReadConsistency.Local).WaitAsync(Patience);
        Assert.True(local.Value);
        Assert.True(local.Behind >= stale.Behind);
    }

    private static async Task ReadsByLeaseAsync(IHost host)
    {
        // A leader that is new, or was held up, asks a quorum: then the next heartbeat renews its lease.
        using var patience = new CancellationTokenSource(Patience);
        ReadResult<bool> read;
        do
        {
            read = await View(host).ReadAsync(v => v.Get("/a") is not null, ReadConsistency.LinearizableByLease, patience.Token);
            Assert.True(read.Value);
        }
        while (read.Guarantee != ReadGuarantee.Lease);
    }

    private static IZnodeView View(IHost host) => host.Services.GetRequiredService<IZnodeView>();

    private static IZnodeSession Session(IHost host) => host.Services.GetRequiredService<IZnodeSession>();

    private IHost Leader() =>
        _hosts.Single(h => h.Services.GetRequiredService<IQuorumMember>().Status is { Ready: true, Role: RaftRole.Leader });

    private IHost Build(int member)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ContentRootPath = _folder.Path });
        builder.Services.AddRaftKit(options =>
        {
            options.Member = member;
            foreach (var (id, endpoint) in _endpoints)
                options.Members[$"{id}"] = endpoint;
            options.DataDirectory = $"data-{member}";
            options.LeaderLease = TimeSpan.FromMilliseconds(200);
            options.RehearseFailover = false;
        });
        return builder.Build();
    }
}
