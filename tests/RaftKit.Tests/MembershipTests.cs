using System.Globalization;
using System.Text;
using HouseTests;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RaftKit.Node.Members;
using RaftKit.Node.Tests.Loop;
using RaftKit.Znodes;
using Xunit;

namespace RaftKit.Tests;

/// <summary>Members that come and go, as hosts over real sockets and disks.</summary>
public sealed class MembershipTests : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<int, string> _endpoints = Enumerable.Range(1, 3).ToDictionary(
        i => i, _ => $"127.0.0.1:{Loopback.FreePort()}");

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task One_member_grows_into_three_with_its_data_kept_and_then_does_without_the_first()
    {
        using var one = Build(1, 1);
        await one.StartAsync().WaitAsync(Patience);
        await one.Services.GetRequiredService<IZnodeSession>().CreateAsync("/kept", "here"u8.ToArray()).WaitAsync(Patience);
        var membership = one.Services.GetRequiredService<IQuorumMembership>();

        // One is added before it is started, the other after: both knew only the first.
        var second = membership.AddAsync(2, _endpoints[2]);
        using var two = Build(2, 1, 2);
        await two.StartAsync().WaitAsync(Patience);
        Assert.Equal([1, 2], Voters(await second.WaitAsync(Patience)));
        using var three = Build(3, 1, 3);
        await three.StartAsync().WaitAsync(Patience);
        Assert.Equal([1, 2, 3], Voters(await membership.AddAsync(3, _endpoints[3]).WaitAsync(Patience)));

        Assert.Equal([2, 3], Voters(await two.Services.GetRequiredService<IQuorumMembership>().RemoveAsync(1).WaitAsync(Patience)));
        await one.StopAsync().WaitAsync(Patience);
        var session = three.Services.GetRequiredService<IZnodeSession>();
        await session.SyncAsync().WaitAsync(Patience);
        Assert.Equal("here", Encoding.UTF8.GetString((await session.GetAsync("/kept").WaitAsync(Patience))!.Data.Span));
        await session.CreateAsync("/after").WaitAsync(Patience);

        // Over a restart, too: it is configured with a member that is none any more, and finds the other by what it knows.
        await three.StopAsync().WaitAsync(Patience);
        using var again = Build(3, 1, 3);
        await again.StartAsync().WaitAsync(Patience);
        await again.Services.GetRequiredService<IZnodeSession>().CreateAsync("/again").WaitAsync(Patience);
        Assert.Equal([2, 3], Voters(again.Services.GetRequiredService<IQuorumMembership>().Current!));
        await two.StopAsync().WaitAsync(Patience);
        await again.StopAsync().WaitAsync(Patience);
    }

    [Fact]
    public async Task Two_that_ask_to_be_added_make_three_of_one_that_is_configured_with_itself_alone_and_do_without_it()
    {
        using var one = Build(1, 1);
        await one.StartAsync().WaitAsync(Patience);
        await one.Services.GetRequiredService<IZnodeSession>().CreateAsync("/kept", "here"u8.ToArray()).WaitAsync(Patience);

        // Both know the first alone, and start at the same time.
        using var two = Build(2, o => o.AutoJoin = true, 1, 2);
        using var three = Build(3, o => o.AutoJoin = true, 1, 3);
        await Task.WhenAll(two.StartAsync(), three.StartAsync()).WaitAsync(Patience);
        var membership = three.Services.GetRequiredService<IQuorumMembership>();
        await Eventually.HoldsAsync(Patience, () => membership.Current is { IsChanging: false } now && Voters(now).SequenceEqual([1, 2, 3]));
        Assert.Equal(_endpoints.Values, membership.Current!.Members.Select(m => m.Endpoint));

        await one.StopAsync().WaitAsync(Patience);
        foreach (var left in new[] { two, three })
        {
            var session = left.Services.GetRequiredService<IZnodeSession>();
            await session.SyncAsync().WaitAsync(Patience);
            Assert.Equal("here", Encoding.UTF8.GetString((await session.GetAsync("/kept").WaitAsync(Patience))!.Data.Span));
        }
        await two.Services.GetRequiredService<IZnodeSession>().CreateAsync("/after").WaitAsync(Patience);

        // Over a restart, with the same options: it is a member, and asks for nothing.
        await three.StopAsync().WaitAsync(Patience);
        using var again = Build(3, o => o.AutoJoin = true, 1, 3);
        await again.StartAsync().WaitAsync(Patience);
        await again.Services.GetRequiredService<IZnodeSession>().CreateAsync("/again").WaitAsync(Patience);
        Assert.Equal([1, 1, 1], again.Services.GetRequiredService<IQuorumMembership>().Current!.Members.Select(m => m.Incarnation));
        await two.StopAsync().WaitAsync(Patience);
        await again.StopAsync().WaitAsync(Patience);
    }

    [Fact]
    public async Task A_member_that_nobody_could_dial_is_told_to_get_an_endpoint_before_it_grows_and_keeps_its_data()
    {
        using (var alone = Build(1))
        {
            await alone.StartAsync().WaitAsync(Patience);
            await alone.Services.GetRequiredService<IZnodeSession>().CreateAsync("/kept", "here"u8.ToArray()).WaitAsync(Patience);
            var refused = await Assert.ThrowsAsync<MembershipChangeRefusedException>(
                () => alone.Services.GetRequiredService<IQuorumMembership>().AddAsync(2, _endpoints[2]).WaitAsync(Patience));
            Assert.Contains("its port is 0", refused.Message, StringComparison.Ordinal);
            Assert.Contains("restart", refused.Message, StringComparison.Ordinal);
            await alone.StopAsync().WaitAsync(Patience);
        }
        using var one = Build(1, 1);
        await one.StartAsync().WaitAsync(Patience);
        using var two = Build(2, o => o.AutoJoin = true, 1, 2);
        await two.StartAsync().WaitAsync(Patience);
        var session = two.Services.GetRequiredService<IZnodeSession>();
        await session.SyncAsync().WaitAsync(Patience);
        Assert.Equal("here", Encoding.UTF8.GetString((await session.GetAsync("/kept").WaitAsync(Patience))!.Data.Span));
        await two.StopAsync().WaitAsync(Patience);
        await one.StopAsync().WaitAsync(Patience);
    }

    [Fact]
    public async Task After_all_were_stopped_two_that_are_configured_with_the_first_alone_find_each_other_without_it()
    {
        using (var one = Build(1, 1))
        {
            await one.StartAsync().WaitAsync(Patience);
            using var two = Build(2, o => o.AutoJoin = true, 1, 2);
            using var three = Build(3, o => o.AutoJoin = true, 1, 3);
            await Task.WhenAll(two.StartAsync(), three.StartAsync()).WaitAsync(Patience);
            var membership = one.Services.GetRequiredService<IQuorumMembership>();
            await Eventually.HoldsAsync(Patience, () => membership.Current is { IsChanging: false } now && Voters(now).SequenceEqual([1, 2, 3]));
            await one.Services.GetRequiredService<IZnodeSession>().CreateAsync("/kept").WaitAsync(Patience);
            await Task.WhenAll(one.StopAsync(), two.StopAsync(), three.StopAsync()).WaitAsync(Patience);
        }
        // No snapshot holds who listens where, and nothing of the log is known to be committed before there is a leader.
        using var second = Build(2, o => o.AutoJoin = true, 1, 2);
        using var third = Build(3, o => o.AutoJoin = true, 1, 3);
        await Task.WhenAll(second.StartAsync(), third.StartAsync()).WaitAsync(Patience);
        await third.Services.GetRequiredService<IZnodeSession>().CreateAsync("/after").WaitAsync(Patience);
        await Task.WhenAll(second.StopAsync(), third.StopAsync()).WaitAsync(Patience);
    }

    [Fact]
    public async Task All_members_move_one_after_another_and_find_each_other_though_each_was_told_of_its_own_move_alone()
    {
        // What each is configured with of the others is where they began, and stays that.
        var began = new Dictionary<int, string>(_endpoints);
        var hosts = new Dictionary<int, IHost>();
        try
        {
            await Task.WhenAll(began.Keys.Select(member => StartAsync(member, began)));
            await Session(1).CreateAsync("/kept", "here"u8.ToArray()).WaitAsync(Patience);
            await StartAsync(256, began);
            await MoveAsync(1);
            // It holds where the first went, and where the others were.
            await Session(256).CreateAsync("/seen").WaitAsync(Patience);
            await StopAsync(256);
            foreach (var member in new[] { 2, 3, 1 })
                await MoveAsync(member);
            await Task.WhenAll(began.Keys.Select(StopAsync));

            // All at once, and nobody knows what is committed.
            await Task.WhenAll(began.Keys.Select(member => StartAsync(member, began)));
            await Session(2).SyncAsync().WaitAsync(Patience);
            Assert.Equal("here", Encoding.UTF8.GetString((await Session(2).GetAsync("/kept").WaitAsync(Patience))!.Data.Span));
            Assert.Equal([1, 1, 1], Membership(2).Current!.Members.Select(m => m.Incarnation));
            // Its operator knows better than what it holds.
            await StartAsync(256, _endpoints);
            await Session(256).CreateAsync("/found").WaitAsync(Patience);
            await Task.WhenAll(hosts.Keys.Select(StopAsync));
        }
        finally
        {
            foreach (var host in hosts.Values)
                host.Dispose();
        }

        IZnodeSession Session(int id) => hosts[id].Services.GetRequiredService<IZnodeSession>();

        IQuorumMembership Membership(int id) => hosts[id].Services.GetRequiredService<IQuorumMembership>();

        Task StartAsync(int id, IReadOnlyDictionary<int, string> known)
        {
            hosts[id] = Build(id, o =>
            {
                o.Role = id == 256 ? QuorumRole.Observer : QuorumRole.Member;
                foreach (var (other, endpoint) in known)
                    o.Members[other.ToString(CultureInfo.InvariantCulture)] = other == id ? _endpoints[id] : endpoint;
            });
            return hosts[id].StartAsync().WaitAsync(Patience);
        }

        async Task StopAsync(int id)
        {
            await hosts[id].StopAsync().WaitAsync(Patience);
            hosts[id].Dispose();
        }

        async Task MoveAsync(int id)
        {
            _endpoints[id] = $"127.0.0.1:{Loopback.FreePort()}";
            var now = await Membership((id % 3) + 1).MoveAsync(id, _endpoints[id]).WaitAsync(Patience);
            Assert.Equal(_endpoints.Values, now.Members.Select(m => m.Endpoint));
            await StopAsync(id);
            await StartAsync(id, began);
            // It is there, with its life and its data, before the next one goes.
            await Session(id).SyncAsync().WaitAsync(Patience);
        }
    }

    [Fact]
    public async Task A_member_that_listens_elsewhere_without_having_said_so_is_linked_and_warned_with_what_to_call()
    {
        using var one = Build(1, 1);
        await one.StartAsync().WaitAsync(Patience);
        var membership = one.Services.GetRequiredService<IQuorumMembership>();
        using (var two = Build(2, o => o.AutoJoin = true, 1, 2))
        {
            await two.StartAsync().WaitAsync(Patience);
            await Eventually.HoldsAsync(Patience, () => membership.Current is { IsChanging: false } now && Voters(now).SequenceEqual([1, 2]));
            await two.StopAsync().WaitAsync(Patience);
        }
        var before = _endpoints[2];
        _endpoints[2] = $"127.0.0.1:{Loopback.FreePort()}";
        var heard = new Fakes.RecordingLogger();
        using var elsewhere = Build(2, static _ => { }, heard, [1, 2]);
        await elsewhere.StartAsync().WaitAsync(Patience);
        await elsewhere.Services.GetRequiredService<IZnodeSession>().CreateAsync("/linked").WaitAsync(Patience);
        await Eventually.HoldsAsync(Patience, () => heard.Entries.Any(m => m.Text.Contains(
            $"configured at {_endpoints[2]}, and the others dial it at {before}", StringComparison.Ordinal)
            && m.Text.Contains($"MoveAsync(2, \"{_endpoints[2]}\")", StringComparison.Ordinal)));

        var now = await membership.MoveAsync(2, _endpoints[2]).WaitAsync(Patience);
        Assert.Equal(_endpoints[2], now.Members.Single(m => m.Id == 2).Endpoint);
        var taken = await Assert.ThrowsAsync<MembershipChangeRefusedException>(() => membership.MoveAsync(2, _endpoints[1]).WaitAsync(Patience));
        Assert.Equal($"Member 1 listens at {_endpoints[1]} already.", taken.Message);
        await Assert.ThrowsAsync<ArgumentException>(() => membership.MoveAsync(2, "127.0.0.1:0"));
        await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => membership.MoveAsync(256, _endpoints[2]));
        await elsewhere.StopAsync().WaitAsync(Patience);
        await one.StopAsync().WaitAsync(Patience);
    }

    [Fact]
    public async Task A_member_that_leaves_adding_to_operators_refuses_whoever_asks_until_one_adds_it()
    {
        using var one = Build(1, o => o.AllowAutoJoin = false, 1);
        await one.StartAsync().WaitAsync(Patience);
        await one.Services.GetRequiredService<IZnodeSession>().CreateAsync("/kept").WaitAsync(Patience);
        var heard = new Fakes.RecordingLogger();
        using var two = Build(2, o => o.AutoJoin = true, heard, [1, 2]);
        await two.StartAsync().WaitAsync(Patience);
        await Eventually.HoldsAsync(
            Patience,
            () => heard.Entries.Any(m => m.Text.Contains("adds nobody by their own wish: AllowAutoJoin is false there", StringComparison.Ordinal)));

        var membership = one.Services.GetRequiredService<IQuorumMembership>();
        Assert.Equal([1, 2], Voters(await membership.AddAsync(2, _endpoints[2]).WaitAsync(Patience)));
        await two.StopAsync().WaitAsync(Patience);
        await one.StopAsync().WaitAsync(Patience);
    }

    private static IEnumerable<int> Voters(QuorumMembers members) => members.Members.Where(m => m.IsVoter).Select(m => m.Id);

    private IHost Build(int member, params int[] known) => Build(member, static _ => { }, known);

    private IHost Build(int member, Action<RaftKitOptions> configure, params int[] known) => Build(member, configure, null, known);

    private IHost Build(int member, Action<RaftKitOptions> configure, Fakes.RecordingLogger? logger, int[] known)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings { ContentRootPath = _folder.Path });
        builder.Services.AddRaftKit(o =>
        {
            o.Member = member;
            foreach (var id in known)
                o.Members[id.ToString(CultureInfo.InvariantCulture)] = _endpoints[id];
            o.DataDirectory = $"member-{member}";
            configure(o);
        });
        if (logger is not null)
            builder.Logging.AddProvider(logger);
        return builder.Build();
    }
}
