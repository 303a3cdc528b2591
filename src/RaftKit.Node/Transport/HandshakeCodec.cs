using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;

namespace RaftKit.Node.Transport;

/// <summary>A frame that belongs to the link itself and never reaches the loop.</summary>
internal abstract record LinkFrame
{
    /// <summary>The first frame each way.</summary>
    /// <param name="Versions">Which versions of the protocol the sender speaks.</param>
    /// <param name="Attempt">Grows with every hello that the sender's process writes to this peer: tells which of two came later.</param>
    /// <param name="Said">What it says of itself; null when there is no version in common: its hello may look different.</param>
    public sealed record Hello(ProtocolRange Versions, long Attempt, PeerHello? Said) : LinkFrame;

    /// <summary>The sender ends the link because of something that the receiver should know, and log.</summary>
    public sealed record Refusal(RefusalCode Code, string Reason) : LinkFrame;

    /// <summary>The sender stops in order: the end of the link is no evidence of death.</summary>
    public sealed record Goodbye(string Reason) : LinkFrame;
}

/// <summary>Why a link was refused or ended. On the wire: never renumber.</summary>
internal enum RefusalCode : byte
{
    /// <summary>Both dialled at once and the other link goes on: nothing is wrong.</summary>
    Crossed = 1,
    Version = 2,
    Cluster = 3,
    Member = 4,

    /// <summary>A later start of the same member is linked.</summary>
    Superseded = 5,
    Malformed = 6,

    /// <summary>The receiver's loop does not want it: a stale boot, a wiped member that is not admitted.</summary>
    Unwanted = 7,
}

/// <summary>
/// The link's own frames: hello [1, "RaftKit", highest version, lowest version, attempt, cluster id, member, incarnation, boot, endpoint,
/// [machine boot id, pid namespace, pid, start time], [[boot, last batch]...], [[feature, lowest level, highest level]...]], and after that true from who asks
/// to be added; refusal [2, code, reason]; goodbye [3, reason]. A hello is said before anybody knows which version the two have in common, so
/// its shape stays: later versions add elements at the end, which earlier ones pass over.
/// </summary>
internal static class HandshakeCodec
{
    /// <summary>No frame of a handshake is longer: strangers get no more memory than this.</summary>
    public const int MaxBody = 4096;

    private const string Magic = "RaftKit";
    private const int HelloElements = 13;
    private const int HelloElementsWithoutRange = 12;

    // Linux gives 36; it is kept for each peer, and written beside the log.
    private const int LongestBootId = 64;

    /// <summary>Writes a frame, with its length.</summary>
    public static void Encode(LinkFrame frame, FrameBuffer output)
    {
        output.BeginFrame();
        var writer = new MessagePackWriter(output);
        switch (frame)
        {
            case LinkFrame.Hello { Said: { } said } hello:
                WriteHello(ref writer, hello.Versions, hello.Attempt, said);
                break;
            case LinkFrame.Refusal refusal:
                writer.WriteArrayHeader(3);
                writer.Write((byte)FrameKind.Refusal);
                writer.Write((byte)refusal.Code);
                writer.Write(WireValues.Readable(refusal.Reason));
                break;
            case LinkFrame.Goodbye goodbye:
                writer.WriteArrayHeader(2);
                writer.Write((byte)FrameKind.Goodbye);
                writer.Write(WireValues.Readable(goodbye.Reason));
                break;
            default:
                throw new InvariantBrokenException($"There is no frame for {frame}.");
        }
        writer.Flush();
        var fits = output.EndFrame(MaxBody);
        Invariant.Holds(fits, $"a {frame.GetType().Name} is longer than the {MaxBody} bytes that a handshake may take");
    }

    /// <summary>Whether a body is one of the link's own frames.</summary>
    public static bool IsLinkFrame(ReadOnlySpan<byte> body) =>
        body.Length >= 2 && body[1] is >= (byte)FrameKind.Hello and <= (byte)FrameKind.Goodbye;

    /// <exception cref="MalformedFrameException">These bytes are not such a frame.</exception>
    public static LinkFrame Decode(ReadOnlyMemory<byte> body) => Decode(body, ProtocolRange.Spoken);

    /// <summary>As <see cref="Decode(ReadOnlyMemory{byte})"/>, by a process that speaks these versions.</summary>
    public static LinkFrame Decode(ReadOnlyMemory<byte> body, ProtocolRange versions)
    {
        try
        {
            var reader = new MessagePackReader(body);
            var elements = reader.ReadArrayHeader();
            if (elements == 0)
                throw new MalformedFrameException("A frame's body is an empty array; it begins with its kind.");
            var kind = (FrameKind)reader.ReadByte();
            LinkFrame frame = (kind, elements) switch
            {
                (FrameKind.Hello, >= 3) => ReadHello(ref reader, elements, versions),
                (FrameKind.Refusal, 3) => ReadRefusal(ref reader),
                (FrameKind.Goodbye, 2) => new LinkFrame.Goodbye(reader.ReadText()),
                _ => throw new MalformedFrameException(
                    $"A frame of kind {(byte)kind} with {elements} elements is not part of a handshake."),
            };
            if (!reader.End && frame is not LinkFrame.Hello { Said: null })
                throw new MalformedFrameException($"{reader.Remaining} bytes follow the end of a {kind}.");
            return frame;
        }
        catch (MessagePackSerializationException notMessagePack)
        {
            throw new MalformedFrameException($"A frame of {body.Length} bytes: {notMessagePack.Message}", notMessagePack);
        }
    }

    private static void WriteHello(ref MessagePackWriter writer, ProtocolRange versions, long attempt, PeerHello hello)
    {
        writer.WriteArrayHeader(hello.AsksToBeAdded ? HelloElements + 1 : HelloElements);
        writer.Write((byte)FrameKind.Hello);
        writer.Write(Magic);
        writer.Write(versions.Highest);
        writer.Write(versions.Lowest);
        writer.Write(attempt);
        writer.Write(hello.ClusterId);
        writer.Write(hello.Member);
        writer.Write(hello.Incarnation);
        writer.Write(hello.Boot);
        writer.Write(hello.Endpoint);
        hello.Process.WriteTo(ref writer);
        hello.RunEnds.WriteTo(ref writer);
        hello.Features.WriteTo(ref writer);
        if (hello.AsksToBeAdded)
            writer.Write(true);
    }

    // Magic and versions stand first and never move: where none is in common, nothing after them is read.
    private static LinkFrame.Hello ReadHello(ref MessagePackReader reader, int elements, ProtocolRange ours)
    {
        if (reader.ReadRequiredString() != Magic)
            throw new MalformedFrameException("This is not a RaftKit peer: its hello does not begin with the protocol's name.");
        var highest = reader.ReadInt32();
        if (highest <= ProtocolRange.LastWithoutRange && elements <= HelloElementsWithoutRange)
            return new LinkFrame.Hello(new ProtocolRange(highest, highest), 0, null);
        var versions = new ProtocolRange(reader.ReadInt32(), highest);
        if (versions.Lowest < 1 || versions.Lowest > versions.Highest)
            throw new MalformedFrameException($"Protocol versions {versions} cannot be: they are from 1 up.");
        if (ours.Common(versions) is null)
            return new LinkFrame.Hello(versions, 0, null);
        if (elements < HelloElements)
            throw new MalformedFrameException($"A hello has at least {HelloElements} elements, this one has {elements}.");

        var attempt = reader.ReadNotNegative("attempt");
        var cluster = reader.ReadGuid();
        var member = reader.ReadMember();
        var incarnation = reader.ReadSmallNotNegative("incarnation");
        var boot = reader.ReadNotNegative("boot number");
        var endpoint = reader.ReadText();
        var process = HostProcess.Read(ref reader);
        if (process.MachineBootId.Length > LongestBootId)
            throw new MalformedFrameException(
                $"A machine's boot id has at most {LongestBootId} characters, this one has {process.MachineBootId.Length}.");
        var hello = new LinkFrame.Hello(
            versions, attempt, new PeerHello(cluster, member, incarnation, boot, endpoint, process)
            {
                RunEnds = RunEnds.Read(ref reader),
                Features = FeatureRanges.ReadFromPeer(ref reader),
                AsksToBeAdded = elements > HelloElements && reader.ReadBoolean(),
            });
        for (var i = HelloElements + 1; i < elements; i++)
            reader.Skip();
        return hello;
    }

    private static LinkFrame.Refusal ReadRefusal(ref MessagePackReader reader) =>
        // An unknown code is no error: the reason tells a reader of the log what a later version meant.
        new((RefusalCode)reader.ReadByte(), reader.ReadText());
}
