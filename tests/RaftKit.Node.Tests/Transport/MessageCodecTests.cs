using System.Buffers;
using System.Buffers.Binary;
using System.Collections;
using System.Diagnostics;
using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using RaftKit.Consensus;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Transport;

public sealed class MessageCodecTests
{
    [Fact]
    public void Every_message_survives_the_wire()
    {
        foreach (var message in Samples.All())
            Assert.Equal(Describe(message), Describe(MessageCodec.Decode(Encode(message))));
    }

    [Fact]
    public void The_samples_cover_every_message_and_frame_kind()
    {
        var raft = typeof(Message).Assembly.GetTypes().Where(t => t.IsSubclassOf(typeof(Message)));
        var node = typeof(PeerMessage).GetNestedTypes(BindingFlags.Public | BindingFlags.NonPublic).Where(
            t => t != typeof(PeerMessage.Raft));
        var sampled = Samples.All().Select(m => m is PeerMessage.Raft r ? r.Message.GetType() : m.GetType()).ToHashSet();
        Assert.Equal([], raft.Concat(node).Where(t => !sampled.Contains(t)));

        FrameKind[] linkOwn = [FrameKind.Hello, FrameKind.Refusal, FrameKind.Goodbye];
        var seen = Samples.All().Select(m => (FrameKind)Encode(m)[1]).ToHashSet();
        Assert.Equal([], Enum.GetValues<FrameKind>().Except(linkOwn).Where(k => !seen.Contains(k)));
    }

    [Fact]
    public void Payloads_are_slices_of_the_frame_and_not_copies()
    {
        var frame = Encode(new PeerMessage.Raft(Samples.Append(1, 500, 70_000)));
        var entries = ((AppendRequest)((PeerMessage.Raft)MessageCodec.Decode(frame)).Message).Entries;
        Assert.All(entries, e => Assert.True(MemoryMarshal.TryGetArray(e.Payload, out var segment) && segment.Array == frame));
    }

    [Fact]
    public void Cut_short_anywhere_a_frame_is_malformed()
    {
        foreach (var message in Samples.All())
        {
            var frame = Encode(message);
            for (var length = 0; length < Math.Min(frame.Length, 3000); length++)
                Assert.Throws<MalformedFrameException>(() => MessageCodec.Decode(frame.AsMemory(0, length)));
        }
    }

    [Fact]
    public void Bytes_after_the_end_are_malformed()
    {
        foreach (var message in Samples.All())
            Assert.Throws<MalformedFrameException>(() => MessageCodec.Decode((byte[])[.. Encode(message), 0xc0]));
    }

    [Theory]
    [InlineData("", "ends")]
    [InlineData("90", "empty array")]
    [InlineData("9101", "kind 1")]
    [InlineData("917f", "kind 127")]
    [InlineData("91cc80", "kind 128")]
    [InlineData("911a", "TimeoutNow has 5 elements, this one has 1")]
    [InlineData("951a00020109", "Member 0")]
    [InlineData("951acd04e8020109", "1256 is nobody's number")]
    [InlineData("951a0102010900", "follow the end")]
    [InlineData("951a0102ff09", "term of -1")]
    [InlineData("951a010201ff", "batch number of -1")]
    [InlineData("933003dd7fffffff", "has 4 elements, this one has 3")]
    [InlineData("dfffffffff", "array")]
    [InlineData("ddffffffff", "announces")]
    public void What_is_not_a_message_is_refused_with_what_was_wrong(string hex, string expected) =>
        Assert.Contains(expected, Assert.Throws<MalformedFrameException>(() => MessageCodec.Decode(Convert.FromHexString(hex))).Message);

    [Fact]
    public void An_entry_of_an_unknown_kind_is_refused()
    {
        var frame = Encode(new PeerMessage.Raft(Samples.Append(1, 0)));
        var at = frame.Length - 12; // before the stamp (9 bytes) and the empty payload (2)
        Assert.Equal((byte)EntryKind.NoOp, frame[at]);
        frame[at] = 9;
        Assert.Contains("9 is not a EntryKind", Assert.Throws<MalformedFrameException>(() => MessageCodec.Decode(frame)).Message);
    }

    [Fact]
    public void Every_flipped_bit_and_seeded_mutation_gives_a_message_or_a_malformed_frame()
    {
        var random = new Random(20260);
        var frames = Samples.All().Select(Encode).ToArray();
        foreach (var frame in frames)
        {
            for (var bit = 0; bit < Math.Min(frame.Length, 600) * 8; bit++)
            {
                var flipped = (byte[])frame.Clone();
                flipped[bit / 8] ^= (byte)(1 << (bit % 8));
                DecodeOrRefuse(flipped);
            }
        }

        for (var round = 0; round < 30_000; round++)
            DecodeOrRefuse(Mutate(frames[random.Next(frames.Length)], random));
    }

    [Fact]
    public void A_huge_count_takes_no_memory_on_its_word()
    {
        // 1 MiB that announces a million entries, none of which is one.
        var frame = new byte[1 << 20];
        Encode(new PeerMessage.Raft(Samples.Append(0))).CopyTo(frame, 0);
        var entries = Encode(new PeerMessage.Raft(Samples.Append(0))).Length - 1;
        frame[entries] = 0xdd;
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(entries + 1), 1_000_000);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Throws<MalformedFrameException>(() => MessageCodec.Decode(frame));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    [Fact]
    public void Entries_that_do_not_follow_each_other_break_an_invariant()
    {
        var append = Samples.Append(4, 0, 0);
        var gap = new AppendRequest
        {
            From = append.From, To = append.To, Term = append.Term, PreviousIndex = new LogIndex(3), PreviousTerm = append.PreviousTerm,
            Commit = append.Commit, Entries = append.Entries,
        };
        Assert.Throws<InvariantBrokenException>(() => Encode(new PeerMessage.Raft(gap)));
    }

    [Fact]
    public void A_real_MessagePack_implementation_reads_the_documented_shapes()
    {
        var append = Python(Encode(new PeerMessage.Raft(Samples.Append(41, 0, 2), 77)));
        Assert.Equal("[18, 1, 2, 7, 77, 41, 6, 41, [[7, 1, 1790000000000, b''], [7, 2, 1790000000001, b'\\x01\\x02']]]", append);

        var chunk = Python(Encode(new PeerMessage.Raft(Samples.Chunk(3))));
        Assert.Equal(
            "[24, 1, 2, 9, 0, [1000, 8, 1790000000000, [[1, 1, 2, 3], [200, 1], [1, 1, 3, 70000]], 5000000000], 4000000000, 3735928559, b'\\x01\\x02\\x03']",
            chunk);

        var forward = Python(Encode(new PeerMessage.ForwardProposals(new ProposerId(new MemberId(3), 2, 99), 17, [Samples.Bytes(1)])));
        Assert.Equal("[48, [3, 2, 99], 17, [b'\\x01']]", forward);
    }

    [Fact]
    public void What_a_real_MessagePack_implementation_writes_is_read()
    {
        var script = "import msgpack,sys; sys.stdout.write(msgpack.packb([53, 2, 'host:7000'], use_bin_type=True).hex())";
        var message = Assert.IsType<PeerMessage.JoinRequest>(MessageCodec.Decode(Convert.FromHexString(Run(script, []))));
        Assert.Equal("host:7000", message.Endpoint);
    }

    internal static byte[] Encode(PeerMessage message)
    {
        var output = new ArrayBufferWriter<byte>();
        MessageCodec.Encode(message, output);
        return output.WrittenSpan.ToArray();
    }

    internal static byte[] Mutate(byte[] frame, Random random)
    {
        var bytes = frame.ToList();
        for (var changes = random.Next(1, 5); changes > 0 && bytes.Count > 0; changes--)
        {
            var at = random.Next(Math.Min(bytes.Count, 200));
            switch (random.Next(5))
            {
                case 0: bytes[at] = (byte)random.Next(256); break;
                case 1: bytes.RemoveAt(at); break;
                case 2: bytes.Insert(at, (byte)random.Next(256)); break;
                case 3: bytes[at] = (byte)(0xc4 + random.Next(0x1c)); break;
                default: bytes.RemoveRange(at, Math.Min(bytes.Count - at, random.Next(1, 20))); break;
            }
        }
        return [.. bytes];
    }

    private static void DecodeOrRefuse(byte[] frame)
    {
        try
        {
            Assert.NotNull(MessageCodec.Decode(frame));
        }
        catch (MalformedFrameException)
        {
            // Refused as a value: what a mutated frame should be, unless it is still a message.
        }
    }

    private static string Python(byte[] body) =>
        Run("import msgpack,sys; sys.stdout.write(repr(msgpack.unpackb(sys.stdin.buffer.read())))", body);

    private static string Run(string script, byte[] input)
    {
        var start = new ProcessStartInfo("/usr/bin/python3", ["-c", script])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        using var python = Process.Start(start) ?? throw new InvalidOperationException("/usr/bin/python3 did not start.");
        python.StandardInput.BaseStream.Write(input);
        python.StandardInput.Close();
        var output = python.StandardOutput.ReadToEnd();
        var errors = python.StandardError.ReadToEnd();
        python.WaitForExit();
        Assert.True(python.ExitCode == 0, $"python3 with msgpack is needed (apt-get install -y python3-msgpack): {errors}");
        return output;
    }

    /// <summary>All of a message as text, so that messages with lists and bytes can be compared.</summary>
    internal static string Describe(object? value) => value switch
    {
        null => "null",
        ReadOnlyMemory<byte> bytes => Convert.ToHexString(bytes.Span),
        string or bool or Guid or Enum => value.ToString()!,
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        Membership membership => membership.ToString(),
        IEnumerable list => $"[{string.Join(", ", list.Cast<object>().Select(Describe))}]",
        LogIndex or Term or MemberId => value.ToString()!,
        _ => $"{value.GetType().Name}({string.Join(", ", value.GetType().GetProperties()
            .Where(p => p.Name != "EqualityContract").Select(p => $"{p.Name}={Describe(p.GetValue(value))}"))})",
    };
}
