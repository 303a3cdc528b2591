using RaftKit.Consensus.Tests.Harness;

namespace RaftKit.Consensus.Tests.Paper;

public sealed class SmokeTests
{
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(7)]
    public void A_cluster_left_alone_elects_a_leader_and_commits(int members)
    {
        var cluster = new TestCluster(members);
        cluster.TickAll(200);
        var leader = Assert.Single(cluster.Members, m => m.Core.Role == RaftRole.Leader);
        cluster.Propose(leader.Id.Value, "x");
        cluster.Deliver();
        Assert.All(cluster.Members, m => Assert.Equal(["x"], m.State));
        Assert.Single(cluster.Leaders);
    }
}
