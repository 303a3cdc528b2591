using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Members;
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

    /// <summary>
    /// The survivor's log does not know that it was ever a member: its life would be given again, to an empty directory, while what it
    /// holds of before the break would be taken for that life's.
    /// </summary>
    [Theory, InlineData(1), InlineData(2), InlineData(3)]
    public void A_member_that_the_survivor_never_heard_of_is_left_behind_and_its_life_is_never_given_again(ulong seed)
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Seed = seed, Members = 4, Founders = 3 });
        var (survivor, others, late) = (new MemberId(1), new[] { new MemberId(2), new MemberId(3) }, new MemberId(4));
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        Write(cluster, survivor, "/kept");
        cluster.Partition([survivor], [.. others, late]);
        Assert.True(cluster.RunUntil(() => others.Contains(cluster.Leader), Soon));
        cluster.Start(late);
        cluster.Run(others[0], host => host.Membership.AddAsync(late.Value, $"member-{late}:1"), Soon);
        Write(cluster, late, "/lost");
        foreach (var member in cluster.Members)
            cluster.Kill(member);
        cluster.Heal();
        cluster.ForceNewQuorum(survivor);
        cluster.Start(survivor);
        Assert.True(cluster.RunUntil(() => cluster.Leader == survivor, Soon));

        cluster.Start(late);
        Assert.True(cluster.RunUntil(() => cluster.StatusOf(late) is null, Soon), "it goes on with what is given up");
        Assert.Contains("recovery epoch 1", cluster.FailureOf(late)!.Message, StringComparison.Ordinal);
        cluster.Wipe(late);
        cluster.Start(late);
        var now = cluster.Run(survivor, host => host.Membership.AddAsync(late.Value, $"member-{late}:1"), Soon);

        Assert.Contains(now.Members, m => m.Id == late.Value && m.IsVoter);
        Assert.Equal(RecoveryEpoch.LivesOfEpoch + 1, cluster.IncarnationOf(late));
        Assert.Null(cluster.Run(late, host => host.Sessions.View.ReadAsync(v => v.Get("/lost"), ReadConsistency.Linearizable)).Value);
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
