using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Levels;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Levels;

/// <summary>What every member decides alike of a proposal to finalise a level.</summary>
public sealed class FeatureTableTests
{
    private static readonly Membership Three = new([Life(1), Life(2, 4)], [Life(3)], []);
    private readonly FeatureTable _table = new();

    [Fact]
    public void A_level_that_all_members_support_may_be_finalised_and_never_falls()
    {
        Assert.Equal(1, _table.Current.Of("orders"));
        Assert.Null(Judge(3, Known(1, 1, 3), Known(2, 3, 3, life: 4), Known(3, 2, 9)));
        _table.Raise("orders", 3, new LogIndex(7));
        Assert.Equal(new FinalizedLevel(3, new LogIndex(7)), _table.Current.All["orders"]);

        Assert.Null(Judge(3));
        Assert.Contains("levels never fall: 2 is too late", Judge(2, Known(1, 1, 3), Known(2, 3, 3, life: 4), Known(3, 2, 9)));
        Assert.Throws<InvariantBrokenException>(() => _table.Raise("orders", 2, new LogIndex(8)));
        Assert.Equal(1, _table.Current.Of("others"));
    }

    [Fact]
    public void A_refusal_names_every_member_that_is_not_ready_with_what_it_supports_and_what_to_do()
    {
        var refusal = Judge(2, Known(1, 1, 2), Known(2, 1, 1, life: 4));
        Assert.Contains("Level 2 of orders is not finalised, 1 stays", refusal);
        Assert.DoesNotContain("member 1 ", refusal);
        Assert.Contains("member 2 supports levels 1..1: start it with a build that supports level 2", refusal);
        Assert.Contains("member 3 is not connected with the leader", refusal);
    }

    [Fact]
    public void What_another_life_of_a_member_supported_does_not_count()
    {
        Assert.Contains("member 2 is not connected", Judge(2, Known(1, 1, 2), Known(2, 1, 2, life: 3), Known(3, 1, 2)));
    }

    [Fact]
    public void A_joint_membership_asks_those_who_leave_as_well()
    {
        var joint = new Membership([Life(1)], [], [Life(1), Life(2, 4)]);
        Assert.Contains("member 2 supports levels 1..1", _table.Judge(new("orders", 2, [Known(1, 1, 2), Known(2, 1, 1, life: 4)]), joint));
    }

    [Fact]
    public void What_a_command_was_applied_under_can_be_told_later_also_behind_a_snapshot()
    {
        _table.Raise("orders", 2, new LogIndex(10));
        _table.Raise("another", 4, new LogIndex(15));
        _table.Raise("orders", 3, new LogIndex(20));
        var bytes = new ArrayBufferWriter<byte>();
        _table.WriteTo(bytes);
        var restored = new FeatureTable();
        restored.ReadFrom(bytes.WrittenMemory);

        Assert.Equal([1, 2, 2, 3], new[] { 10, 11, 20, 21 }.Select(at => restored.Current.AsOf(new LogIndex(at)).Of("orders")));
        Assert.Equal(1, restored.Current.AsOf(new LogIndex(12)).Of("another"));
        Assert.Same(restored.Current, restored.Current.AsOf(new LogIndex(21)));
    }

    [Fact]
    public void The_same_levels_are_equal_whatever_object_holds_them()
    {
        var other = new FeatureTable();
        foreach (var table in new[] { _table, other })
            table.Raise("orders", 2, new LogIndex(10));
        Assert.Equal(_table.Current, other.Current);
        Assert.Equal(_table.Current.GetHashCode(), other.Current.GetHashCode());
        Assert.Equal(FinalizedLevels.None, new FeatureTable().Current);
        other.Raise("orders", 3, new LogIndex(11));
        Assert.NotEqual(_table.Current, other.Current);
    }

    [Fact]
    public void A_proposal_that_no_leader_added_to_is_refused()
    {
        Assert.Contains("No leader added", _table.Judge(new("orders", 2), Three));
    }

    [Fact]
    public void The_command_and_the_table_survive_their_bytes()
    {
        var command = new FinalizeLevel("orders", 70_000, [Known(1, 1, 2), Known(255, 3, 1_000_000, life: 9)]);
        var read = Read(command.Encode());
        Assert.Equal((command.Feature, command.Level), (read.Feature, read.Level));
        Assert.Equal(command.Known, read.Known);
        Assert.Null(Read(new FinalizeLevel("orders", 2).Encode()).Known);

        _table.Raise("orders", 2, new LogIndex(5));
        _table.Raise("another", 9, new LogIndex(1L << 40));
        var bytes = new ArrayBufferWriter<byte>();
        _table.WriteTo(bytes);
        var other = new FeatureTable();
        other.Raise("gone", 4, new LogIndex(3));
        other.ReadFrom(bytes.WrittenMemory);
        Assert.Equal(_table.Current.All.OrderBy(l => l.Key), other.Current.All.OrderBy(l => l.Key));
        other.ReadFrom(default);
        Assert.True(other.IsEmpty);
    }

    [Theory]
    [InlineData("", 1, 1)]
    [InlineData("a b", 1, 1)]
    [InlineData("ordérs", 1, 1)]
    [InlineData("orders", 0, 1)]
    [InlineData("orders", 2, 1)]
    [InlineData("orders", 1, 1_000_001)]
    public void Ranges_that_cannot_be_are_refused_when_a_peer_sends_them(string feature, int min, int max)
    {
        Assert.Throws<MalformedFrameException>(() => Read(new FeatureRanges([new(feature, new FeatureRange(min, max))])));
    }

    [Fact]
    public void More_features_than_a_hello_has_room_for_are_refused_when_a_peer_sends_them()
    {
        var most = new FeatureRanges(
            Enumerable.Range(1, FeatureRanges.Most - 1).Select(i => KeyValuePair.Create($"f{i}", new FeatureRange(1, i))));
        Assert.Equal(most, Read(most));
        Assert.Throws<MalformedFrameException>(() => Read(new FeatureRanges(most.All.Append(new("one-more", new FeatureRange(1, 1))))));
    }

    private static FinalizeLevel Read(ReadOnlyMemory<byte> command)
    {
        var reader = new MessagePackReader(command);
        Assert.Equal(FinalizeLevel.Kind, reader.ReadRequiredString());
        return FinalizeLevel.ReadRest(ref reader);
    }

    private static FeatureRanges Read(FeatureRanges ranges)
    {
        var bytes = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(bytes);
        ranges.WriteTo(ref writer);
        writer.Flush();
        var reader = new MessagePackReader(bytes.WrittenMemory);
        return FeatureRanges.ReadFromPeer(ref reader);
    }

    private static MemberIncarnation Life(int member, int life = 1) => new(new MemberId(member), life);

    private static KnownRange Known(int member, int min, int max, int life = 1) => new(Life(member, life), new FeatureRange(min, max));

    private string? Judge(int level, params KnownRange[] known) => _table.Judge(new FinalizeLevel("orders", level, known), Three);
}
