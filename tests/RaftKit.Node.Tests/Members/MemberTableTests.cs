using RaftKit.Consensus;
using RaftKit.Node.Encoding;
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

    private void Apply(MembershipChange change) => Assert.Null(_table.Apply(change, Voters(1, 2, 3)));

    private static string Endpoint(int member) => $"member-{member}:1";

    private static Membership Voters(params int[] ids) => new([.. ids.Select(id => new MemberIncarnation(new MemberId(id), 1))], [], []);
}
