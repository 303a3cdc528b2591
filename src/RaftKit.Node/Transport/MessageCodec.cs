using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Transport;

/// <summary>
/// Every <see cref="PeerMessage"/> to and from a frame's body: a MessagePack array that begins with its <see cref="FrameKind"/>. The
/// length before the body is the link's business. README.md of this folder shows each shape.
/// </summary>
internal static class MessageCodec
{
    /// <summary>What a message weighs in queues beside its payloads.</summary>
    private const int FixedWeight = 96;

    /// <summary>Writes the body of a frame.</summary>
    public static void Encode(PeerMessage message, IBufferWriter<byte> output)
    {
        var writer = new MessagePackWriter(output);
        switch (message)
        {
            case PeerMessage.Raft m:
                RaftMessageCodec.Write(ref writer, m.Message, m.DurableBatch);
                break;
            case PeerMessage.ForwardProposals m:
                WriteHead(ref writer, FrameKind.ForwardProposals, 3);
                WriteProposer(ref writer, m.Proposer);
                writer.Write(m.FirstSequence);
                writer.WriteArrayHeader(m.Envelopes.Count);
                for (var i = 0; i < m.Envelopes.Count; i++)
                    writer.Write(m.Envelopes[i].Span);
                break;
            case PeerMessage.ForwardRefused m:
                WriteHead(ref writer, FrameKind.ForwardRefused, 3);
                WriteProposer(ref writer, m.Proposer);
                writer.Write(m.NextSequence);
                writer.Write((byte)m.Refusal);
                break;
            case PeerMessage.Channel m:
                WriteHead(ref writer, FrameKind.Channel, 2);
                writer.Write(m.Id);
                writer.Write(m.Payload.Span);
                break;
            case PeerMessage.BootstrapProbe m:
                WriteHead(ref writer, FrameKind.BootstrapProbe, 1);
                writer.Write(m.Configured);
                break;
            case PeerMessage.BootstrapAnswer m:
                WriteHead(ref writer, FrameKind.BootstrapAnswer, 3);
                writer.Write((byte)m.State);
                writer.Write(m.ClusterId);
                writer.Write(m.Configured);
                break;
            case PeerMessage.JoinRequest m:
                WriteHead(ref writer, FrameKind.JoinRequest, 2);
                writer.Write(m.Member);
                writer.Write(m.Endpoint);
                break;
            case PeerMessage.JoinReply m:
                WriteHead(ref writer, FrameKind.JoinReply, 7);
                writer.Write(m.Accepted);
                writer.Write(m.ClusterId);
                writer.Write(m.Incarnation);
                writer.Write(m.Leader);
                writer.Write(m.Reason);
                writer.Write(m.LeaderEndpoint);
                writer.Write(m.Term.Value);
                break;
            case PeerMessage.StartJudged m:
                WriteHead(ref writer, FrameKind.StartJudged, 4);
                writer.Write(m.Incarnation);
                writer.Write(m.Boot);
                writer.Write(m.Refusal);
                writer.Write(m.IsUnready);
                break;
            default:
                throw new InvariantBrokenException($"The codec knows no {message.GetType().Name}: every peer message needs a frame kind.");
        }
        writer.Flush();
    }

    /// <summary>
    /// Reads the body of a frame. The message keeps slices of <paramref name="body"/>: its bytes must never change afterwards.
    /// </summary>
    /// <exception cref="MalformedFrameException">These bytes are not a message.</exception>
    public static PeerMessage Decode(ReadOnlyMemory<byte> body)
    {
        try
        {
            var reader = new MessagePackReader(body);
            var elements = reader.ReadArrayHeader();
            if (elements == 0)
                throw new MalformedFrameException("A frame's body is an empty array; it begins with its kind.");
            var kind = (FrameKind)reader.ReadByte();
            var message = Read(ref reader, kind, elements, body);
            if (!reader.End)
                throw new MalformedFrameException($"{reader.Remaining} bytes follow the end of a {kind}.");
            return message;
        }
        catch (MessagePackSerializationException notMessagePack)
        {
            throw new MalformedFrameException($"A frame of {body.Length} bytes: {notMessagePack.Message}", notMessagePack);
        }
    }

    /// <summary>Roughly how many bytes of memory and wire a message takes: what bounded queues count.</summary>
    public static int Weigh(PeerMessage message)
    {
        switch (message)
        {
            case PeerMessage.Raft { Message: AppendRequest append }:
                var entries = FixedWeight;
                for (var i = 0; i < append.Entries.Count; i++)
                    entries += append.Entries[i].Weight;
                return entries;
            case PeerMessage.Raft { Message: SnapshotChunk chunk }:
                return FixedWeight + chunk.Data.Length;
            case PeerMessage.ForwardProposals forward:
                var envelopes = FixedWeight;
                for (var i = 0; i < forward.Envelopes.Count; i++)
                    envelopes += forward.Envelopes[i].Length + 16;
                return envelopes;
            case PeerMessage.Channel channel:
                return FixedWeight + channel.Payload.Length;
            default:
                return FixedWeight;
        }
    }

    /// <summary>
    /// Whether the message of this body may point into its bytes. False only for what certainly does not: a kind without payload, in the
    /// one form that our own writer gives it.
    /// </summary>
    public static bool KeepsSlices(ReadOnlySpan<byte> body) =>
        body.Length < 2 || (body[0] & 0xf0) != 0x90 || (FrameKind)body[1] is not (FrameKind.VoteRequest or FrameKind.VoteReply
            or FrameKind.AppendReply or FrameKind.Heartbeat or FrameKind.HeartbeatReply or FrameKind.ReadIndexRequest
            or FrameKind.ReadIndexReply or FrameKind.SnapshotReply or FrameKind.TimeoutNow or FrameKind.ObserveRequest or FrameKind.ObserveReply);

    private static PeerMessage Read(ref MessagePackReader reader, FrameKind kind, int elements, ReadOnlyMemory<byte> body)
    {
        switch (kind)
        {
            case >= FrameKind.VoteRequest and <= FrameKind.ObserveReply:
                var core = RaftMessageCodec.Read(ref reader, kind, elements, body, out var durable);
                return new PeerMessage.Raft(core, durable);
            case FrameKind.ForwardProposals:
                CheckElements(kind, 3, elements);
                return ReadForward(ref reader);
            case FrameKind.ForwardRefused:
                CheckElements(kind, 3, elements);
                return new PeerMessage.ForwardRefused(
                    ReadProposer(ref reader), reader.ReadNotNegative("sequence"), reader.ReadEnum<ForwardRefusal>());
            case FrameKind.Channel:
                CheckElements(kind, 2, elements);
                return new PeerMessage.Channel(reader.ReadByte(), reader.ReadBytesMemory());
            case FrameKind.BootstrapProbe:
                CheckElements(kind, 1, elements);
                return new PeerMessage.BootstrapProbe(reader.ReadMembers());
            case FrameKind.BootstrapAnswer:
                CheckElements(kind, 3, elements);
                return new PeerMessage.BootstrapAnswer(reader.ReadEnum<BootstrapState>(), reader.ReadGuid(), reader.ReadMembers());
            case FrameKind.JoinRequest:
                CheckElements(kind, 2, elements);
                return new PeerMessage.JoinRequest(reader.ReadMember(), reader.ReadText());
            case FrameKind.JoinReply:
                CheckElements(kind, 7, elements);
                return new PeerMessage.JoinReply(
                    reader.ReadBoolean(), reader.ReadGuid(), reader.ReadSmallNotNegative("incarnation"), reader.ReadMemberOrNone(),
                    reader.ReadText(), reader.ReadText(), reader.ReadTerm());
            case FrameKind.StartJudged:
                CheckElements(kind, 4, elements);
                return new PeerMessage.StartJudged(
                    reader.ReadSmallNotNegative("incarnation"), reader.ReadNotNegative("boot number"), reader.ReadText(),
                    reader.ReadBoolean());
            default:
                throw new MalformedFrameException(
                    $"A frame of kind {(byte)kind} came, which protocol versions {ProtocolRange.Spoken} do not have between two hellos.");
        }
    }

    private static PeerMessage.ForwardProposals ReadForward(ref MessagePackReader reader)
    {
        var proposer = ReadProposer(ref reader);
        var first = reader.ReadNotNegative("sequence");
        var count = reader.ReadArrayHeader();
        if (first > long.MaxValue - count)
            throw new MalformedFrameException($"{count} proposals from sequence {first} go beyond the last sequence there can be.");
        var envelopes = WireValues.ListFor<ReadOnlyMemory<byte>>(count);
        for (var i = 0; i < count; i++)
            envelopes.Add(reader.ReadBytesMemory());
        return new PeerMessage.ForwardProposals(proposer, first, envelopes);
    }

    private static void WriteProposer(ref MessagePackWriter writer, ProposerId proposer)
    {
        writer.WriteArrayHeader(3);
        writer.Write(proposer.Member);
        writer.Write(proposer.Incarnation);
        writer.Write(proposer.Boot);
    }

    private static ProposerId ReadProposer(ref MessagePackReader reader)
    {
        reader.ReadArrayHeader(3);
        return new ProposerId(reader.ReadMember(), reader.ReadSmallNotNegative("incarnation"), reader.ReadNotNegative("boot number"));
    }

    private static void WriteHead(ref MessagePackWriter writer, FrameKind kind, int fields)
    {
        writer.WriteArrayHeader(1 + fields);
        writer.Write((byte)kind);
    }

    private static void CheckElements(FrameKind kind, int fields, int elements)
    {
        if (elements != 1 + fields)
            throw new MalformedFrameException($"A {kind} has {1 + fields} elements, this one has {elements}.");
    }
}
