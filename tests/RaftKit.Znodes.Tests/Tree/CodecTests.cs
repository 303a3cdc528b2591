using System.Buffers;
using RaftKit.Node.Encoding;
using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.Tree;

public sealed class CodecTests
{
    /// <summary>These bytes are in the logs of everyone who runs RaftKit: a change here is a change of the format.</summary>
    [Fact]
    public void The_encoding_of_commands_never_changes()
    {
        Golden(new TreeCommand.Create("/a", "hi"u8.ToArray(), CreateMode.EphemeralSequential), "9401a22f61c402686903");
        Golden(new TreeCommand.Create("/a", default), "9401a22f61c000");
        Golden(new TreeCommand.Create("/a", Array.Empty<byte>()), "9401a22f61c40000");
        Golden(new TreeCommand.Set("/é", "x"u8.ToArray(), 7), "9402a32fc3a9c4017807");
        Golden(new TreeCommand.Set("/a", default), "9402a22f61c0ff");
        Golden(new TreeCommand.Delete("/a", 300), "9303a22f61cd012c");
        Golden(new TreeCommand.Check("/a"), "9304a22f61ff");
        Golden(new TreeCommand.Multi([new TreeCommand.Check("/a", 1), new TreeCommand.Delete("/b")]), "9205929304a22f61019303a22f62ff");
        Golden(new TreeCommand.Multi([]), "920590");
    }

    [Fact]
    public void The_encoding_of_results_never_changes()
    {
        var stat = new ZnodeStat(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
        Assert.Equal(
            "9d00a22f610102030405060708090a0b", Hex(new TreeResult(new ZnodeOperationResult(ZnodeError.None, "/a", stat))));
        Assert.Equal("92d099a22f61", Hex(new TreeResult(new ZnodeOperationResult(ZnodeError.BadVersion, "/a", default))));
        ZnodeOperationResult[] failed = [new(ZnodeError.RuntimeInconsistency, "/a", default), new(ZnodeError.BadArguments, "", default)];
        Assert.Equal("9292fea22f6192f8a0", Hex(new TreeResult(failed)));
    }

    [Fact]
    public void Random_commands_and_their_results_come_back_as_they_were()
    {
        var commands = new RandomCommands(5);
        var tree = new ZnodeTree();
        for (var zxid = 1; zxid < 2000; zxid++)
        {
            var command = commands.Next();
            var bytes = Encode(command);
            var reader = new MessagePackReader(bytes);
            var back = TreeCommandCodec.Read(ref reader);
            Assert.True(reader.End);
            Assert.Equal(Convert.ToHexString(bytes), Convert.ToHexString(Encode(back)));

            var result = tree.Apply(back, commands.Session(), new TreeStamp(zxid, zxid), []);
            var resultReader = new MessagePackReader(Encode(result));
            var resultBack = TreeCommandCodec.ReadResult(ref resultReader, command is TreeCommand.Multi);
            Assert.True(resultReader.End);
            Assert.Equal(result.Error, resultBack.Error);
            Assert.Equal(result.Operations ?? [result.Single], resultBack.Operations ?? [resultBack.Single]);
        }
    }

    [Fact]
    public void A_command_cut_short_or_damaged_is_refused_or_is_another_command_but_nothing_worse()
    {
        var commands = new RandomCommands(6);
        for (var i = 0; i < 200; i++)
        {
            var bytes = Encode(commands.Next());
            for (var length = 0; length < bytes.Length; length++)
                Assert.Throws<MessagePackSerializationException>(() => Read(bytes.AsMemory(0, length)));
            for (var bit = 0; bit < bytes.Length * 8; bit++)
            {
                var damaged = bytes.ToArray();
                damaged[bit / 8] ^= (byte)(1 << (bit % 8));
                try
                {
                    // Whatever it is now, the tree answers it.
                    new ZnodeTree().Apply(Read(damaged), 1, new TreeStamp(1, 1), []);
                }
                catch (MessagePackSerializationException)
                {
                }
            }
        }
    }

    [Theory]
    [InlineData("9405a22f61c000")]
    [InlineData("9505a22f61c00000")]
    [InlineData("9406a22f61c000")]
    [InlineData("9403a22f610000")]
    [InlineData("9401c0c000")]
    [InlineData("920591920590")]
    public void Unknown_kinds_other_fields_no_path_and_nesting_are_refused(string hex) =>
        Assert.Throws<MessagePackSerializationException>(() => Read(Convert.FromHexString(hex)));

    [Fact]
    public void Every_operation_of_the_public_model_has_its_command()
    {
        var data = new byte[] { 1 };
        Assert.Equal(
            new TreeCommand.Create("/a", data, CreateMode.Ephemeral),
            TreeCommand.From(new ZnodeOperation.Create("/a", data, CreateMode.Ephemeral)));
        Assert.Equal(new TreeCommand.Set("/a", data, 3), TreeCommand.From(new ZnodeOperation.Set("/a", data, 3)));
        Assert.Equal(new TreeCommand.Delete("/a", 3), TreeCommand.From(new ZnodeOperation.Delete("/a", 3)));
        Assert.Equal(new TreeCommand.Check("/a", 3), TreeCommand.From(new ZnodeOperation.Check("/a", 3)));
    }

    private static void Golden(TreeCommand command, string hex)
    {
        Assert.Equal(hex, Convert.ToHexStringLower(Encode(command)));
        Assert.Equal(hex, Convert.ToHexStringLower(Encode(Read(Convert.FromHexString(hex)))));
    }

    private static TreeCommand Read(ReadOnlyMemory<byte> bytes)
    {
        var reader = new MessagePackReader(bytes);
        return TreeCommandCodec.Read(ref reader);
    }

    private static byte[] Encode(TreeCommand command)
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(output);
        TreeCommandCodec.Write(ref writer, command);
        writer.Flush();
        return output.WrittenSpan.ToArray();
    }

    private static byte[] Encode(in TreeResult result)
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(output);
        TreeCommandCodec.Write(ref writer, result);
        writer.Flush();
        return output.WrittenSpan.ToArray();
    }

    private static string Hex(in TreeResult result) => Convert.ToHexStringLower(Encode(result));
}
