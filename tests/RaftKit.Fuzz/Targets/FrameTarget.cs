using System.Buffers;
using System.Buffers.Binary;
using RaftKit.Consensus;
using RaftKit.Node.Tests.Transport;
using RaftKit.Node.Transport;

namespace RaftKit.Fuzz.Targets;

/// <summary>
/// Peer frames, as they come out of a link: cut into frames, then decoded. What is read must be written the same way again.
/// </summary>
internal sealed class FrameTarget : FuzzTarget
{
    private const int MaxBody = 1 << 20;
    private const int LengthBytes = 4;

    private readonly byte[][] _bodies = [.. Samples.All().Select(Encode)];
    private byte[] _input = [];
    private int _cut;

    public override string Name => "frames";

    public override string Describe() => Convert.ToHexString(_input);

    public override long InputBytes => _input.Length;

    // Mostly the body is damaged and the length before it right; else one of them or both together.
    public override void Draw(Random random)
    {
        var bodies = Enumerable.Range(0, random.Next(1, 3)).Select(_ => _bodies[random.Next(_bodies.Length)]).ToArray();
        var damaged = random.Next(bodies.Length);
        if (random.Next(8) != 0)
            bodies[damaged] = Mutator.Mutate(bodies[damaged], random);
        var output = new List<byte>();
        Span<byte> length = stackalloc byte[LengthBytes];
        foreach (var body in bodies)
        {
            BinaryPrimitives.WriteInt32LittleEndian(length, body.Length);
            output.AddRange(length);
            output.AddRange(body);
        }
        _input = random.Next(8) == 0 ? Mutator.Mutate([.. output], random) : [.. output];
        _cut = random.Next(2) == 0 || _input.Length < 2 ? 0 : random.Next(1, _input.Length);
    }

    public override string? Read()
    {
        var stream = Pieces(_input, _cut);
        try
        {
            while (FrameReader.TryTake(ref stream, MaxBody, out var body))
                Check(MessageCodec.Decode(body.ToArray()));
            return stream.IsEmpty ? null : "a frame has not come to its end";
        }
        catch (MalformedFrameException refused)
        {
            return refused.Message;
        }
    }

    private static byte[] Encode(PeerMessage message)
    {
        var output = new ArrayBufferWriter<byte>();
        MessageCodec.Encode(message, output);
        return output.WrittenSpan.ToArray();
    }

    private static void Check(PeerMessage message)
    {
        var once = Encode(message);
        var twice = Encode(MessageCodec.Decode(once));
        if (!once.AsSpan().SequenceEqual(twice))
            throw new WrongAnswerException(
                $"{message} is written as {Convert.ToHexString(once)}, and that is read and written as {Convert.ToHexString(twice)}");
        if (MessageCodec.Weigh(message) <= 0)
            throw new WrongAnswerException($"{message} weighs nothing");
    }

    /// <summary>A sequence of several pieces, as a pipe gives it.</summary>
    private static ReadOnlySequence<byte> Pieces(byte[] bytes, int cut)
    {
        if (cut == 0)
            return new ReadOnlySequence<byte>(bytes);
        var last = new Piece(bytes.AsMemory(cut), null, cut);
        return new ReadOnlySequence<byte>(new Piece(bytes.AsMemory(0, cut), last, 0), 0, last, bytes.Length - cut);
    }

    private sealed class Piece : ReadOnlySequenceSegment<byte>
    {
        public Piece(ReadOnlyMemory<byte> memory, Piece? next, long before)
        {
            Memory = memory;
            Next = next;
            RunningIndex = before;
        }
    }
}
