using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Proposals;

/// <summary>Exactly-once, for every state machine (DESIGN, promise 2; Raft 8).</summary>
public sealed class ProposerTableTests
{
    private static readonly ProposerId First = new(new MemberId(1), 1, 1);

    private readonly ProposerTable _table = new();

    [Fact]
    public void Commands_of_a_proposer_apply_in_sequence()
    {
        Assert.Equal(ProposalVerdict.Apply, Apply(First, 1));
        Assert.Equal(ProposalVerdict.Apply, Apply(First, 2));
        Assert.Equal(2, _table.LastSequence(First));
    }

    [Fact]
    public void A_command_that_comes_again_is_not_applied_again()
    {
        Apply(First, 1);
        Assert.Equal(ProposalVerdict.Duplicate, _table.Judge(First, 1, 0));
    }

    [Fact]
    public void A_gap_is_refused_and_filled_later()
    {
        Apply(First, 1);
        Assert.Equal(ProposalVerdict.Gap, _table.Judge(First, 3, 0));
        Assert.Equal(ProposalVerdict.Apply, Apply(First, 2));
        Assert.Equal(ProposalVerdict.Apply, Apply(First, 3));
    }

    [Fact]
    public void A_proposer_that_nobody_knows_begins_with_its_first_command()
    {
        Assert.Equal(ProposalVerdict.Gap, _table.Judge(First, 2, 0));
        Assert.Equal(0, _table.LastSequence(First));
    }

    [Theory]
    [InlineData(1, 2)]
    [InlineData(2, 1)]
    public void A_later_start_supersedes_the_one_before(int incarnation, long boot)
    {
        Apply(First, 1);
        var later = new ProposerId(First.Member, incarnation, boot);
        Assert.Equal(ProposalVerdict.Apply, Apply(later, 1));
        Assert.Equal(ProposalVerdict.Superseded, _table.Judge(First, 2, 0));
        Assert.True(_table.IsSuperseded(First));
        Assert.False(_table.IsSuperseded(later));
    }

    [Fact]
    public void Results_are_kept_until_their_proposer_acknowledged_them()
    {
        for (var i = 1; i <= 5; i++)
            Apply(First, i);
        Apply(First, 6, floor: 3);
        Assert.False(_table.TryGetResult(First, 3, out _, out _));
        for (var i = 4; i <= 6; i++)
        {
            Assert.True(_table.TryGetResult(First, i, out var stamp, out var result));
            Assert.Equal(new LogIndex(i * 10), stamp.Index);
            Assert.Equal(Result(i), result);
        }
    }

    [Fact]
    public void Results_survive_the_ring_wrapping_and_growing()
    {
        var random = new Random(5);
        long floor = 0;
        for (var i = 1; i <= 2000; i++)
        {
            floor = Math.Max(floor, i - 1 - random.Next(40));
            Apply(First, i, floor);
            for (var kept = floor + 1; kept <= i; kept++)
            {
                Assert.True(_table.TryGetResult(First, kept, out _, out var result));
                Assert.Equal(Result(kept), result);
            }
            Assert.False(_table.TryGetResult(First, floor, out _, out _));
        }
    }

    /// <summary>A gigabyte of them overflowed the ring's size, and every member's loop ran for ever, at each start again.</summary>
    [Fact]
    public void Results_that_a_proposer_does_not_acknowledge_are_kept_up_to_a_bound()
    {
        var result = new byte[ProposerTable.MaxResultBytes];
        var fit = ProposerTable.MaxKeptBytes / result.Length;
        for (var i = 1; i <= fit + 3; i++)
        {
            Assert.Equal(ProposalVerdict.Apply, _table.Judge(First, i, 0));
            _table.Record(First, i, new ResultStamp(new LogIndex(i), new Term(1), 5, i), result);
        }
        var restored = new ProposerTable();
        restored.ReadFrom(Bytes(_table));
        foreach (var table in new[] { _table, restored })
        {
            Assert.True(table.TryGetResult(First, fit, out _, out var kept) && kept!.Length == result.Length);
            Assert.True(table.TryGetResult(First, fit + 1, out var stamp, out kept) && kept is null);
            Assert.Equal(fit + 1, stamp.Index.Value);
            // What was acknowledged makes room.
            Assert.Equal(ProposalVerdict.Apply, table.Judge(First, fit + 4, 2));
            table.Record(First, fit + 4, new ResultStamp(new LogIndex(fit + 4), new Term(1), 5, fit + 4), result);
            Assert.True(table.TryGetResult(First, fit + 4, out _, out kept) && kept is not null);
            Assert.Equal(ProposalVerdict.Apply, table.Judge(First, fit + 5, fit + 4));
        }
    }

    [Fact]
    public void A_snapshot_brings_back_the_same_table()
    {
        for (var i = 1; i <= 30; i++)
            Apply(First, i, i / 2);
        Apply(new ProposerId(new MemberId(2), 3, 4), 1);
        var bytes = Bytes(_table);

        var restored = new ProposerTable();
        restored.ReadFrom(bytes);

        Assert.Equal(bytes, Bytes(restored));
        Assert.Equal(30, restored.LastSequence(First));
        Assert.True(restored.TryGetResult(First, 30, out _, out var result));
        Assert.Equal(Result(30), result);
        Assert.Equal(ProposalVerdict.Duplicate, restored.Judge(First, 7, 0));
    }

    private static byte[] Bytes(ProposerTable table)
    {
        var output = new ArrayBufferWriter<byte>();
        table.WriteTo(output);
        return output.WrittenSpan.ToArray();
    }

    private static byte[] Result(long sequence) => [.. Enumerable.Repeat((byte)sequence, (int)(sequence * 7 % 97))];

    private ProposalVerdict Apply(ProposerId proposer, long sequence, long floor = 0)
    {
        var verdict = _table.Judge(proposer, sequence, floor);
        if (verdict == ProposalVerdict.Apply)
        {
            _table.Record(
                proposer, sequence, new ResultStamp(new LogIndex(sequence * 10), new Term(1), 5, sequence * 10), Result(sequence));
        }
        return verdict;
    }
}
