using System.Text;
using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.TestKit;
using Xunit;

namespace KeyValueStore.Tests;

/// <summary>A whole cluster in one thread, in simulated time: what fails here fails again with its seed.</summary>
public sealed class StoreTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    private readonly Dictionary<MemberId, Store> _stores = [];

    [Fact]
    public void A_value_is_read_on_any_member_once_it_was_set_on_one()
    {
        var cluster = Formed(seed: 1);

        var before = cluster.Run(cluster.Members[0], host => SetAsync(host, "colour", "blue"));

        Assert.Equal("", before);
        foreach (var member in cluster.Members)
            Assert.Equal("blue", cluster.Run(member, host => GetAsync(host, "colour")));
        Assert.Equal("blue", cluster.Run(cluster.Members[1], host => SetAsync(host, "colour", "")));
        Assert.Null(cluster.Run(cluster.Members[2], host => GetAsync(host, "colour")));
    }

    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(4), InlineData(5), InlineData(6), InlineData(7), InlineData(8)]
    public void No_value_is_lost_or_set_twice_through_partitions_power_cuts_and_bad_weather(ulong seed)
    {
        var cluster = Formed(seed);
        var last = "";
        for (var round = 1; round <= 12; round++)
        {
            var victim = cluster.Members[(int)(seed + (ulong)round) % 3];
            var others = cluster.Members.Where(m => m != victim).ToList();
            switch ((seed + (ulong)round) % 4)
            {
                case 0:
                    cluster.PowerCut(victim);
                    break;
                case 1:
                    cluster.Partition(others, [victim]);
                    break;
                case 2:
                    cluster.Kill(victim);
                    break;
                default:
                    cluster.Disturb(drop: 0.2, delay: 0.3, duplicate: 0.3, reorder: 0.3);
                    break;
            }

            // Exactly once: each write returns the value of the one before it, never its own, however often it was sent.
            var value = $"{round}";
            Assert.Equal(last, cluster.Run(others[round % 2], host => SetAsync(host, "round", value), TimeSpan.FromSeconds(60)));
            last = value;
            cluster.Heal();
            cluster.Disturb();
            cluster.StartAll();
            Assert.Equal(last, cluster.Run(victim, host => GetAsync(host, "round"), TimeSpan.FromSeconds(60)));
        }
    }

    [Fact]
    public void A_member_that_missed_everything_is_given_a_snapshot()
    {
        var cluster = Formed(seed: 2);
        var absent = cluster.Members.First(m => m != cluster.Leader);
        cluster.Kill(absent);
        cluster.Run(
            cluster.Leader,
            async host =>
            {
                for (var n = 0; n < 700; n++)
                    await SetAsync(host, $"key-{n % 100}", $"{n}");
                return true;
            },
            TimeSpan.FromMinutes(5));

        cluster.Start(absent);

        Assert.True(cluster.RunUntil(() => _stores[absent].Values.GetValueOrDefault("key-99") == "699", Soon));
        Assert.Equal(100, cluster.Run(absent, host => host.Replicated<Store>().ReadLocalAsync(store => store.Values.Count)));
        Assert.Equal(_stores[cluster.Leader].Values, _stores[absent].Values);
    }

    [Fact]
    public void A_query_that_throws_tells_its_caller_and_nobody_else()
    {
        var cluster = Formed(seed: 3);
        var member = cluster.Members[0];

        Assert.Throws<FormatException>(() =>
            cluster.Run(member, host => host.Replicated<Store>().ReadAsync(store => int.Parse(store.Name))));

        Assert.Equal("", cluster.Run(member, host => SetAsync(host, "still", "here")));
    }

    private static async Task<string> SetAsync(SimulatedHost host, string key, string value) =>
        Encoding.UTF8.GetString((await host.Replicated<Store>().ProposeAsync(Encoding.UTF8.GetBytes($"{key}={value}"))).Span);

    private static Task<string?> GetAsync(SimulatedHost host, string key) =>
        host.Replicated<Store>().ReadAsync(store => store.Values.GetValueOrDefault(key));

    private SimulatedCluster Formed(ulong seed)
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Seed = seed, StateMachines = id => [_stores[id] = new Store()] });
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        return cluster;
    }
}
