using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Tests.Transport;

/// <summary>
/// The other end of a link, by hand: it says what a test wants, also what no real member would, and reads only when told.
/// </summary>
internal sealed class RawPeer : IDisposable
{
    private readonly Socket _socket;
    private readonly NetworkStream _stream;

    private RawPeer(Socket socket)
    {
        _socket = socket;
        _stream = new NetworkStream(socket, ownsSocket: true) { ReadTimeout = 20_000, WriteTimeout = 20_000 };
    }

    public static PeerHello HelloOf(int member, long boot = 1, Guid? cluster = null) =>
        new(cluster ?? TestMember.Cluster, new MemberId(member), 1, boot, "127.0.0.1:1", HostProcess.Unknown) { RunEnds = new RunEnds(
            [new(boot, 5), new(long.MaxValue, 6)]), Features = new FeatureRanges([new("orders", new FeatureRange(1, 300))]) };

    public static async Task<RawPeer> Dial(TestMember member, int receiveBuffer = 0)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        if (receiveBuffer > 0)
            socket.ReceiveBufferSize = receiveBuffer;
        await socket.ConnectAsync(IPEndPoint.Parse(member.Endpoint));
        return new RawPeer(socket);
    }

    /// <summary>Dials and shakes hands as a member.</summary>
    public static async Task<RawPeer> Link(TestMember member, PeerHello hello, int receiveBuffer = 0)
    {
        var peer = await Dial(member, receiveBuffer);
        peer.Write(new LinkFrame.Hello(ProtocolRange.Spoken, 1, hello));
        if (peer.ReadLinkFrame() is not LinkFrame.Hello)
            throw new InvalidOperationException("The hello was not answered with a hello.");
        return peer;
    }

    public void Write(LinkFrame frame)
    {
        var buffer = new FrameBuffer();
        HandshakeCodec.Encode(frame, buffer);
        Write(buffer.Written.Span);
    }

    public void Write(PeerMessage message) => WriteFrame(MessageCodecTests.Encode(message));

    public void WriteFrame(byte[] body)
    {
        var frame = new byte[4 + body.Length];
        BinaryPrimitives.WriteInt32LittleEndian(frame, body.Length);
        body.CopyTo(frame, 4);
        Write(frame);
    }

    public void Write(ReadOnlySpan<byte> bytes) => _stream.Write(bytes);

    public LinkFrame ReadLinkFrame() => HandshakeCodec.Decode(ReadBody() ?? throw new EndOfStreamException("The connection was closed."));

    /// <summary>The next frame's body; null at the end of the connection.</summary>
    public byte[]? ReadBody()
    {
        try
        {
            var prefix = new byte[4];
            _stream.ReadExactly(prefix);
            var body = new byte[BinaryPrimitives.ReadInt32LittleEndian(prefix)];
            _stream.ReadExactly(body);
            return body;
        }
        catch (Exception ended) when (ended is EndOfStreamException
            || ended is IOException { InnerException: SocketException { SocketErrorCode: SocketError.ConnectionReset } })
        {
            return null;
        }
    }

    /// <summary>Sends no more, and reads until the member has hung up, too: it has then seen everything.</summary>
    public void FinishAndDrain()
    {
        _socket.Shutdown(SocketShutdown.Send);
        while (ReadBody() is not null)
        {
        }
    }

    public void Dispose() => _stream.Dispose();
}
