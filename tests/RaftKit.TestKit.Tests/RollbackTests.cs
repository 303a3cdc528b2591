using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Znodes;

namespace RaftKit.TestKit.Tests;

/// <summary>An old copy of a member's directory, put back after everybody was restarted (DESIGN, promise 4).</summary>
public sealed class RollbackTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(4), InlineData(5), InlineData(6)]
    public void An_old_copy_is_noticed_though_every_member_was_restarted_since(ulong seed)
    {
        var cluster = new SimulatedCluster(
            new SimulatedClusterOptions { Seed = seed, SnapshotEveryEntries = seed % 2 == 0 ? 20 : 100_000 });
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        var victim = seed % 3 == 0 ? cluster.Leader : cluster.Members.First(m => m != cluster.Leader);
        Write(cluster, "/before");
        var copy = cluster.MemberOf(victim).Disk.DurableCopy();
        // What the copy lacks was acknowledged by its member, and what counted that is on everybody's disk for a while.
        for (var i = 0; i < 30; i++)
            Write(cluster, $"/n{i}");
        cluster.RunFor(TimeSpan.FromSeconds(3));
        foreach (var member in cluster.Members)
        {
            if (seed % 2 == 0)
                cluster.PowerCut(member);
            else
                cluster.Kill(member);
        }
        cluster.PutBack(victim, copy);

        cluster.StartAll();

        Assert.True(cluster.RunUntil(() => cluster.FailureOf(victim) is DirectoryRolledBackException, Soon), "The old copy took part.");
        Assert.Contains("its data directory is an old copy", cluster.FailureOf(victim)!.Message, StringComparison.Ordinal);
        // Emptied, as the message asks, it comes back; nothing was lost.
        cluster.Wipe(victim);
        cluster.Start(victim);
        Assert.True(cluster.RunUntil(() => cluster.IncarnationOf(victim) == 2 && cluster.StatusOf(victim)!.Ready, Soon));
        Assert.NotNull(
            cluster.Run(
                victim, host => host.Sessions.View.ReadAsync(v => v.Get("/n29"), RaftKit.Node.Reads.ReadConsistency.Linearizable)).Value);
    }

    [Theory, InlineData(1), InlineData(2)]
    public void A_second_process_of_the_same_start_is_noticed_though_the_others_were_restarted_since(ulong seed)
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Seed = seed });
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        var victim = cluster.Members.First(m => m != cluster.Leader);
        // The copy is of before this start of it was counted: its next start has the same number.
        cluster.Kill(victim);
        var copy = cluster.MemberOf(victim).Disk.DurableCopy();
        cluster.Start(victim);
        for (var i = 0; i < 5; i++)
            Write(cluster, $"/n{i}");
        cluster.RunFor(TimeSpan.FromSeconds(3));
        foreach (var member in cluster.Members)
            cluster.Kill(member);
        cluster.PutBack(victim, copy);

        cluster.StartAll();

        Assert.True(cluster.RunUntil(() => cluster.FailureOf(victim) is DirectoryRolledBackException, Soon), "The old copy took part.");
        Assert.Contains("another process of it", cluster.FailureOf(victim)!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Restarts_of_everybody_on_the_disks_that_they_left_are_never_taken_for_old_copies()
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Seed = 4, SnapshotEveryEntries = 30 });
        for (var round = 0; round < 12; round++)
        {
            cluster.StartAll();
            Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
            for (var i = 0; i < 5; i++)
                Write(cluster, $"/r{round}-{i}");
            cluster.RunFor(TimeSpan.FromMilliseconds(400 * round));
            foreach (var member in cluster.Members)
            {
                if (round % 2 == 0)
                    cluster.PowerCut(member);
                else
                    cluster.Kill(member);
            }
        }
        Assert.All(cluster.Members, m => Assert.Null(cluster.FailureOf(m)));
    }

    private static void Write(SimulatedCluster cluster, string path) => cluster.Run(cluster.Leader, async host =>
    {
        await using var session = host.Sessions.Open();
        return (await session.CreateAsync(path, "1"u8.ToArray())).Stat.CreatedZxid;
    });
}
