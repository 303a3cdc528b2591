using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Reads;
using RaftKit.Znodes;

namespace RaftKit.TestKit.Tests;

public sealed class RecoveryTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(4)]
    public void A_quorum_forced_by_one_survivor_never_gives_a_zxid_twice_and_refuses_the_others_logs_instead_of_merging_them(ulong seed)
    {
        var cluster = new SimulatedCluster(
            new SimulatedClusterOptions { Seed = seed, SnapshotEveryEntries = seed % 2 == 0 ? 20 : 100_000 });
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        var survivor = cluster.Members.First(m => m != cluster.Leader);
        var others = cluster.Members.Where(m => m != survivor).ToList();
        var kept = Write(cluster, survivor, "/kept");
        // Others acknowledge what the survivor never hears of.
        cluster.Partition(others, [survivor]);
        Assert.True(cluster.RunUntil(() => cluster.StatusOf(survivor)!.Leader.IsNone, Soon));
        var lost = Write(cluster, others[0], "/lost");
        foreach (var member in cluster.Members)
            cluster.Kill(member);
        cluster.Heal();

        var broken = cluster.ForceNewQuorum(survivor);
        cluster.Start(survivor);
        Assert.True(cluster.RunUntil(() => cluster.Leader == survivor, Soon));

        Assert.True(broken > lost && lost > kept);
        Assert.Equal(1, cluster.StatusOf(survivor)!.RecoveryEpoch);
        var read = cluster.Run(
            survivor, host => host.Sessions.View.ReadAsync(v => (v.Get("/kept"), v.Get("/lost")), ReadConsistency.Linearizable));
        Assert.NotNull(read.Value.Item1);
        Assert.Null(read.Value.Item2);
        Assert.Equal(1, read.Zxid >> 48);
        var next = Write(cluster, survivor, "/next");
        Assert.True(next > broken);

        foreach (var old in others)
        {
            // It hears that it was left behind, stops, and stays away at every later start.
            cluster.Start(old);
            Assert.True(cluster.RunUntil(() => cluster.StatusOf(old) is null, Soon));
            cluster.Start(old);
            Assert.Null(cluster.StatusOf(old));
            cluster.Wipe(old);
            cluster.Start(old);
            Assert.True(
                cluster.RunUntil(
                    () => cluster.StatusOf(old) is { RecoveryEpoch: 1, Ready: true } status
                    && status.Applied.Value >= (next & 0xFFFFFFFFFFFF), Soon));
        }

        // They vote again: the survivor is not needed any more.
        cluster.RunFor(TimeSpan.FromSeconds(2));
        cluster.Kill(survivor);
        Assert.True(Write(cluster, others[1], "/after") > next);
        Assert.Null(cluster.Run(others[0], host => host.Sessions.View.ReadAsync(v => v.Get("/lost"), ReadConsistency.Linearizable)).Value);
    }

    /// <summary>An observer became the only voter, which it can never be, and its log could not be read any more.</summary>
    [Fact]
    public void An_observers_directory_makes_no_quorum_and_is_left_as_it_is()
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Seed = 7, Observers = 1 });
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        var observer = cluster.Observers[0];
        var written = Write(cluster, cluster.Leader, "/written");
        Assert.True(cluster.RunUntil(() => cluster.StatusOf(observer)?.Applied.Value >= written, Soon));
        foreach (var member in cluster.Members.Append(observer))
            cluster.Kill(member);

        var refused = Assert.Throws<DirectoryMismatchException>(() => cluster.ForceNewQuorum(observer));

        Assert.Contains($"belongs to observer {observer}", refused.Message, StringComparison.Ordinal);
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => cluster.StatusOf(observer) is { Ready: true } status && status.Applied.Value >= written, Soon));
    }

    [Fact]
    public void A_quorum_that_is_lost_twice_is_in_its_second_recovery_epoch()
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Seed = 9, SnapshotEveryEntries = 20 });
        cluster.StartAll();
        var survivor = cluster.Members[1];
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        var before = Write(cluster, survivor, "/a");
        for (var epoch = 1; epoch <= 2; epoch++)
        {
            foreach (var member in cluster.Members)
                cluster.Kill(member);
            Assert.True(cluster.ForceNewQuorum(survivor) > before);
            cluster.Start(survivor);
            Assert.True(cluster.RunUntil(() => cluster.Leader == survivor, Soon));
            for (var i = 0; i < 30; i++)
                before = Write(cluster, survivor, $"/e{epoch}-{i}");
            Assert.Equal(epoch, before >> 48);
        }
    }

    private static long Write(SimulatedCluster cluster, MemberId through, string path) => cluster.Run(through, async host =>
    {
        await using var session = host.Sessions.Open();
        return (await session.CreateAsync(path, "1"u8.ToArray())).Stat.CreatedZxid;
    });
}
