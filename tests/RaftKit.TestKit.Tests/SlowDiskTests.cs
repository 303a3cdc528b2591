using RaftKit.Consensus;

namespace RaftKit.TestKit.Tests;

/// <summary>A vote is two fsyncs, one after the other: the candidate's and the voter's.</summary>
public sealed class SlowDiskTests
{
    private static readonly TimeSpan ElectionTimeout = TimeSpan.FromMilliseconds(200);

    // Five real members on one disk of 80 ms an fsync elected nobody for seven terms, and sessions of 2 s were gone. Chance may have it
    // that candidates collide now and then, also with patience: of 40 seeds, three or four needed more than five terms.
    [Fact]
    public void Disks_that_take_longer_for_a_vote_than_an_election_timeout_elect_a_leader_within_a_few_terms()
    {
        var terms = Enumerable.Range(1, 12).Select(TermsToElect).Order().ToList();
        Assert.True(terms.Count(t => t <= 5) >= 9 && terms[^1] <= 10, string.Join(' ', terms));
    }

    private static long TermsToElect(int seed)
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Seed = (ulong)seed, Members = 5 });
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, TimeSpan.FromSeconds(5)));
        cluster.RunFor(TimeSpan.FromSeconds(1));
        foreach (var member in cluster.Members)
            cluster.SlowDisk(member, ElectionTimeout * 1.5);
        var before = cluster.StatusOf(cluster.Leader)!.Term;

        cluster.Kill(cluster.Leader);

        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, 15 * ElectionTimeout), $"no leader in {15 * ElectionTimeout}");
        return cluster.StatusOf(cluster.Leader)!.Term.Value - before.Value;
    }
}
