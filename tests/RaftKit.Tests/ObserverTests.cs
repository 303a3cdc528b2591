using System.Globalization;
using System.Text;
using HouseTests;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Znodes;
using Xunit;

namespace RaftKit.Tests;

/// <summary>Observers of a quorum, as hosts over real sockets and disks.</summary>
public sealed class ObserverTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<int, string> _endpoints = Enumerable.Range(1, 3).ToDictionary(
        i => i, _ => $"127.0.0.1:{Loopback.FreePort()}");
    private readonly Dictionary<int, IHost> _hosts = [];

    public void Dispose()
    {
        foreach (var host in _hosts.Values)
            host.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public async Task Observers_hold_the_state_and_sessions_of_their_own_and_go_on_with_another_source_when_theirs_ends()
    {
        await Task.WhenAll(Enumerable.Range(1, 3).Select(StartAsync));
        await Session(1).CreateAsync("/kept", "here"u8.ToArray()).WaitAsync(Patience);
        await StartAsync(256);
        await StartAsync(900);

        // An ephemeral of the observer's own session, as a broker registers itself, seen by the members and by the other observer.
        await Session(256).CreateAsync("/broker", "256"u8.ToArray(), CreateMode.Ephemeral).WaitAsync(Patience);
        await Session(900).SyncAsync().WaitAsync(Patience);
        Assert.Equal("here", await ReadAsync(900, "/kept"));
        Assert.Equal("256", await ReadAsync(900, "/broker"));
        Assert.Equal(RaftRole.Observer, Status(256).Role);
        Assert.Equal([1, 2, 3], Members(256));
        Assert.Equal([1, 2, 3], Members(1));

        // Whoever feeds the first goes. What is written after that reaches it, once.
        var source = Status(256).Source.Value;
        Assert.InRange(source, 1, 3);
        await _hosts[source].StopAsync().WaitAsync(Patience);
        _hosts.Remove(source, out var stopped);
        stopped!.Dispose();
        var writer = Enumerable.Range(1, 3).First(id => id != source);
        for (var i = 0; i < 20; i++)
            await Session(i % 2 == 0 ? 256 : writer).CreateAsync($"/after-{i}").WaitAsync(Patience);
        await Session(256).SyncAsync().WaitAsync(Patience);
        for (var i = 0; i < 20; i++)
            Assert.NotNull(await Session(256).ExistsAsync($"/after-{i}").WaitAsync(Patience));
        Assert.NotEqual(source, Status(256).Source.Value);

        // Its session, which ends with it, was alive all along.
        await Session(writer).SyncAsync().WaitAsync(Patience);
        Assert.Equal("256", await ReadAsync(writer, "/broker"));
        await StopAsync(256);
        await Session(writer).SyncAsync().WaitAsync(Patience);
        Assert.Null(await Session(writer).ExistsAsync("/broker").WaitAsync(Patience));

        // It comes back on its own disk, and once more on an empty one: both times it may write, and nobody was ever asked to let it in.
        await StartAsync(256);
        await Session(256).CreateAsync("/again").WaitAsync(Patience);
        Assert.Equal("here", await ReadAsync(256, "/kept"));
        await StopAsync(256);
        Directory.Delete(Path.Combine(_folder.Path, "member-256"), recursive: true);
        await StartAsync(256);
        await Session(256).CreateAsync("/anew").WaitAsync(Patience);
        await Session(256).SyncAsync().WaitAsync(Patience);
        Assert.NotNull(await Session(256).ExistsAsync("/again").WaitAsync(Patience));
        Assert.Equal([1, 2, 3], Members(256));
    }

    [Fact]
    public async Task An_observer_whose_directory_is_a_members_does_not_start_in_it()
    {
        await StartAsync(1, 1);
        await Session(1).CreateAsync("/a").WaitAsync(Patience);
        await StopAsync(1);
        Directory.Move(Path.Combine(_folder.Path, "member-1"), Path.Combine(_folder.Path, "member-256"));
        var e = await Assert.ThrowsAnyAsync<Exception>(() => StartAsync(256, 1));
        Assert.Contains("belongs to member 1, but member 256 was to start in it", e.Message);
    }

    private IZnodeSession Session(int id) => _hosts[id].Services.GetRequiredService<IZnodeSession>();

    private NodeStatus Status(int id) => _hosts[id].Services.GetRequiredService<IQuorumMember>().Status!;

    private IEnumerable<int> Members(int id) =>
        _hosts[id].Services.GetRequiredService<IQuorumMembership>().Current!.Members.Select(m => m.Id).Order();

    private async Task<string> ReadAsync(int id, string path) =>
        Encoding.UTF8.GetString((await Session(id).GetAsync(path).WaitAsync(Patience))!.Data.Span);

    private async Task StopAsync(int id)
    {
        await _hosts[id].StopAsync().WaitAsync(Patience);
        _hosts.Remove(id, out var host);
        host!.Dispose();
    }

    private Task StartAsync(int id) => StartAsync(id, 1, 2, 3);

    private async Task StartAsync(int id, params int[] members)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ContentRootPath = _folder.Path });
        builder.Services.AddRaftKit(o =>
        {
            o.Member = id;
            if (id > 255)
                o.Role = QuorumRole.Observer;
            foreach (var member in members)
                o.Members[member.ToString(CultureInfo.InvariantCulture)] = _endpoints[member];
            o.DataDirectory = $"member-{id}";
            o.RehearseFailover = false;
        });
        var host = builder.Build();
        lock (_hosts)
            _hosts[id] = host;
        await host.StartAsync().WaitAsync(Patience);
    }
}
