using System.IO.Pipelines;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;

namespace RaftKit.Node.Transport;

/// <summary>One TCP connection, with TLS or without, that frames go over. It knows nothing of who is at the other end.</summary>
internal sealed class WireConnection : IDisposable
{
    // Linux numbers that .NET has no names for; TCP level.
    private const int TcpUserTimeout = 18;
    private const int TcpNotSentLowWater = 25;

    // Bytes in the kernel cannot be overtaken by the priority lane: keep few there that are not on the wire yet.
    private const int UnsentInKernel = 128 * 1024;

    private readonly Socket _socket;
    private readonly Stream _stream;
    private readonly WaitingReader? _waiting;
    private volatile bool _isDisposed;

    private WireConnection(Socket socket, Stream stream)
    {
        _socket = socket;
        _stream = stream;
        _waiting = stream is NetworkStream && OperatingSystem.IsLinux() ? new WaitingReader(socket) : null;
        Input = PipeReader.Create(
            _waiting ?? stream, new StreamPipeReaderOptions(bufferSize: 32 * 1024, minimumReadSize: 4096, leaveOpen: true));
    }

    /// <summary>
    /// What comes in. It reads from the socket only when read itself, so that at most one frame and one buffer are in memory.
    /// </summary>
    public PipeReader Input { get; }

    /// <summary>
    /// From now on a thread that belongs to this connection reads, and waits within the reads: they complete where they are called.
    /// </summary>
    /// <returns>Whether they do; not with TLS, nor elsewhere than on Linux.</returns>
    public bool ReadOnOwnThread()
    {
        _waiting?.WaitItself();
        return _waiting is not null;
    }

    /// <summary>
    /// From now on it is read as .NET reads: two threads are woken for each message, and none is kept for this connection.
    /// </summary>
    public void ReadOnPool() => _waiting?.LeaveToPool();

    /// <summary>
    /// Dials. A refusal is an answer here and no exception: it is what the probes of a peer that died meet, when every millisecond counts.
    /// </summary>
    /// <returns>The connected socket; or null, and why not.</returns>
    /// <exception cref="SocketException">
    /// No dial was made (there are no file descriptors left), or the connection was reset as soon as it was made.
    /// </exception>
    public static async Task<(Socket? Socket, SocketError Error)> ConnectAsync(EndPoint endpoint, CancellationToken cancellationToken)
    {
        var socket = endpoint is IPEndPoint { AddressFamily: var family }
            ? new Socket(family, SocketType.Stream, ProtocolType.Tcp)
            : new Socket(SocketType.Stream, ProtocolType.Tcp);
        var connected = false;
        try
        {
            var error = await DialAsync(socket, endpoint, cancellationToken).ConfigureAwait(false);
            if (error != SocketError.Success)
                return (null, error);
            // Dialling a free local port, the kernel may pick that very port as ours and connect the socket to itself: nobody listens
            // there. A process that is dying resets what its listener still took: then there is no remote end to ask for any more.
            if (Equals(socket.LocalEndPoint, socket.RemoteEndPoint))
            {
                socket.LingerState = new LingerOption(true, 0);
                return (null, SocketError.ConnectionRefused);
            }
            connected = true;
            return (socket, SocketError.Success);
        }
        finally
        {
            if (!connected)
                socket.Dispose();
        }
    }

    private static async Task<SocketError> DialAsync(Socket socket, EndPoint endpoint, CancellationToken cancellationToken)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var dial = new SocketAsyncEventArgs { RemoteEndPoint = endpoint };
        dial.Completed += (_, _) => ended.SetResult();
        if (socket.ConnectAsync(dial))
        {
            using (cancellationToken.UnsafeRegister(static dial => Socket.CancelConnectAsync((SocketAsyncEventArgs)dial!), dial))
                await ended.Task.ConfigureAwait(false);
        }
        cancellationToken.ThrowIfCancellationRequested();
        return dial.SocketError;
    }

    /// <summary>Takes a connected socket over; as the side that dialled, or the one that accepted.</summary>
    public static async Task<WireConnection> OpenAsync(
        Socket socket, TcpTransportOptions options, string? dialledHost, CancellationToken cancellationToken)
    {
        try
        {
            Tune(socket, options.LinkTimeout);
            var network = new NetworkStream(socket, ownsSocket: true);
            if (options.Security is not { } security)
                return new WireConnection(socket, network);
            var tls = new SslStream(network, leaveInnerStreamOpen: false);
            try
            {
                if (dialledHost is not null)
                    await tls.AuthenticateAsClientAsync(security.ForDialling(dialledHost), cancellationToken).ConfigureAwait(false);
                else
                    await tls.AuthenticateAsServerAsync(security.ForAccepting(), cancellationToken).ConfigureAwait(false);
                return new WireConnection(socket, tls);
            }
            catch
            {
                await tls.DisposeAsync().ConfigureAwait(false);
                throw;
            }
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    public ValueTask WriteAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken = default) =>
        _stream.WriteAsync(bytes, cancellationToken);

    public async ValueTask WriteAsync(LinkFrame frame, CancellationToken cancellationToken)
    {
        var buffer = new FrameBuffer();
        HandshakeCodec.Encode(frame, buffer);
        await _stream.WriteAsync(buffer.Written, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Reads one of the link's own frames; null when the connection ended instead.</summary>
    /// <exception cref="MalformedFrameException">Something else came.</exception>
    public async ValueTask<LinkFrame?> ReadLinkFrameAsync(ProtocolRange versions, CancellationToken cancellationToken)
    {
        var body = await FrameReader.ReadOneAsync(Input, HandshakeCodec.MaxBody, cancellationToken).ConfigureAwait(false);
        return body is null ? null : HandshakeCodec.Decode(body, versions);
    }

    /// <summary>Tells the other end that nothing more comes, and leaves it time to read what came before.</summary>
    public void EndSending()
    {
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // Ended already: there is nobody left to tell.
        }
    }

    /// <summary>The end of this connection is to be a reset: nothing that is still under way gets through.</summary>
    public void ResetWhenDisposed()
    {
        try
        {
            _socket.LingerState = new LingerOption(true, 0);
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
            // Ended already.
        }
    }

    public bool IsDisposed => _isDisposed;

    public void Dispose()
    {
        _isDisposed = true;
        _stream.Dispose();
    }

    private static void Tune(Socket socket, TimeSpan linkTimeout)
    {
        socket.NoDelay = true;
        var seconds = Math.Max(1, (int)linkTimeout.TotalSeconds);
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, seconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, 1);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);
        if (!OperatingSystem.IsLinux())
            return;
        socket.SetRawSocketOption((int)SocketOptionLevel.Tcp, TcpUserTimeout, BitConverter.GetBytes((int)linkTimeout.TotalMilliseconds));
        socket.SetRawSocketOption((int)SocketOptionLevel.Tcp, TcpNotSentLowWater, BitConverter.GetBytes(UnsentInKernel));
    }
}
