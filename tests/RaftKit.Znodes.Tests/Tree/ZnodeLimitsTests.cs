using System.Buffers;
using RaftKit.Node.Encoding;
using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Tree;

public sealed class ZnodeLimitsTests
{
    [Fact]
    public void A_megabyte_may_pass_and_no_more()
    {
        Assert.Null(ZnodeLimits.Check(new TreeCommand.Create("/big", new byte[1_048_500])));
        Assert.Contains(
            "at most 1048575", ZnodeLimits.Check(new TreeCommand.Create("/big", new byte[1_048_576])), StringComparison.Ordinal);
        Assert.Contains("at most 1048575", ZnodeLimits.Check(new TreeCommand.Set("/big", new byte[1_048_576])), StringComparison.Ordinal);
        Assert.NotNull(ZnodeLimits.Check(new TreeCommand.Delete("/" + new string('x', 1_048_576))));
    }

    [Fact]
    public void A_multi_is_judged_as_a_whole()
    {
        var half = new TreeCommand.Set("/a", new byte[524_200]);
        Assert.Null(ZnodeLimits.Check(new TreeCommand.Multi([half, half])));
        Assert.NotNull(ZnodeLimits.Check(new TreeCommand.Multi([half, half, half])));
    }

    [Fact]
    public void A_multi_whose_answer_would_be_too_long_is_refused_before_the_log()
    {
        var operations = Enumerable.Repeat<TreeCommand>(new TreeCommand.Set("/a", default), 20_000).ToArray();
        Assert.Contains("Split the multi", ZnodeLimits.Check(new TreeCommand.Multi(operations)), StringComparison.Ordinal);
    }

    [Fact]
    public void The_longest_answer_that_is_let_through_fits_into_a_mebibyte()
    {
        // The largest numbers that a Stat can hold, the longest suffix.
        var stat = new ZnodeStat(
            long.MinValue, long.MinValue, long.MinValue, long.MinValue, int.MinValue, int.MinValue, int.MinValue, long.MinValue,
            int.MinValue,
            int.MinValue, long.MinValue);
        var operations = new List<TreeCommand>();
        while (ZnodeLimits.Check(new TreeCommand.Multi([.. operations, new TreeCommand.Create("/p/", default)])) is null)
            operations.AddRange(Enumerable.Repeat(new TreeCommand.Create("/p/", default, CreateMode.PersistentSequential), 100));
        var result = new TreeResult(
            [.. operations.Select(_ => new ZnodeOperationResult(ZnodeError.None, SequenceNumber.Append("/p/", long.MinValue), stat))]);

        var output = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(output);
        TreeCommandCodec.Write(ref writer, result);
        writer.Flush();
        Assert.InRange(output.WrittenCount, 500_000, 1_048_576);
    }

    [Fact]
    public void The_estimate_is_never_below_the_encoding()
    {
        var commands = new RandomCommands(9);
        for (var i = 0; i < 500; i++)
        {
            var command = commands.Next();
            var output = new ArrayBufferWriter<byte>();
            var writer = new MessagePackWriter(output);
            TreeCommandCodec.Write(ref writer, command);
            writer.Flush();
            Assert.InRange(output.WrittenCount, 0, ZnodeLimits.Measure(command).CommandBytes);
        }
    }

    [Fact]
    public void Half_a_surrogate_pair_and_nesting_are_refused_before_the_log()
    {
        Assert.Contains("surrogate", ZnodeLimits.Check(new TreeCommand.Delete("/\ud83d")), StringComparison.Ordinal);
        Assert.Contains("surrogate", ZnodeLimits.Check(new TreeCommand.Delete("/\ude00x")), StringComparison.Ordinal);
        Assert.Null(ZnodeLimits.Check(new TreeCommand.Delete("/\U0001F600")));
        Assert.Contains("do not nest", ZnodeLimits.Check(new TreeCommand.Multi([new TreeCommand.Multi([])])), StringComparison.Ordinal);
        Assert.Equal("The path is null.", ZnodeLimits.Check(new TreeCommand.Check(null!)));
    }
}
