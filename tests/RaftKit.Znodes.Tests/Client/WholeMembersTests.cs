using Microsoft.Extensions.Logging.Abstractions;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;
using RaftKit.Znodes.Sessions;
using RaftKit.Tests;
using Xunit;

namespace RaftKit.Znodes.Tests.Client;

/// <summary>Sessions on whole members: real loops, disks and links, in one process.</summary>
public sealed class WholeMembersTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _root = Directory.CreateTempSubdirectory("raftkit-znodes-").FullName;
    private readonly Dictionary<int, (RaftNode Node, ZnodeService Service)> _members = [];
    private readonly Dictionary<MemberId, string> _endpoints;

    public WholeMembersTests()
    {
        _endpoints = Enumerable.Range(1, 3).ToDictionary(i => new MemberId(i), _ => $"127.0.0.1:{Loopback.FreePort()}");
        foreach (var id in _endpoints.Keys)
            Start(id.Value);
    }

    [Fact]
    public async Task Writers_and_watchers_on_three_members_agree()
    {
        var sessions = _members.Values.Select(m => m.Service.Sessions.Open(TimeSpan.FromSeconds(6))).ToArray();
        await sessions[0].CreateAsync("/all").WaitAsync(Patience);
        var root = await Until(() => sessions[1].GetAsync("/all"), znode => znode is not null);

        var writers = sessions.Select((session, i) => Task.WhenAll(Enumerable.Range(0, 200).Select(n =>
            session.CreateAsync(
                $"/all/{i}-", new byte[16], n % 2 == 0 ? CreateMode.EphemeralSequential : CreateMode.PersistentSequential))));
        var stream = sessions[1].EventsAsync("/all", afterZxid: root!.Stat.CreatedZxid).GetAsyncEnumerator();
        var created = await Task.WhenAll(writers).WaitAsync(Patience);

        var heard = new List<WatchEvent>();
        while (heard.Count < 600)
        {
            Assert.True(await stream.MoveNextAsync().AsTask().WaitAsync(Patience));
            heard.Add(stream.Current);
        }
        Assert.Equal(heard.OrderBy(e => e.Zxid), heard);
        Assert.Equal(created.SelectMany(c => c).Select(z => z.Path).Order(), heard.Select(e => e.Path).Order());
        foreach (var session in sessions)
        {
            await session.SyncAsync().WaitAsync(Patience);
            Assert.Equal(600, (await session.GetChildrenAsync("/all"))!.Names.Count);
        }
        await stream.DisposeAsync();
    }

    [Fact]
    public async Task Stopping_the_leader_in_order_takes_its_sessions_along_and_no_others()
    {
        var sessions = _members.ToDictionary(m => m.Key, m => m.Value.Service.Sessions.Open(TimeSpan.FromSeconds(6)));
        foreach (var (id, session) in sessions)
            await session.CreateAsync($"/e{id}", default, CreateMode.Ephemeral).WaitAsync(Patience);
        var leader = _members.First(m => m.Value.Node.Status.Role == RaftRole.Leader).Key;
        var witness = sessions.First(s => s.Key != leader);
        var gone = new TaskCompletionSource<WatchEvent>(TaskCreationOptions.RunContinuationsAsynchronously);
        await witness.Value.SyncAsync().WaitAsync(Patience);
        Assert.NotNull(await witness.Value.GetAsync($"/e{leader}", gone.SetResult));

        await _members[leader].Node.StopAsync().WaitAsync(Patience);
        _members.Remove(leader);

        Assert.Equal(WatchEventType.Deleted, (await gone.Task.WaitAsync(Patience)).Type);
        Assert.Equal(SessionState.Expired, sessions[leader].State);
        Assert.True(sessions[leader].Expired.IsCancellationRequested);
        foreach (var (id, session) in sessions.Where(s => s.Key != leader))
        {
            await session.SetAsync($"/e{id}", new byte[1]).WaitAsync(Patience);
            Assert.True(((ISessionLease)session).IsValid);
        }
        Assert.All(_members.Values, m => Assert.Equal(0, m.Service.Counters.Expired));
    }

    [Fact]
    public async Task Live_sessions_outlast_their_timeout()
    {
        var sessions = _members.Values.Select(m => m.Service.Sessions.Open(TimeSpan.FromSeconds(4))).ToArray();
        foreach (var session in sessions)
            await session.OpenedAsync().WaitAsync(Patience);
        var closing = _members[1].Service.Sessions.Open(TimeSpan.FromSeconds(4));
        await closing.CreateAsync("/clock", default, CreateMode.Ephemeral).WaitAsync(Patience);

        // Twice the timeout by the quorum's own time. A timeout that a busy machine's pauses could reach would test the machine; the
        // simulator has short ones.
        var stamp = (await sessions[0].CreateAsync("/start")).Stat.CreatedTime;
        await Until(async () => (await sessions[0].SetAsync("/start", default)).ModifiedTime, now => now - stamp > 8000);

        Assert.All(sessions, s => Assert.Equal(SessionState.Connected, s.State));
        Assert.All(_members.Values, m => Assert.Equal(0, m.Service.Counters.Expired));
        await closing.CloseAsync().WaitAsync(Patience);
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        foreach (var (node, _) in _members.Values)
            await node.StopAsync();
        Directory.Delete(_root, recursive: true);
    }

    private void Start(int id)
    {
        var service = new ZnodeService(new ZnodeOptions(), new ThreadPoolClientScheduler(() => BootTimeClock.Now), NullLogger.Instance);
        var options = new NodeLoopOptions
        {
            Self = new MemberId(id),
            Members = _endpoints,
            Seed = (ulong)id,
            HostProcess = HostProcess.Current(),
        };
        var transport = new TcpTransportOptions { Listen = _endpoints[options.Self] };
        var node = new RaftNode(
            options, transport, Path.Combine(_root, $"{id}"), [service.Machine], [service.Keeper], TimeProvider.System,
            NullLoggerFactory.Instance);
        service.Connect(node.Inbox);
        node.Start();
        _members[id] = (node, service);
    }

    private static async Task<T> Until<T>(Func<Task<T>> read, Func<T, bool> condition)
    {
        var started = BootTimeClock.Now;
        while (true)
        {
            var value = await read().WaitAsync(Patience);
            if (condition(value))
                return value;
            Assert.True(BootTimeClock.Now - started < Patience, "It did not come true in time.");
            await Task.Yield();
        }
    }
}
