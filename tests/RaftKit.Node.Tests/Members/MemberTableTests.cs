using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Levels;
using RaftKit.Node.Members;
using Xunit;

namespace RaftKit.Node.Tests.Members;

/// <summary>What is wanted while one change overtakes another.</summary>
public sealed class MemberTableTests
{
    private static readonly Dictionary<MemberId, string> Known = Enumerable.Range(1, 3).ToDictionary(i => new MemberId(i), Endpoint);

    private readonly MemberTable _table = new();

    [Fact]
    public void Who_waits_for_one_that_is_replaced_before_it_votes_waits_for_its_replacement()
    {
        Replace(2, 4);
        Replace(4, 5);

        Assert.Equal([1, 2, 3, 5], _table.Wanted.Keys.Select(id => id.Value));
        Assert.Equal([new MemberId(5)], _table.Wanted[new MemberId(2)].Until);

        // The last of the chain votes: the first of it goes.
        _table.Note(Voters(1, 3, 5));
        Assert.Equal([1, 3, 5], _table.Wanted.Keys.Select(id => id.Value));
    }

    [Fact]
    public void Who_waits_for_one_that_is_removed_before_it_votes_stays()
    {
        Replace(2, 4);
        Apply(new MembershipChange.Remove(Known, new MemberId(4)));

        Assert.Equal([1, 2, 3], _table.Wanted.Keys.Select(id => id.Value));
        Assert.All(_table.Wanted.Values, w => Assert.Null(w.Until));
    }

    [Fact]
    public void A_founder_that_lost_its_disk_is_to_vote_again_also_where_the_first_change_comes_while_it_learns()
    {
        var life = new MemberIncarnation(new MemberId(3), 2);
        var amid = new Membership(Voters(1, 2).Voters, [life], []);
        Assert.Null(_table.Apply(new MembershipChange.Add(Known, new MemberId(4), Endpoint(4), IsVoter: false), amid));

        Assert.Equal([true, true, true, false], _table.Wanted.Values.Select(w => w.IsVoter));
    }

    // Found by the simulator (seed 144 of 60 s): it waited for ever, and nobody else was promoted meanwhile.
    [Fact]
    public void Who_waits_for_one_that_is_to_learn_only_stays()
    {
        Replace(2, 4);
        Apply(new MembershipChange.Add(Known, new MemberId(4), Endpoint(4), IsVoter: false));

        Assert.Equal([1, 2, 3, 4], _table.Wanted.Keys.Select(id => id.Value));
        Assert.All(_table.Wanted.Values, w => Assert.Null(w.Until));
    }

    [Fact]
    public void Who_was_to_be_replaced_and_is_to_replace_its_own_replacement_stays()
    {
        Replace(2, 4);
        Replace(4, 2);

        Assert.Equal([1, 2, 3], _table.Wanted.Keys.Select(id => id.Value));
        Assert.All(_table.Wanted.Values, w => Assert.Null(w.Until));
    }

    [Fact]
    public void A_promotion_is_read_back_and_keeps_where_the_member_listens()
    {
        Apply(new MembershipChange.Add(Known, new MemberId(4), Endpoint(4), IsVoter: false));
        var reader = new MessagePackReader(new MembershipChange.Promote(Known, new MemberId(4)).Encode());

        var change = Assert.IsType<MembershipChange.Promote>(MembershipChange.Decode(ref reader));

        Assert.True(change.IsSound);
        Assert.False((change with { Id = new MemberId(256) }).IsSound);
        Assert.Equal(new MemberId(4), change.Id);
        Apply(change);
        Assert.Equal(new WantedMember(Endpoint(4), IsVoter: true), _table.Wanted[new MemberId(4)]);
    }

    [Fact]
    public void Who_moves_stays_what_it_is_and_is_looked_for_where_it_went()
    {
        Replace(2, 4);
        var read = new MembershipChange.Move(Known, new MemberId(2), "elsewhere:1");
        Assert.True(read.IsSound);
        Assert.False((read with { Id = new MemberId(256) }).IsSound);
        Assert.False((read with { Endpoint = "*:1" }).IsSound);
        Apply(read);
        Apply(read);

        var moved = _table.Wanted[new MemberId(2)];
        Assert.Equal(("elsewhere:1", true), (moved.Endpoint, moved.IsVoter));
        Assert.Equal([new MemberId(4)], moved.Until);
        Assert.Equal("Member 2 listens at Elsewhere:1 already.", Refused(new MembershipChange.Move(Known, new MemberId(4), "Elsewhere:1")));
        Assert.Equal("There is no member 9, only 1, 2, 3, 4. Use AddAsync to take it in.", Refused(new MembershipChange.Move(Known, new MemberId(9), "else:1")));
        // Where it was is free.
        Apply(new MembershipChange.Move(Known, new MemberId(3), Endpoint(2)));
    }

    [Fact]
    public void Who_asks_to_be_added_is_to_vote_and_asking_again_changes_nothing()
    {
        var change = AddItself(4);
        var reader = new MessagePackReader(change.Encode());
        var read = Assert.IsType<MembershipChange.AddItself>(MembershipChange.Decode(ref reader));
        Assert.True(read.IsSound);
        Assert.Equal((change.Id, change.Endpoint, change.Features), (read.Id, read.Endpoint, read.Features));
        Assert.False((read with { Id = new MemberId(256) }).IsSound);
        Assert.False((read with { Endpoint = "*:1" }).IsSound);

        Apply(read);
        Apply(read);
        Assert.Equal(new WantedMember(Endpoint(4), IsVoter: true), _table.Wanted[new MemberId(4)]);
        Assert.Equal([1, 2, 3, 4], _table.Wanted.Keys.Select(id => id.Value));
    }

    [Fact]
    public void What_operators_want_of_a_member_stands_whatever_it_asks_itself()
    {
        Apply(new MembershipChange.Add(Known, new MemberId(4), Endpoint(4), IsVoter: false));
        Apply(AddItself(4));
        Assert.False(_table.Wanted[new MemberId(4)].IsVoter);

        Replace(2, 5);
        Apply(AddItself(2));
        Assert.Equal([new MemberId(5)], _table.Wanted[new MemberId(2)].Until);
    }

    [Fact]
    public void Who_asks_under_the_number_or_from_the_endpoint_of_a_member_is_refused_and_told_what_to_do()
    {
        Assert.Equal(
            "Member 2 is at member-2:1 already, and this process is at elsewhere:1. If it is another one, give it a number that no member has; if it is member 2 at a new address, "
            + "call IQuorumMembership.MoveAsync(2, \"elsewhere:1\") on a member.", Refused(AddItself(2) with { Endpoint = "elsewhere:1" }));
        Assert.Equal(
            "Member 2 listens at member-2:1 already. Give this process an endpoint of its own.",
            Refused(AddItself(4) with { Endpoint = Endpoint(2) }));
        Assert.True(_table.IsEmpty);
    }

    [Fact]
    public void An_endpoint_is_the_same_in_whatever_case_its_host_is_written()
    {
        Assert.Null(_table.WhyRefused(AddItself(2) with { Endpoint = "MEMBER-2:1" }, Voters(1, 2, 3)));
        Assert.StartsWith("Member 2 listens at Member-2:1 already.", Refused(AddItself(4) with { Endpoint = "Member-2:1" }), StringComparison.Ordinal);
        Assert.StartsWith("Member 2 is at member-2:1 already", Refused(AddItself(2) with { Endpoint = "MEMBER-2:2" }), StringComparison.Ordinal);
    }

    [Fact]
    public void Nobody_becomes_an_eighth_voter_by_its_own_wish_and_operators_may_go_on()
    {
        for (var member = 4; member <= 7; member++)
            Apply(AddItself(member));
        Assert.Equal(
            "There are 7 members that vote or are to, and no process adds itself beyond 7. Configure this one as an observer (Role, and a Member from 256), "
            + "remove a member that is gone, or call IQuorumMembership.AddAsync(8, \"member-8:1\") on a member.", Refused(AddItself(8)));
        // It is one of them already.
        Apply(AddItself(7));
        // Learners do not count, nor does one that goes when another votes.
        Apply(new MembershipChange.Add(Known, new MemberId(7), Endpoint(7), IsVoter: false));
        Apply(AddItself(8));
        Replace(2, 9);
        Assert.StartsWith("There are 7 members", Refused(AddItself(10)), StringComparison.Ordinal);
        Apply(new MembershipChange.Add(Known, new MemberId(10), Endpoint(10), IsVoter: true));
        Assert.Equal(8, _table.Wanted.Values.Count(w => w is { IsVoter: true, Until: null }));
    }

    /// <summary>What is in logs: a kind's bytes never change, and none takes another's number.</summary>
    [Theory]
    [InlineData("9301939201AA6D656D6265722D313A319202AA6D656D6265722D323A319203AA6D656D6265722D333A31C40D04AA6D656D6265722D343A31C3")]
    [InlineData("9302939201AA6D656D6265722D313A319202AA6D656D6265722D323A319203AA6D656D6265722D333A31C40102")]
    [InlineData("9303939201AA6D656D6265722D313A319202AA6D656D6265722D323A319203AA6D656D6265722D333A31C41B929201AA6D656D6265722D313A319204AA6D656D6265722D343A31")]
    [InlineData("9304939201AA6D656D6265722D313A319202AA6D656D6265722D323A319203AA6D656D6265722D333A31C40D0204AA6D656D6265722D343A31")]
    [InlineData("9305939201AA6D656D6265722D313A319202AA6D656D6265722D323A319203AA6D656D6265722D333A31C40104")]
    [InlineData("9306939201AA6D656D6265722D313A319202AA6D656D6265722D323A319203AA6D656D6265722D333A31C42204AA6D656D6265722D343A319293A66F7264657273010393A7726166746B69740101")]
    [InlineData("9307939201AA6D656D6265722D313A319202AA6D656D6265722D323A319203AA6D656D6265722D333A31C40D02AB656C736577686572653A31")]
    public void Each_kind_of_change_is_the_bytes_that_it_was(string kept)
    {
        var four = new MemberId(4);
        MembershipChange[] all =
        [
            new MembershipChange.Add(Known, four, Endpoint(4), IsVoter: true), new MembershipChange.Remove(Known, new MemberId(2)),
            new MembershipChange.Set(Known, new Dictionary<MemberId, string> { [new(1)] = Endpoint(1), [four] = Endpoint(4) }),
            new MembershipChange.Replace(Known, new MemberId(2), four, Endpoint(4)), new MembershipChange.Promote(Known, four), AddItself(4),
            new MembershipChange.Move(Known, new MemberId(2), "elsewhere:1"),
        ];
        var bytes = Convert.FromHexString(kept);
        var change = all[bytes[1] - 1];
        Assert.Equal(kept, Convert.ToHexString(change.Encode().Span));
        var reader = new MessagePackReader(bytes);
        var read = MembershipChange.Decode(ref reader);
        Assert.Equal(change.GetType(), read.GetType());
        Assert.Equal(kept, Convert.ToHexString(read.Encode().Span));
    }

    [Fact]
    public void Who_was_removed_is_added_by_operators_alone_also_if_no_membership_ever_named_it()
    {
        Apply(AddItself(4));
        Apply(new MembershipChange.Remove(Known, new MemberId(4)));
        Apply(new MembershipChange.Remove(Known, new MemberId(3)));
        foreach (var removed in new[] { 3, 4 })
        {
            Assert.Equal(
                $"Member {removed} was removed, and who was removed does not add itself. Call IQuorumMembership.AddAsync({removed}, \"member-{removed}:1\") on a member to let it in again, "
                + "or give this process a number that no member ever had.", Refused(AddItself(removed)));
        }
        var bytes = new System.Buffers.ArrayBufferWriter<byte>();
        _table.WriteTo(bytes);
        var restored = new MemberTable();
        restored.ReadFrom(bytes.WrittenMemory);
        Assert.StartsWith("Member 4 was removed", restored.WhyRefused(AddItself(4), Voters(1, 2)), StringComparison.Ordinal);

        Apply(new MembershipChange.Add(Known, new MemberId(4), Endpoint(4), IsVoter: true));
        Apply(AddItself(4));
        Assert.True(_table.Wanted[new MemberId(4)].IsVoter);
        // None of its lives was given, and the next is not the one that it counts as having had.
        Assert.Equal(2, _table.NextLife(new MemberId(4)));
    }

    // Logs of before such an endpoint was refused hold it.
    [Fact]
    public void What_is_in_the_log_already_is_applied_though_nobody_would_be_let_ask_for_it_now()
    {
        var change = new MembershipChange.Add(Known, new MemberId(4), "*:0", IsVoter: true);

        Assert.False(change.IsSound);
        Apply(change);
        Assert.Equal("*:0", _table.Wanted[new MemberId(4)].Endpoint);
    }

    [Fact]
    public void An_observers_lives_are_counted_in_snapshots_too_and_make_no_member_of_it()
    {
        Assert.Equal([1, 2, 1], [_table.BeginLife(new(256)), _table.BeginLife(new(256)), _table.BeginLife(new(900))]);
        Assert.True(_table.IsEmpty);
        var bytes = new System.Buffers.ArrayBufferWriter<byte>();
        _table.WriteTo(bytes);
        var restored = new MemberTable();
        Assert.Equal(bytes.WrittenCount, restored.ReadFrom(bytes.WrittenMemory));
        Assert.Equal(3, restored.BeginLife(new(256)));
        Assert.True(restored.IsEmpty);
    }

    private void Replace(int old, int next) =>
        Apply(new MembershipChange.Replace(Known, new MemberId(old), new MemberId(next), Endpoint(next)));

    private static MembershipChange.AddItself AddItself(int member) =>
        new(Known, new MemberId(member), Endpoint(member), new FeatureRanges([new("orders", new FeatureRange(1, 3))]));

    private string? Refused(MembershipChange change)
    {
        var refusal = _table.Apply(change, Voters(1, 2, 3));
        Assert.Equal(refusal, _table.WhyRefused(change, Voters(1, 2, 3)));
        return refusal;
    }

    private void Apply(MembershipChange change) => Assert.Null(_table.Apply(change, Voters(1, 2, 3)));

    private static string Endpoint(int member) => $"member-{member}:1";

    private static Membership Voters(params int[] ids) => new([.. ids.Select(id => new MemberIncarnation(new MemberId(id), 1))], [], []);
}
