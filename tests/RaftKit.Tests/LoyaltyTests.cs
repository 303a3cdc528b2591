using System.Diagnostics;
using HouseTests;
using RaftKit.Chaos;
using RaftKit.Chaos.Network;
using Xunit;

namespace RaftKit.Tests;

/// <summary>
/// Five members as processes, each in a network namespace of its own; nobody writes unless it is asked to, so that all have the same log
/// and only loyalty speaks against a vote. Needs root.
/// </summary>
[Collection(WholeMachine.Name)]
public sealed class LoyaltyTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    // Many election timeouts; less than a session lasts.
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(4);

    private static readonly int[] Ids = [1, 2, 3, 4, 5];

    private readonly TemporaryFolder _folder = new();
    private readonly MemberNetwork _network = new($"rkloyal{Environment.ProcessId}", Ids);
    private readonly List<MemberProcess> _members = [];

    public async Task InitializeAsync()
    {
        try
        {
            await StartAsync();
        }
        catch
        {
            // Of what could not be set up, nobody else disposes.
            await DisposeAsync();
            throw;
        }
    }

    private async Task StartAsync()
    {
        await _network.BuildAsync();
        string[] flags =
        [
            .. Ids.Select(id => $"--RaftKit:Members:{id}={MemberNetwork.Address(id)}:{MemberNetwork.Port}"),
            "--RaftKit:AllowPlainText=true", "--RaftKit:RehearseFailover=false", "--RaftKit:ElectionTimeout=00:00:00.5",
            "--RaftKit:SessionTimeout=00:00:20",
        ];
        _members.AddRange(Ids.Select(id => new MemberProcess(id, _network, [.. flags, $"--RaftKit:DataDirectory={_folder.Sub($"{id}")}"])));
        foreach (var member in _members)
            Assert.Equal("registered", member.Hear(Patience));
    }

    public async Task DisposeAsync()
    {
        foreach (var member in _members)
            member.Dispose();
        await _network.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task Voters_who_hear_their_leader_stay_loyal_to_it_while_another_member_believes_in_its_death()
    {
        var (_, term, leads) = _members[0].Roles()[^1];
        var leader = _members[leads - 1];
        var believer = _members.First(m => m != leader);
        var others = _members.Where(m => m != leader && m != believer).ToList();
        var ephemerals = leader.Ask("ephemerals", Patience);
        var from = _members.ToDictionary(m => m, m => m.Logged);

        // A firewall that refuses, for a process that is gone cannot be told from it: its link breaks, and its probes are refused.
        await _network.RunAsync(
            believer.Id,
            $"table ip death {{ chain out {{ type filter hook output priority 0; ip daddr {MemberNetwork.Address(leads)} meta l4proto tcp reject with tcp reset; }}; }}", "nft", "-f", "-");
        await HoldsAsync(
            () => believer.Since(from[believer]).Any(
                l => l.Contains($"Member {leads}, boot 1, is believed dead (proven: False)", StringComparison.Ordinal)));
        await HoldsAsync(() => believer.Roles(from[believer]).Any(r => r.Role == "PreCandidate"));
        // Reads leave no entry in the log, which would be a reason of its own to refuse a vote; each is answered by the leader, once a
        // quorum confirmed it.
        for (var began = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(began) < Long;)
        {
            foreach (var member in others)
                Assert.Equal("0", member.Ask("read", Patience));
        }

        AssertLoyal();
        for (var i = 1; i <= 20; i++)
            Assert.Equal($"{i}", others[i % others.Count].Ask("write", Patience));
        await _network.RunAsync(believer.Id, null, "nft", "delete", "table", "ip", "death");
        await HoldsAsync(() => believer.Roles(from[believer])[^1] == ("Follower", term, leads));

        Assert.Equal("20", believer.Ask("read", Patience));
        Assert.Equal(ephemerals, believer.Ask("ephemerals", Patience));
        Assert.Equal(5, ephemerals.Split(", ").Length);
        AssertLoyal();

        void AssertLoyal()
        {
            Assert.All(believer.Roles(from[believer]), role => Assert.Equal(term, role.Term));
            Assert.All(_members.Where(m => m != believer), member => Assert.Empty(member.Roles(from[member])));
        }
    }

    private async Task HoldsAsync(Func<bool> condition)
    {
        using var limit = new CancellationTokenSource(Patience);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        try
        {
            while (!condition())
                await timer.WaitForNextTickAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            Assert.Fail($"It did not come to hold within {Patience}.\n{string.Concat(_members)}");
        }
    }
}
