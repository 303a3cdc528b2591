using System.Text;
using RaftKit.Consensus;
using RaftKit.Node.Members;
using RaftKit.Znodes;

namespace RaftKit.TestKit.Tests;

/// <summary>Members come and go while the cluster works: the shipped door, keeper, log and joining.</summary>
public sealed class MembershipTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(30);

    [Fact]
    public void One_grows_into_three_with_its_data_kept()
    {
        var cluster = Formed(members: 3, founders: 1);
        cluster.Run(Id(1), host => Write(host, "/kept", "1"));

        foreach (var next in new[] { 2, 3 })
        {
            cluster.Start(Id(next));
            var now = cluster.Run(Id(1), host => host.Membership.AddAsync(next, $"member-{next}:1"), Soon);
            Assert.Equal(next, now.Members.Count(m => m.IsVoter));
        }

        cluster.Kill(Id(1));
        Assert.Equal("1", cluster.Run(Id(3), host => Read(host, "/kept"), Soon));
    }

    [Fact]
    public async Task A_new_member_is_told_where_the_leader_is_though_it_knows_only_another()
    {
        var cluster = Formed(members: 4, founders: 3);
        Lead(cluster, Id(2));

        var added = cluster.Begin(Id(3), host => host.Membership.AddAsync(4, "member-4:1"));
        cluster.Start(Id(4), Id(1));

        Assert.True(cluster.RunUntil(() => added.IsCompleted, Soon));
        Assert.Equal([1, 2, 3, 4], Voters(await added));
    }

    [Fact]
    public void Any_three_become_any_other_three_in_one_joint_change()
    {
        var cluster = Formed(members: 6, founders: 3);
        cluster.Run(Id(2), host => Write(host, "/kept", "2"));
        foreach (var next in new[] { 4, 5, 6 })
            cluster.Start(Id(next));

        var now = cluster.Run(
            Id(2), host =>
                host.Membership.SetAsync(new Dictionary<int, string> { [4] = "member-4:1", [5] = "member-5:1", [6] = "member-6:1" }), Soon);

        Assert.Equal([4, 5, 6], Voters(now));
        foreach (var old in new[] { 1, 2, 3 })
            cluster.Kill(Id(old));
        Assert.True(cluster.RunUntil(() => cluster.Leader.Value >= 4, Soon));
        Assert.Equal("2", cluster.Run(Id(6), host => Read(host, "/kept"), Soon));
    }

    /// <summary>
    /// Seed 5 with 60 s: a member that was cut off when it was removed still went by the old membership. One whom that names was wiped
    /// meanwhile, and was joining anew: its new life knew nothing, granted its vote, and was counted for the old one, which had helped to
    /// remove the asker. So one term had two leaders.
    /// </summary>
    [Theory, InlineData(1), InlineData(2), InlineData(3)]
    public void The_vote_of_a_new_life_does_not_count_for_the_life_that_an_old_membership_names(ulong seed)
    {
        var cluster = Formed(members: 4, founders: 3, seed);
        Lead(cluster, Id(2));
        cluster.Partition([Id(1), Id(2), Id(4)], [Id(3)]);
        cluster.Start(Id(4));
        cluster.Run(Id(2), host => host.Membership.RemoveAsync(3), Soon);
        cluster.Run(Id(2), host => host.Membership.AddAsync(4, "member-4:1"), Soon);
        cluster.Kill(Id(1));
        cluster.Wipe(Id(1));
        cluster.Start(Id(1), Id(2), Id(4));
        Assert.True(cluster.RunUntil(() => cluster.IncarnationOf(Id(1)) == 2, Soon));
        // It has its new incarnation, and nothing else yet.
        cluster.Partition([Id(2), Id(4)], [Id(1), Id(3)]);

        cluster.RunFor(TimeSpan.FromSeconds(5));

        Assert.NotEqual(RaftRole.Leader, cluster.StatusOf(Id(3))!.Role);
        cluster.Heal();
        cluster.Run(Id(4), host => Write(host, "/after", "1"), Soon);
    }

    // Found by review, and before that by the simulator (seed 113 of 60 s), where a living member's word came too late: from where they
    // stood, the two were the founders of a cluster.
    [Fact]
    public void Two_who_lost_their_disks_and_know_only_each_other_form_nothing_and_join_once_a_member_reaches_them()
    {
        var cluster = Formed(members: 5, founders: 3);
        foreach (var next in new[] { 4, 5 })
        {
            cluster.Start(Id(next), Id(1));
            cluster.Run(Id(1), host => host.Membership.AddAsync(next, $"member-{next}:1"), Soon);
        }
        foreach (var wiped in new[] { 4, 5 })
        {
            cluster.Kill(Id(wiped));
            cluster.Wipe(Id(wiped));
        }
        cluster.Partition([Id(1), Id(2), Id(3)], [Id(4), Id(5)]);
        cluster.Start(Id(4), Id(5));
        cluster.Start(Id(5), Id(4));

        cluster.RunFor(Soon);
        Assert.Equal((0, 0), (cluster.IncarnationOf(Id(4)), cluster.IncarnationOf(Id(5))));

        cluster.Heal();
        Assert.True(cluster.RunUntil(() => (cluster.IncarnationOf(Id(4)), cluster.IncarnationOf(Id(5))) == (2, 2), Soon));
        Assert.True(
            cluster.RunUntil(() => cluster.Run(Id(1), host => Task.FromResult(Voters(host.Membership.Current!).Count())) == 5, Soon));
    }

    [Fact]
    public void The_leader_that_is_removed_steps_down_and_the_others_go_on()
    {
        var cluster = Formed(members: 3, founders: 3);
        var leader = cluster.Leader;
        var other = cluster.Members.First(m => m != leader);

        var now = cluster.Run(other, host => host.Membership.RemoveAsync(leader.Value), Soon);

        Assert.DoesNotContain(leader.Value, now.Members.Select(m => m.Id));
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone && cluster.Leader != leader, Soon));
        cluster.Run(other, host => Write(host, "/after", "removal"), Soon);
        var term = cluster.StatusOf(other)!.Term;
        cluster.RunFor(Soon);
        Assert.Equal(term, cluster.StatusOf(other)!.Term); // Removed, it disturbs nobody.
    }

    [Fact]
    public async Task A_replacement_counts_only_once_it_has_caught_up()
    {
        var cluster = Formed(members: 4, founders: 3);
        var replaced = cluster.Begin(Id(1), host => host.Membership.ReplaceAsync(3, 4, "member-4:1"));
        cluster.RunFor(TimeSpan.FromSeconds(5));
        Assert.False(replaced.IsCompleted);
        Assert.Equal([1, 2, 3], Voters(cluster.Run(Id(1), host => Task.FromResult(host.Membership.Current!))));

        cluster.Start(Id(4));

        Assert.True(cluster.RunUntil(() => replaced.IsCompleted, Soon));
        Assert.Equal([1, 2, 4], Voters(await replaced));
    }

    [Fact]
    public void A_member_that_was_removed_comes_back_under_a_new_incarnation()
    {
        var cluster = Formed(members: 3, founders: 3);
        cluster.Run(Id(1), host => host.Membership.RemoveAsync(3), Soon);
        cluster.Kill(Id(3));
        cluster.Wipe(Id(3));
        cluster.Start(Id(3));

        var now = cluster.Run(Id(2), host => host.Membership.AddAsync(3, "member-3:1"), Soon);

        Assert.Equal(new QuorumMember(3, 2, true, "member-3:1"), now.Members[2]);
    }

    [Fact]
    public void A_learner_replicates_and_never_counts()
    {
        var cluster = Formed(members: 3, founders: 2);
        cluster.Start(Id(3));
        var now = cluster.Run(Id(1), host => host.Membership.AddAsync(3, "member-3:1", voter: false), Soon);
        Assert.Equal([1, 2], Voters(now));
        cluster.Run(Id(1), host => Write(host, "/a", "1"), Soon);
        Assert.True(cluster.RunUntil(() => cluster.StatusOf(Id(3))!.Applied == cluster.StatusOf(Id(1))!.Applied, Soon));

        cluster.Kill(Id(2));
        var write = cluster.Begin(Id(1), host => Write(host, "/b", "2"));
        cluster.RunFor(TimeSpan.FromSeconds(5));
        Assert.False(write.IsCompletedSuccessfully);
    }

    [Fact]
    public async Task A_learner_that_is_promoted_votes_once_it_has_caught_up_and_not_before()
    {
        var cluster = Formed(members: 3, founders: 2);
        cluster.Start(Id(3));
        Assert.Equal([1, 2], Voters(cluster.Run(Id(1), host => host.Membership.AddAsync(3, "member-3:1", voter: false), Soon)));
        cluster.Kill(Id(3));
        cluster.Run(Id(2), host => Write(host, "/while-down", "1"), Soon);

        var promoted = cluster.Begin(Id(2), host => host.Membership.PromoteAsync(3));
        cluster.RunFor(TimeSpan.FromSeconds(5));
        Assert.False(promoted.IsCompleted);
        Assert.Equal([1, 2], Voters(cluster.Run(Id(1), host => Task.FromResult(host.Membership.Current!))));

        cluster.Start(Id(3));
        Assert.True(cluster.RunUntil(() => promoted.IsCompleted, Soon));
        Assert.Equal([1, 2, 3], Voters(await promoted));
        Assert.Equal("member-3:1", (await promoted).Members[2].Endpoint);

        // It counts: with it, the quorum does without another.
        cluster.Kill(Id(2));
        Assert.Equal("1", cluster.Run(Id(3), host => Read(host, "/while-down"), Soon));
        cluster.Run(Id(1), host => Write(host, "/after", "2"), Soon);
    }

    [Fact]
    public async Task A_promotion_that_is_taken_back_tells_whoever_waits_for_it()
    {
        var cluster = Formed(members: 3, founders: 2);
        cluster.Run(Id(1), host => host.Membership.AddAsync(3, "member-3:1", voter: false), Soon);
        // Who was never started cannot catch up.
        var promoted = cluster.Begin(Id(1), host => host.Membership.PromoteAsync(3));
        cluster.RunFor(TimeSpan.FromSeconds(1));

        cluster.Run(Id(2), host => host.Membership.AddAsync(3, "member-3:1", voter: false), Soon);

        Assert.True(cluster.RunUntil(() => promoted.IsCompleted, Soon));
        Assert.Equal(
            "Member 3 is no longer to vote: a later change took it back.",
            (await Assert.ThrowsAsync<MembershipChangeRefusedException>(() => promoted)).Message);
    }

    [Fact]
    public void Who_votes_already_is_promoted_at_once_and_who_is_no_member_or_goes_or_observes_never_is()
    {
        var cluster = Formed(members: 4, founders: 3);
        Assert.Equal([1, 2, 3], Voters(cluster.Run(Id(2), host => host.Membership.PromoteAsync(3), TimeSpan.FromSeconds(1))));

        Assert.Equal("There is no member 9, only 1, 2, 3. Use AddAsync to take it in.", Refused(9));
        cluster.Begin(Id(1), host => host.Membership.ReplaceAsync(3, 4, "member-4:1"));
        cluster.RunFor(TimeSpan.FromSeconds(1));
        Assert.Equal("Member 3 is to go once 4 votes. Use AddAsync to keep it.", Refused(3));
        foreach (var (number, why) in new[] { (256, "observers never vote"), (0, "1 to 255"), (-1, "1 to 255"), (5000, "1 to 255") })
        {
            var refusal = Assert.Throws<ArgumentOutOfRangeException>(() =>
                cluster.Run(Id(1), host => host.Membership.PromoteAsync(number)));
            Assert.Contains(why, refusal.Message, StringComparison.Ordinal);
        }

        string Refused(int member) => Assert.Throws<MembershipChangeRefusedException>(() =>
            cluster.Run(Id(1), host => host.Membership.PromoteAsync(member), Soon)).Message;
    }

    [Fact]
    public void What_contradicts_the_members_is_refused_and_changes_nothing()
    {
        var cluster = Formed(members: 2, founders: 2);
        Assert.Contains("There is no member 9", Refused(host => host.Membership.RemoveAsync(9)));
        Assert.Contains("at member-2:1 already", Refused(host => host.Membership.AddAsync(2, "elsewhere:1")));
        Assert.Contains("listens at member-2:1 already", Refused(host => host.Membership.AddAsync(3, "member-2:1")));
        Assert.Contains("cannot replace itself", Refused(host => host.Membership.ReplaceAsync(2, 2, "member-2:1")));
        Assert.Contains("Nobody would vote", Refused(host => host.Membership.SetAsync(new Dictionary<int, string>())));
        cluster.Run(Id(1), host => host.Membership.RemoveAsync(2), Soon);
        Assert.Contains("Nobody would vote", Refused(host => host.Membership.RemoveAsync(1)));
        Assert.Throws<ArgumentOutOfRangeException>(() => cluster.Run(Id(1), host => host.Membership.AddAsync(256, "a:1")));
        Assert.Throws<ArgumentException>(() => cluster.Run(Id(1), host => host.Membership.AddAsync(3, "nowhere")));

        string Refused(Func<SimulatedHost, Task<QuorumMembers>> change) =>
            Assert.Throws<MembershipChangeRefusedException>(() => cluster.Run(Id(1), change, Soon)).Message;
    }

    [Fact]
    public void A_voter_that_is_to_learn_only_has_its_place_once_it_no_longer_counts()
    {
        var cluster = Formed(members: 3, founders: 3);

        var demoted = cluster.Run(Id(1), host => host.Membership.AddAsync(3, "member-3:1", voter: false), Soon);

        Assert.Equal([1, 2], Voters(demoted));
        Assert.Equal([1, 2, 3], demoted.Members.Select(m => m.Id));
        var promoted = cluster.Run(Id(1), host => host.Membership.AddAsync(3, "member-3:1"), Soon);
        Assert.Equal([1, 2, 3], Voters(promoted));
    }

    [Fact]
    public async Task A_demotion_that_a_later_promotion_overtakes_tells_whoever_waits_for_it()
    {
        var cluster = Formed(members: 2, founders: 2);
        var leader = cluster.Leader;
        var other = cluster.Members.Single(m => m != leader);

        // Both are in the log before the first is carried out.
        var demoted = cluster.Begin(leader, host => host.Membership.AddAsync(other.Value, $"member-{other}:1", voter: false));
        var promoted = cluster.Begin(leader, host => host.Membership.AddAsync(other.Value, $"member-{other}:1"));

        Assert.True(cluster.RunUntil(() => demoted.IsCompleted && promoted.IsCompleted, Soon));
        Assert.Contains("no longer to be a learner", (await Assert.ThrowsAsync<MembershipChangeRefusedException>(() => demoted)).Message);
        Assert.Equal([1, 2], Voters(await promoted));
    }

    [Fact]
    public void Who_votes_already_or_replaces_another_replaces_nobody_for_the_quorum_would_shrink()
    {
        var cluster = Formed(members: 4, founders: 3);
        var refusal =
            Assert.Throws<MembershipChangeRefusedException>(() =>
            cluster.Run(Id(2), host => host.Membership.ReplaceAsync(1, 3, "member-3:1"), Soon));
        Assert.Equal(
            "Member 3 votes already, so nobody would come in the place of member 1, and the quorum would be smaller. Use RemoveAsync to let member 1 go.", refusal.Message);

        var replaced = cluster.Begin(Id(2), host => host.Membership.ReplaceAsync(1, 4, "member-4:1"));
        cluster.RunFor(TimeSpan.FromSeconds(1));
        refusal = Assert.Throws<MembershipChangeRefusedException>(() =>
            cluster.Run(Id(2), host => host.Membership.ReplaceAsync(3, 4, "member-4:1"), Soon));
        Assert.StartsWith("Member 4 is to replace member 1 already", refusal.Message, StringComparison.Ordinal);
        Assert.False(replaced.IsCompleted);
        Assert.Equal([1, 2, 3], Voters(cluster.Run(Id(2), host => Task.FromResult(host.Membership.Current!))));
    }

    [Theory]
    [InlineData("10.0.0.4:0", "port is 0")]
    [InlineData("*:7420", "'*'")]
    [InlineData("0.0.0.0:7420", "'0.0.0.0'")]
    [InlineData("[::]:7420", "'::'")]
    [InlineData("10.0.0.4", "host:port")]
    public void An_endpoint_that_nobody_can_dial_is_refused_before_anybody_is_asked(string endpoint, string why)
    {
        var cluster = Formed(members: 1, founders: 1);
        foreach (var change in (Func<IQuorumMembership, Task>[])
        [
            door => door.AddAsync(4, endpoint), door =>
                door.ReplaceAsync(1, 4, endpoint), door => door.SetAsync(new Dictionary<int, string> { [4] = endpoint }),
        ])
        {
            var refusal = Assert.Throws<ArgumentException>(() => cluster.Run(Id(1), async host =>
            {
                await change(host.Membership);
                return 0;
            }));
            Assert.Contains(endpoint, refusal.Message, StringComparison.Ordinal);
            Assert.Contains(why, refusal.Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void An_addition_that_is_taken_back_tells_whoever_waits_for_it()
    {
        var cluster = Formed(members: 4, founders: 3);
        var added = cluster.Begin(Id(1), host => host.Membership.AddAsync(4, "member-4:1"));
        cluster.RunFor(TimeSpan.FromSeconds(1));

        cluster.Run(Id(2), host => host.Membership.RemoveAsync(4), Soon);

        Assert.True(cluster.RunUntil(() => added.IsCompleted, Soon));
        Assert.IsType<MembershipChangeRefusedException>(added.Exception!.InnerException);
    }

    [Theory, MemberData(nameof(Seeds))]
    public async Task Members_come_and_go_through_kills_power_cuts_and_bad_weather_and_nothing_is_lost(int seed)
    {
        var random = new Random(seed);
        var cluster = Formed(members: 7, founders: 3, (ulong)seed);
        var members = new SortedSet<int> { 1, 2, 3 };
        var gone = new HashSet<int>();
        var written = "";
        for (var round = 1; round <= 12; round++)
        {
            cluster.Disturb(
                drop: random.NextDouble() * 0.2, delay: random.NextDouble() * 0.3, duplicate: random.NextDouble() * 0.3,
                reorder: random.NextDouble() * 0.3);
            // Somebody who is up asks; another one may fall over in the middle of it, but never more than a quorum bears.
            var asker = Id(members.ElementAt(random.Next(members.Count)));
            var change = Begin(random, cluster, asker, members, gone);
            var victim = members.Where(m => m != asker.Value).ElementAtOrDefault(random.Next(6));
            cluster.RunFor(TimeSpan.FromMilliseconds(random.Next(400)));
            if (victim != 0 && members.Count >= 3 && random.Next(2) == 0)
            {
                if (random.Next(2) == 0)
                    cluster.Kill(Id(victim));
                else
                    cluster.PowerCut(Id(victim));
                cluster.RunFor(TimeSpan.FromMilliseconds(random.Next(1500)));
                cluster.Start(Id(victim));
            }

            Assert.True(
                cluster.RunUntil(() => change.IsCompleted, TimeSpan.FromMinutes(2)),
                $"round {round}: the change to members {string.Join(" ", members)} did not end");
            Assert.Equal(members, Voters(await change));
            cluster.Disturb();
            foreach (var left in gone.Where(m => cluster.StatusOf(Id(m)) is not null))
            {
                cluster.Kill(Id(left));
                cluster.Wipe(Id(left));
            }

            var value = $"{round}";
            var where = Id(members.ElementAt(random.Next(members.Count)));
            Assert.Equal(written, cluster.Run(where, host => Read(host, "/round"), TimeSpan.FromMinutes(1)));
            cluster.Run(where, host => Write(host, "/round", value), TimeSpan.FromMinutes(1));
            written = value;
        }
    }

    public static TheoryData<int> Seeds => [.. Enumerable.Range(1, 30)];

    private static Task<QuorumMembers> Begin(
        Random random, SimulatedCluster cluster, MemberId asker, SortedSet<int> members, HashSet<int> gone)
    {
        var outside = Enumerable.Range(1, 7).Except(members).ToList();
        var others = members.Where(m => m != asker.Value).ToList();
        switch (members.Count == 1 || outside.Count == 0 ? members.Count == 1 ? 0 : 1 : random.Next(4))
        {
            case 0:
                var added = outside[random.Next(outside.Count)];
                Enter(added);
                return cluster.Begin(asker, host => host.Membership.AddAsync(added, $"member-{added}:1"));
            case 1:
                var removed = others[random.Next(others.Count)];
                Leave(removed);
                return cluster.Begin(asker, host => host.Membership.RemoveAsync(removed));
            case 2:
                var (old, next) = (others[random.Next(others.Count)], outside[random.Next(outside.Count)]);
                Enter(next);
                Leave(old);
                return cluster.Begin(asker, host => host.Membership.ReplaceAsync(old, next, $"member-{next}:1"));
            default:
                // The asker stays, so that it can tell; everybody else is drawn anew.
                var wanted = Enumerable.Range(1, 7).Where(m => m == asker.Value || random.Next(2) == 0).ToList();
                foreach (var member in wanted.Except(members).ToList())
                    Enter(member);
                foreach (var member in members.Except(wanted).ToList())
                    Leave(member);
                return cluster.Begin(asker, host => host.Membership.SetAsync(wanted.ToDictionary(m => m, m => $"member-{m}:1")));
        }

        // A new process, configured with one that runs.
        void Enter(int member)
        {
            members.Add(member);
            gone.Remove(member);
            cluster.Start(Id(member), asker);
        }

        void Leave(int member)
        {
            members.Remove(member);
            gone.Add(member);
        }
    }

    private static void Lead(SimulatedCluster cluster, MemberId member)
    {
        while (cluster.Leader != member)
        {
            var leader = cluster.Leader;
            if (!leader.IsNone)
            {
                cluster.Kill(leader);
                Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
                cluster.Start(leader);
            }

            Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        }
    }

    private static async Task<bool> Write(SimulatedHost host, string path, string value)
    {
        await using var session = host.Sessions.Open();
        try
        {
            await session.CreateAsync(path, Encoding.UTF8.GetBytes(value));
        }
        catch (ZnodeException e) when (e.Error == ZnodeError.NodeExists)
        {
            await session.SetAsync(path, Encoding.UTF8.GetBytes(value));
        }

        return true;
    }

    private static async Task<string> Read(SimulatedHost host, string path)
    {
        await using var session = host.Sessions.Open();
        await session.SyncAsync();
        return await session.GetAsync(path) is { } znode ? Encoding.UTF8.GetString(znode.Data.Span) : "";
    }

    private static IEnumerable<int> Voters(QuorumMembers members) => members.Members.Where(m => m.IsVoter).Select(m => m.Id);

    private static MemberId Id(int member) => new(member);

    private static SimulatedCluster Formed(int members, int founders, ulong seed = 3)
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Members = members, Founders = founders, Seed = seed });
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        return cluster;
    }
}
