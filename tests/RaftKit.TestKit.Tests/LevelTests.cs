using RaftKit.Consensus;
using RaftKit.Node.Levels;

namespace RaftKit.TestKit.Tests;

/// <summary>
/// A simulated cluster rolls from build 1, which supports level 1 of orders, to build 2, which supports 1 and 2: the shipped door, table,
/// log and handshakes.
/// </summary>
public sealed class LevelTests
{
    private const string Orders = "orders";
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(30);

    private readonly Dictionary<int, int> _builds = [];

    [Fact]
    public void A_rolling_upgrade_goes_on_at_the_old_level_until_everybody_is_ready()
    {
        var cluster = Formed(build: 1);
        Assert.Contains("This process supports levels 1..1", Refusal(cluster));
        Restart(cluster, Id(1), build: 2);
        var both = Refusal(cluster);
        Assert.Contains("member 2 supports levels 1..1: start it with a build that supports level 2", both);
        Assert.Contains("member 3 supports levels 1..1", both);
        Restart(cluster, Id(2), build: 2);
        Assert.DoesNotContain("member 2", Refusal(cluster));
        Restart(cluster, Id(3), build: 2);

        Finalize(cluster, Id(1), 2);

        Assert.True(cluster.RunUntil(() => cluster.Members.All(m => LevelAt(cluster, m) == 2), Soon));
    }

    [Fact]
    public void A_member_that_goes_back_stops_and_goes_on_with_the_new_build_also_over_snapshots_and_a_power_cut_of_all()
    {
        var cluster = Formed(build: 2);
        Finalize(cluster, Id(1), 2);
        cluster.Kill(Id(3));
        for (var i = 0; i < 60; i++)
            cluster.Run(Id(1), host => Write(host));
        _builds[3] = 1;
        cluster.Start(Id(3));
        Assert.True(cluster.RunUntil(() => cluster.StatusOf(Id(3)) is null, Soon));
        Assert.IsType<FeatureLevelUnsupportedException>(cluster.FailureOf(Id(3)));

        _builds[3] = 2;
        cluster.Start(Id(3));
        Assert.True(cluster.RunUntil(() => LevelAt(cluster, Id(3)) == 2, Soon));
        foreach (var member in cluster.Members)
            cluster.PowerCut(member);
        foreach (var member in cluster.Members)
            cluster.Start(member);
        Assert.True(cluster.RunUntil(() => cluster.Members.All(m => LevelAt(cluster, m) == 2), Soon));
    }

    [Theory]
    [InlineData("or ders", 1, 1, "is no name for a feature")]
    [InlineData("raftkit", 1, 2, "the library's own")]
    [InlineData("orders", 0, 1, "Levels 0..1 of 'orders' cannot be")]
    [InlineData("orders", 3, 2, "Levels 3..2 of 'orders' cannot be")]
    [InlineData("orders", 1, 1_000_001, "Levels 1..1000001 of 'orders' cannot be")]
    public void Features_that_no_process_could_declare_are_refused_at_the_start(string feature, int min, int max, string why)
    {
        var cluster = new SimulatedCluster(
            new SimulatedClusterOptions { Features = _ => new Dictionary<string, FeatureRange> { [feature] = new(min, max) } });

        var refused = Assert.Throws<ArgumentException>(() => cluster.Start(Id(2)));

        Assert.Contains("for member 2", refused.Message);
        Assert.Contains(why, refused.Message);
        Assert.Null(cluster.StatusOf(Id(2)));
    }

    [Fact]
    public void A_leader_that_dies_while_a_level_is_finalised_leaves_one_outcome()
    {
        for (var seed = 1UL; seed <= 20; seed++)
        {
            var cluster = Formed(build: 2, seed);
            var asker = cluster.Members.First(m => m != cluster.Leader);
            var asked = cluster.Begin(asker, async host =>
            {
                await host.Levels.FinalizeAsync(Orders, 2);
                return host.Levels.Finalized(Orders);
            });
            // At another moment of it with each seed.
            cluster.RunFor(TimeSpan.FromMicroseconds(100 * seed));
            var leader = cluster.Leader;
            if (!leader.IsNone)
                cluster.Kill(leader);
            Assert.True(cluster.RunUntil(() => asked.IsCompleted, Soon));
            if (!leader.IsNone)
                cluster.Start(leader);

            // Taken in by the first leader, it is finalised; by the next one, it is refused, since the first is not there to be asked.
            if (asked.Exception?.InnerException is { } refused)
            {
                Assert.Contains($"member {leader} is not connected", Assert.IsType<FeatureLevelRefusedException>(refused).Message);
                Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone && cluster.StatusOf(leader) is { Ready: true }, Soon));
                Assert.All(cluster.Members, m => Assert.Equal(1, LevelAt(cluster, m)));
            }
            else
            {
                Assert.True(cluster.RunUntil(() => cluster.Members.All(m => LevelAt(cluster, m) == 2), Soon));
            }
        }
    }

    [Fact]
    public void A_level_that_is_given_up_with_a_lost_quorum_stops_nobody()
    {
        var cluster = Formed(build: 2);
        var survivor = cluster.Members.First(m => m != cluster.Leader);
        // Its link stands, and what it supports is known.
        cluster.Pause(survivor);
        Finalize(cluster, cluster.Leader, 2);
        foreach (var member in cluster.Members)
            cluster.Kill(member);
        cluster.ForceNewQuorum(survivor);
        _builds[survivor.Value] = 1;
        foreach (var member in cluster.Members)
            cluster.Start(member);

        Assert.True(
            cluster.RunUntil(
                () => cluster.Leader == survivor && cluster.Members.All(m => m == survivor || cluster.StatusOf(m) is null), Soon));
        Assert.Equal(1, LevelAt(cluster, survivor));
    }

    private static string Refusal(SimulatedCluster cluster) =>
        Assert.Throws<FeatureLevelRefusedException>(() => Finalize(cluster, Id(1), 2)).Message;

    private static void Finalize(SimulatedCluster cluster, MemberId at, int level) => cluster.Run(at, async host =>
    {
        await host.Levels.FinalizeAsync(Orders, level);
        return true;
    });

    private static async Task<bool> Write(SimulatedHost host)
    {
        await using var session = host.Sessions.Open();
        await session.CreateAsync($"/n-", default, RaftKit.Znodes.CreateMode.PersistentSequential);
        return true;
    }

    private static int LevelAt(SimulatedCluster cluster, MemberId member) =>
        cluster.StatusOf(member) is null ? 0 : cluster.Run(member, host => Task.FromResult(host.Levels.Finalized(Orders)));

    private static MemberId Id(int member) => new(member);

    private void Restart(SimulatedCluster cluster, MemberId member, int build)
    {
        cluster.Kill(member);
        _builds[member.Value] = build;
        cluster.Start(member);
        Assert.True(
            cluster.RunUntil(() => !cluster.Leader.IsNone && cluster.Members.All(m => cluster.StatusOf(m) is { Ready: true }), Soon));
        // A leader has all of them linked once they have what it has.
        cluster.RunFor(TimeSpan.FromSeconds(1));
    }

    private SimulatedCluster Formed(int build, ulong seed = 1)
    {
        foreach (var member in Enumerable.Range(1, 3))
            _builds[member] = build;
        var cluster = new SimulatedCluster(new SimulatedClusterOptions
        {
            Seed = seed,
            SnapshotEveryEntries = 40,
            Features = id => new Dictionary<string, FeatureRange> { [Orders] = new(1, _builds[id.Value]) },
        });
        cluster.StartAll();
        Assert.True(
            cluster.RunUntil(() => !cluster.Leader.IsNone && cluster.Members.All(m => cluster.StatusOf(m) is { Ready: true }), Soon));
        cluster.RunFor(TimeSpan.FromSeconds(1));
        return cluster;
    }
}
