using System.Text;
using RaftKit.Consensus;
using RaftKit.Node.Members;
using RaftKit.Znodes;

namespace RaftKit.TestKit.Tests;

/// <summary>Processes with empty disks that ask to be added, of which no operator knows (KIP-853's auto join).</summary>
public sealed class AutoJoinTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(30);

    [Fact]
    public void One_grows_into_three_with_its_data_kept_though_nobody_asks_for_it_but_they()
    {
        var cluster = Formed(members: 3, founders: 1);
        cluster.Run(Id(1), host => Write(host, "/kept"));

        cluster.StartJoining(Id(2), Id(1));
        Assert.True(cluster.RunUntil(() => Voters(cluster, Id(1)) is [1, 2], Soon));
        // Told of one that follows: any member proposes it.
        cluster.StartJoining(Id(3), Id(2));
        Assert.True(cluster.RunUntil(() => Voters(cluster, Id(1)) is [1, 2, 3], Soon));
        Assert.Equal((1, 1), (cluster.IncarnationOf(Id(2)), cluster.IncarnationOf(Id(3))));

        cluster.Kill(Id(1));
        Assert.Equal("1", cluster.Run(Id(3), Read, Soon));
        cluster.Run(Id(2), host => Write(host, "/after"), Soon);
    }

    [Fact]
    public void Who_reaches_nobody_keeps_trying_until_it_does()
    {
        var cluster = Formed(members: 2, founders: 1);
        cluster.Partition([Id(1)], [Id(2)]);
        cluster.StartJoining(Id(2), Id(1));
        cluster.RunFor(TimeSpan.FromMinutes(2));
        Assert.Equal(0, cluster.IncarnationOf(Id(2)));

        cluster.Heal();
        Assert.True(cluster.RunUntil(() => Voters(cluster, Id(1)) is [1, 2], Soon));
    }

    [Fact]
    public void Who_was_removed_and_lost_its_disk_comes_back_by_an_operators_word_alone()
    {
        var cluster = Formed(members: 3, founders: 2);
        cluster.StartJoining(Id(3), Id(1));
        Assert.True(cluster.RunUntil(() => Voters(cluster, Id(1)) is [1, 2, 3], Soon));
        cluster.Run(Id(1), host => host.Membership.RemoveAsync(3), Soon);
        // Its disk still says that it was a member: it asks for nothing.
        cluster.RunFor(TimeSpan.FromSeconds(5));
        cluster.Kill(Id(3));
        cluster.Wipe(Id(3));
        cluster.StartJoining(Id(3), Id(1), Id(2));
        cluster.RunFor(Soon);
        Assert.Equal([1, 2], Voters(cluster, Id(1)));
        Assert.Equal(0, cluster.IncarnationOf(Id(3)));

        var added = cluster.Run(Id(2), host => host.Membership.AddAsync(3, "member-3:1"), Soon);
        Assert.Equal(new QuorumMember(3, 2, true, "member-3:1"), added.Members[2]);
    }

    [Fact]
    public void Who_joined_by_itself_and_lost_its_disk_is_taken_in_again_under_its_next_life()
    {
        var cluster = Formed(members: 3, founders: 2);
        cluster.StartJoining(Id(3), Id(1));
        Assert.True(cluster.RunUntil(() => Voters(cluster, Id(1)) is [1, 2, 3], Soon));
        cluster.Kill(Id(3));
        cluster.Wipe(Id(3));
        cluster.Start(Id(3));

        Assert.True(cluster.RunUntil(() => cluster.IncarnationOf(Id(3)) == 2 && Voters(cluster, Id(1)) is [1, 2, 3], Soon));
    }

    [Fact]
    public void A_learner_that_an_operator_added_stays_one_though_it_asks_to_vote_before_or_after()
    {
        var cluster = Formed(members: 4, founders: 2);
        cluster.Run(Id(1), host => host.Membership.AddAsync(3, "member-3:1", voter: false), Soon);
        cluster.StartJoining(Id(3), Id(2));
        cluster.StartJoining(Id(4), Id(2));
        Assert.True(cluster.RunUntil(() => Voters(cluster, Id(1)) is [1, 2, 4], Soon));
        cluster.Run(Id(2), host => host.Membership.AddAsync(4, "member-4:1", voter: false), Soon);

        cluster.RunFor(Soon);
        Assert.Equal((1, 1), (cluster.IncarnationOf(Id(3)), cluster.IncarnationOf(Id(4))));
        Assert.Equal([1, 2], Voters(cluster, Id(1)));
    }

    // Thesis 4.2.1: a server that never catches up must not hold up the others' changes. Here it learns for ever, which is no change that is
    // under way.
    [Fact]
    public void A_new_member_that_never_comes_holds_up_no_other_change()
    {
        var cluster = Formed(members: 5, founders: 2);
        var never = cluster.Begin(Id(1), host => host.Membership.AddAsync(5, "member-5:1"));
        cluster.RunFor(TimeSpan.FromSeconds(2));

        cluster.StartJoining(Id(3), Id(1));
        Assert.True(cluster.RunUntil(() => Voters(cluster, Id(1)) is [1, 2, 3], Soon));
        cluster.StartJoining(Id(4), Id(1));
        Assert.True(cluster.RunUntil(() => Voters(cluster, Id(1)) is [1, 2, 3, 4], Soon));
        Assert.Equal([1, 3, 4], cluster.Run(Id(1), host => host.Membership.RemoveAsync(2), Soon).Members.Where(m => m.IsVoter).Select(m => m.Id));
        Assert.False(never.IsCompleted);

        // The operator takes it back.
        Assert.Equal([1, 3, 4], cluster.Run(Id(1), host => host.Membership.RemoveAsync(5), Soon).Members.Select(m => m.Id));
    }

    // Found by reading: of those who had caught up, the first was waited with for one that never came, and the others behind it as well.
    [Fact]
    public void One_of_a_set_that_never_comes_holds_up_nobody_who_is_no_part_of_it()
    {
        var cluster = Formed(members: 5, founders: 2);
        cluster.Start(Id(3), Id(1));
        cluster.Begin(
            Id(1), host => host.Membership.SetAsync(
                new Dictionary<int, string> { [1] = "member-1:1", [3] = "member-3:1", [4] = "member-4:1" }));
        Assert.True(cluster.RunUntil(() => cluster.IncarnationOf(Id(3)) == 1, Soon));
        cluster.RunFor(TimeSpan.FromSeconds(2));

        cluster.StartJoining(Id(5), Id(1));
        Assert.True(cluster.RunUntil(() => Voters(cluster, Id(1)) is [1, 2, 5], Soon));
    }

    private static SimulatedCluster Formed(int members, int founders)
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Members = members, Founders = founders, Seed = 3 });
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        return cluster;
    }

    private static async Task<bool> Write(SimulatedHost host, string path)
    {
        await using var session = host.Sessions.Open();
        await session.CreateAsync(path, "1"u8.ToArray());
        return true;
    }

    private static async Task<string> Read(SimulatedHost host)
    {
        await using var session = host.Sessions.Open();
        await session.SyncAsync();
        return Encoding.UTF8.GetString((await session.GetAsync("/kept"))!.Data.Span);
    }

    private static MemberId Id(int member) => new(member);

    private static int[] Voters(SimulatedCluster cluster, MemberId asked) =>
        [.. cluster.Run(asked, host => Task.FromResult(host.Membership.Current))?.Members.Where(m => m.IsVoter).Select(m => m.Id) ?? []];
}
