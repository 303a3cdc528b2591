using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Znodes;

namespace RaftKit.TestKit.Tests;

public sealed class ObserverTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    [Fact]
    public void Two_hundred_observers_are_fed_by_those_who_follow_and_cost_the_leader_no_stream()
    {
        var cluster = Formed(observers: 200);
        Write(cluster, cluster.Leader, "/a");
        Assert.True(cluster.RunUntil(() => AllHave(cluster, "/a"), Soon));
        // Some took the leader for their source before they knew who leads, and left it alone once they did.
        Assert.True(cluster.RunUntil(() => cluster.Observers.All(o => cluster.StatusOf(o)!.Source != cluster.Leader), Soon));
        var fed = cluster.Observers.GroupBy(o => cluster.StatusOf(o)!.Source).ToDictionary(g => g.Key, g => g.Count());
        Assert.Equal(2, fed.Count);
        Assert.All(fed.Values, count => Assert.InRange(count, 40, 160));

        // One of the two that feed dies: the other hundred hear of it within an election timeout or so, and miss nothing.
        cluster.Kill(fed.Keys.First());
        Write(cluster, cluster.Leader, "/b");
        Assert.True(cluster.RunUntil(() => AllHave(cluster, "/b"), Soon));
        Assert.All(cluster.Observers, o => Assert.Equal(RaftRole.Observer, cluster.StatusOf(o)!.Role));
    }

    [Fact]
    public void An_observer_hosts_sessions_whose_ephemerals_live_as_long_as_it_does()
    {
        var cluster = Formed(observers: 2);
        var broker = cluster.Observers[0];
        cluster.Run(broker, async host =>
        {
            await host.Sessions.Open().CreateAsync("/broker", default, CreateMode.Ephemeral);
            return true;
        });
        // Its source, then the leader: its session outlives both.
        foreach (var _ in Enumerable.Range(0, 2))
        {
            var gone = cluster.StatusOf(broker)!.Source;
            cluster.Kill(gone);
            cluster.RunFor(TimeSpan.FromSeconds(8));
            cluster.Start(gone);
            cluster.RunFor(TimeSpan.FromSeconds(2));
            var leader = cluster.Leader;
            cluster.Kill(leader);
            cluster.RunFor(TimeSpan.FromSeconds(8));
            cluster.Start(leader);
            cluster.RunFor(TimeSpan.FromSeconds(2));
            Assert.True(Has(cluster, cluster.Leader, "/broker"));
        }
        cluster.Kill(broker);
        Assert.True(cluster.RunUntil(() => !Has(cluster, cluster.Observers[1], "/broker"), Soon));
    }

    [Fact]
    public void An_observer_without_a_quorum_serves_what_it_has_and_takes_no_write()
    {
        var cluster = Formed(observers: 1);
        var observer = cluster.Observers[0];
        Write(cluster, observer, "/a");
        foreach (var member in cluster.Members)
            cluster.Kill(member);
        cluster.Kill(observer);
        cluster.Start(observer);
        cluster.RunFor(TimeSpan.FromSeconds(5));
        Assert.True(Has(cluster, observer, "/a"));
        Assert.False(cluster.StatusOf(observer)!.Ready);
        var write = cluster.Begin(observer, host => host.Sessions.Open().CreateAsync("/b"));
        cluster.RunFor(TimeSpan.FromSeconds(5));
        Assert.False(write.IsCompletedSuccessfully);
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => write.IsCompletedSuccessfully, Soon));
    }

    [Fact]
    public void An_observer_that_lost_its_directory_time_and_again_never_numbers_its_writes_as_before()
    {
        var cluster = Formed(observers: 1);
        var observer = cluster.Observers[0];
        for (var life = 0; life < 5; life++)
        {
            for (var i = 0; i < 3; i++)
                Write(cluster, observer, $"/life-{life}-{i}");
            cluster.Kill(observer);
            cluster.Wipe(observer);
            cluster.Start(observer);
        }
        Assert.True(cluster.RunUntil(() => cluster.StatusOf(observer) is { Ready: true }, Soon));
        Assert.True(cluster.RunUntil(() => Enumerable.Range(0, 15).All(n => Has(cluster, observer, $"/life-{n / 3}-{n % 3}")), Soon));
    }

    [Fact]
    public void An_observer_that_holds_what_a_forced_quorum_gave_up_stops_and_stays_away_until_it_is_emptied()
    {
        var cluster = Formed(observers: 2);
        var survivor = cluster.Members.First(m => m != cluster.Leader);
        var others = cluster.Members.Where(m => m != survivor).ToList();
        Write(cluster, cluster.Leader, "/kept");
        Assert.True(cluster.RunUntil(() => AllHave(cluster, "/kept"), Soon));
        // One observer hears of what the survivor does not, the other is as far as that.
        var (ahead, even) = (cluster.Observers[0], cluster.Observers[1]);
        cluster.Partition([.. others, ahead], [survivor, even]);
        Assert.True(cluster.RunUntil(() => others.Contains(cluster.Leader) && cluster.StatusOf(ahead)!.Ready, Soon));
        Write(cluster, others[0], "/lost");
        Assert.True(cluster.RunUntil(() => Has(cluster, ahead, "/lost"), Soon));
        foreach (var id in cluster.Members.Concat(cluster.Observers))
            cluster.Kill(id);
        cluster.Heal();
        cluster.ForceNewQuorum(survivor);
        cluster.Start(survivor);
        Assert.True(cluster.RunUntil(() => cluster.Leader == survivor, Soon));
        for (var i = 0; i < 10; i++)
            Write(cluster, survivor, $"/new-{i}");

        cluster.Start(even);
        cluster.Start(ahead);
        Assert.True(cluster.RunUntil(() => cluster.StatusOf(ahead) is null && Has(cluster, even, "/new-9"), Soon));
        cluster.Start(ahead);
        Assert.Null(cluster.StatusOf(ahead));
        Assert.Equal(1, cluster.StatusOf(even)!.RecoveryEpoch);
        cluster.Wipe(ahead);
        cluster.Start(ahead);
        Assert.True(cluster.RunUntil(() => Has(cluster, ahead, "/new-9"), Soon));
        Assert.False(Has(cluster, ahead, "/lost"));
        Assert.True(Has(cluster, ahead, "/kept"));
    }

    [Fact]
    public void An_observer_on_a_copy_of_before_it_was_emptied_stops_and_says_so_at_every_start()
    {
        var cluster = Formed(observers: 1);
        var observer = cluster.Observers[0];
        Write(cluster, observer, "/first-life");
        var copy = cluster.MemberOf(observer).Disk.DurableCopy();
        cluster.Kill(observer);
        cluster.Wipe(observer);
        cluster.Start(observer);
        Write(cluster, observer, "/second-life");
        cluster.Kill(observer);
        cluster.PutBack(observer, copy);

        cluster.Start(observer);
        cluster.Begin(observer, host => host.Sessions.Open().CreateAsync("/third"));
        Assert.True(cluster.RunUntil(() => cluster.FailureOf(observer) is DirectoryRolledBackException, Soon));
        Assert.Contains("It has another life since", cluster.FailureOf(observer)!.Message, StringComparison.Ordinal);
        cluster.Start(observer);
        Assert.Null(cluster.StatusOf(observer));

        cluster.Wipe(observer);
        cluster.Start(observer);
        Write(cluster, observer, "/third-life");
        Assert.True(cluster.RunUntil(() => Has(cluster, observer, "/second-life"), Soon));
        Assert.False(Has(cluster, observer, "/third"));
    }

    private static SimulatedCluster Formed(int observers)
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Members = 3, Observers = observers, Seed = 3 });
        cluster.StartAll();
        Assert.True(
            cluster.RunUntil(() => !cluster.Leader.IsNone && cluster.Observers.All(o => cluster.StatusOf(o) is { Ready: true }), Soon));
        return cluster;
    }

    private static bool AllHave(SimulatedCluster cluster, string path) => cluster.Observers.All(o => Has(cluster, o, path));

    private static bool Has(SimulatedCluster cluster, MemberId id, string path)
    {
        var found = false;
        if (cluster.StatusOf(id) is not null)
            cluster.Begin(id, host => Task.FromResult(found = host.Sessions.View.Get(path) is not null));
        return found;
    }

    private static void Write(SimulatedCluster cluster, MemberId through, string path) => cluster.Run(through, async host =>
    {
        await using var session = host.Sessions.Open();
        await session.CreateAsync(path);
        return true;
    });
}
