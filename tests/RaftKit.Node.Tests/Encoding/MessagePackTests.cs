using System.Buffers;
using System.Text;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Tests.Encoding;

public sealed class MessagePackTests
{
    [Fact]
    public void Both_directions_agree_with_the_real_MessagePack_byte_for_byte()
    {
        var random = new Random(1);
        var values = Values.AllEdges().Concat(Enumerable.Range(0, 4000).Select(_ => Values.Draw(random, 4))).ToList();
        var told = string.Join('\n', values.Select(Values.Tell)) + "\n";

        var packed = RealMessagePack.Run(
            "import ast\nfor line in sys.stdin: print(msgpack.packb(ast.literal_eval(line), use_bin_type=True).hex())", told)
            .Split('\n', StringSplitOptions.RemoveEmptyEntries);

        Assert.Equal(values.Count, packed.Length);
        for (var i = 0; i < values.Count; i++)
        {
            var theirs = Convert.FromHexString(packed[i]);
            Assert.Equal(theirs, Values.Encode(values[i]));
            Assert.Equal(Values.Tell(values[i]), Values.Tell(Values.Decode(new ReadOnlySequence<byte>(theirs))));
        }
    }

    [Fact]
    public void What_we_write_the_real_MessagePack_reads_as_the_same_value()
    {
        var random = new Random(2);
        var values = Enumerable.Range(0, 1000).Select(_ => Values.Draw(random, 3)).ToList();
        var lines = values.Select(v => Convert.ToHexString(Values.Encode(v)) + " " + Values.Tell(v));

        var differing = RealMessagePack.Run(
            """
            import ast
            n = 0
            for line in sys.stdin:
                packed, told = line.split(' ', 1)
                value = msgpack.unpackb(bytes.fromhex(packed), raw=False, strict_map_key=False)
                if value != ast.literal_eval(told): print('differs', line)
                n += 1
            print(n)
            """,
            string.Join('\n', lines) + "\n");

        Assert.Equal("1000", differing.Trim());
    }

    [Fact]
    public void A_value_reads_the_same_wherever_its_bytes_are_split()
    {
        var random = new Random(3);
        for (var round = 0; round < 300; round++)
        {
            var value = Values.Draw(random, 3);
            var bytes = Values.Encode(value);
            if (bytes.Length > 2000)
                continue;
            Assert.Equal(Values.Tell(value), Values.Tell(Values.Decode(Split(bytes, 1))));
            Assert.Equal(Values.Tell(value), Values.Tell(Values.Decode(Split(bytes, 1 + random.Next(9)))));
        }
    }

    [Fact]
    public void Skip_passes_over_exactly_one_value()
    {
        var random = new Random(4);
        for (var round = 0; round < 500; round++)
        {
            var bytes = Values.Encode(Values.Draw(random, 4));
            var reader = new MessagePackReader(Split([.. bytes, 0x2a], 1 + random.Next(200)));
            reader.Skip();
            Assert.Equal(bytes.Length, reader.Consumed);
            Assert.Equal(42, reader.ReadInt32());
            Assert.True(reader.End);
        }
    }

    [Fact]
    public void Skip_passes_over_extensions()
    {
        foreach (var hex in new[] { "d401ff", "d8010102030405060708090a0b0c0d0e0f10", "c70301aabbcc", "c8000101aa", "c90000000101aa" })
        {
            var reader = new MessagePackReader(Convert.FromHexString(hex + "c0"));
            reader.Skip();
            reader.ReadNil();
            Assert.True(reader.End);
        }
    }

    [Fact]
    public void Input_cut_anywhere_or_with_any_bit_flipped_throws_the_one_exception_or_reads_a_value()
    {
        var random = new Random(5);
        for (var round = 0; round < 200; round++)
        {
            var bytes = Values.Encode(Values.Draw(random, 3));
            if (bytes.Length > 300)
                continue;
            for (var cut = 0; cut < bytes.Length; cut++)
                Assert.Throws<MessagePackSerializationException>(() => Values.Decode(Split(bytes[..cut], 7)));
            for (var bit = 0; bit < bytes.Length * 8; bit++)
            {
                var flipped = (byte[])bytes.Clone();
                flipped[bit / 8] ^= (byte)(1 << (bit % 8));
                ReadsOrRefuses(flipped);
            }
        }
    }

    [Fact]
    public void Noise_throws_the_one_exception_or_reads_a_value()
    {
        var random = new Random(6);
        for (var round = 0; round < 20000; round++)
        {
            var noise = new byte[random.Next(40)];
            random.NextBytes(noise);
            ReadsOrRefuses(noise);
        }
    }

    [Theory]
    [InlineData("dd7fffffff")] // array of two billion
    [InlineData("dfffffffff")] // map of four billion
    [InlineData("c6ffffffff01")] // bin of 4 GiB
    [InlineData("dbffffffff61")] // string of 4 GiB
    [InlineData("c4")] // no length
    public void A_length_beyond_the_input_takes_no_memory(string hex)
    {
        var bytes = Convert.FromHexString(hex);
        ReadsOrRefuses(bytes);
        var before = GC.GetAllocatedBytesForCurrentThread();
        var refused = 0;
        for (var i = 0; i < 10; i++)
        {
            try
            {
                var reader = new MessagePackReader(bytes);
                reader.Skip();
            }
            catch (MessagePackSerializationException)
            {
                refused++;
            }
        }
        Assert.Equal(10, refused);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100_000);
    }

    [Fact]
    public void Nesting_a_million_deep_is_passed_over_without_recursion()
    {
        var deep = new byte[1_000_000];
        deep.AsSpan().Fill(0x91);
        deep[^1] = MessagePackCode.Nil;
        var reader = new MessagePackReader(deep);
        reader.Skip();
        Assert.True(reader.End);
    }

    [Fact]
    public void An_integer_is_refused_where_it_does_not_fit()
    {
        Refused(Values.Encode(256L), static bytes => new MessagePackReader(bytes).ReadByte());
        Refused(Values.Encode(-1L), static bytes => new MessagePackReader(bytes).ReadUInt64());
        Refused(Values.Encode(1L << 32), static bytes => new MessagePackReader(bytes).ReadUInt32());
        Refused(Values.Encode(int.MinValue - 1L), static bytes => new MessagePackReader(bytes).ReadInt32());
        Refused(Values.Encode(ulong.MaxValue), static bytes => new MessagePackReader(bytes).ReadInt64());
    }

    [Fact]
    public void A_value_of_another_type_is_refused()
    {
        var text = Values.Encode("text");
        Refused(text, static bytes => new MessagePackReader(bytes).ReadInt64());
        Refused(text, static bytes => new MessagePackReader(bytes).ReadBytes());
        Refused(text, static bytes => new MessagePackReader(bytes).ReadArrayHeader());
        Refused(text, static bytes => new MessagePackReader(bytes).ReadMapHeader());
        Refused(text, static bytes => new MessagePackReader(bytes).ReadBoolean());
        Refused(text, static bytes => new MessagePackReader(bytes).ReadNil());
        Refused(Values.Encode(1L), static bytes => new MessagePackReader(bytes).ReadString());
        Refused(Values.Encode(new List<object?> { 1L, 2L }), static bytes => new MessagePackReader(bytes).ReadArrayHeader(3));
    }

    [Fact]
    public void Text_that_is_not_UTF_8_is_refused_both_ways()
    {
        Refused([0xa2, 0xc3, 0x28], static bytes => new MessagePackReader(bytes).ReadString());
        Assert.Throws<MessagePackSerializationException>(() => Values.Encode("\ud800"));
    }

    [Fact]
    public void A_written_sequence_equals_the_same_bytes_in_one_piece()
    {
        var bytes = System.Text.Encoding.ASCII.GetBytes(new string('x', 70000));
        var output = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(output);
        writer.Write(Split(bytes, 999));
        writer.Flush();
        Assert.Equal(Values.Encode(bytes), output.WrittenSpan.ToArray());

        var reader = new MessagePackReader(Split(output.WrittenSpan.ToArray(), 999));
        Assert.Equal(bytes, reader.ReadBytesMemory().ToArray());
    }

    private static void Refused(byte[] bytes, Action<byte[]> read) => Assert.Throws<MessagePackSerializationException>(() => read(bytes));

    private static void ReadsOrRefuses(byte[] bytes)
    {
        try
        {
            Values.Decode(Split(bytes, 5));
        }
        catch (MessagePackSerializationException)
        {
            // The one answer to bad input; anything else fails the test.
        }
        catch (Xunit.Sdk.TrueException)
        {
            // A whole value, and bytes behind it.
        }
    }

    private static ReadOnlySequence<byte> Split(byte[] bytes, int size)
    {
        var first = new Piece(bytes.AsMemory(0, Math.Min(size, bytes.Length)), 0);
        var last = first;
        for (var at = size; at < bytes.Length; at += size)
        {
            last = last.Append(ReadOnlyMemory<byte>.Empty);
            last = last.Append(bytes.AsMemory(at, Math.Min(size, bytes.Length - at)));
        }
        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Piece : ReadOnlySequenceSegment<byte>
    {
        public Piece(ReadOnlyMemory<byte> memory, long index)
        {
            Memory = memory;
            RunningIndex = index;
        }

        public Piece Append(ReadOnlyMemory<byte> memory)
        {
            var next = new Piece(memory, RunningIndex + Memory.Length);
            Next = next;
            return next;
        }
    }
}
