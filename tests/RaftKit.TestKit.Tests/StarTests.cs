using RaftKit.Consensus;

namespace RaftKit.TestKit.Tests;

/// <summary>The five-member shape in which pre-vote without check-quorum hangs.</summary>
public sealed class StarTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    // Four hear only the one in the middle, and one of the four leads: the middle hears from it, so that it refuses every pre-vote, and
    // nobody else can ask three.
    [Theory, InlineData(1), InlineData(2), InlineData(3), InlineData(4), InlineData(5)]
    public void Five_who_hear_only_one_of_them_get_a_leader_that_a_quorum_hears_though_another_one_led(ulong seed)
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Seed = seed, Members = 5 });
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        var before = cluster.Leader;
        var middle = cluster.Members.First(m => m != before);
        var term = cluster.StatusOf(before)!.Term;

        cluster.Star(middle);

        // It alone can be heard by three; it hears the old leader until that one has noticed that no quorum answers.
        Assert.True(cluster.RunUntil(() => cluster.StatusOf(middle) is { Role: RaftRole.Leader, Ready: true }, Soon));
        Assert.True(cluster.StatusOf(middle)!.Term > term);
        cluster.Run(middle, async host =>
        {
            await using var session = host.Sessions.Open();
            return await session.CreateAsync("/written-in-the-star", default);
        }, Soon);
    }
}
