using System.ComponentModel;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace RaftKit.Node.Transport;

/// <summary>
/// What comes in on a socket, for a thread that does nothing but wait for it. Reading as .NET does wakes two threads for each message, the
/// one that watches all sockets and one of the pool, and then the loop's: every message of every write comes this way. <para>Nor does a
/// handshake read as .NET does: once it had to wait for a socket it watches that for good, and wakes both threads for messages that nobody
/// asked them for. It looks once a millisecond instead. From <see cref="WaitItself"/> on, a read returns when there is something.</para>
/// </summary>
internal sealed partial class WaitingReader(Socket socket) : Stream
{
    private const short Readable = 1;
    private const int Interrupted = 4;
    private const int ForEver = -1;
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(1);

    private bool _waitsItself;
    private bool _leftToPool;

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>From the next read on, the thread that reads is the one that waits.</summary>
    public void WaitItself() => _waitsItself = true;

    /// <summary>From the next read on it reads as .NET does: for the many links that no write waits for.</summary>
    public void LeaveToPool() => _leftToPool = true;

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (_leftToPool)
            return socket.ReceiveAsync(buffer, cancellationToken);
        if (!_waitsItself)
            return LookAsync(buffer, cancellationToken);
        try
        {
            return new ValueTask<int>(Read(buffer.Span));
        }
        catch (Exception failed)
        {
            return ValueTask.FromException<int>(failed);
        }
    }

    public override int Read(Span<byte> buffer)
    {
        IsThereInput(ForEver);
        return socket.Receive(buffer);
    }

    public override int Read(byte[] buffer, int offset, int count) => Read(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    private async ValueTask<int> LookAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        // The sockets are real, whatever the time is in a test.
        while (!IsThereInput(0))
            await Task.Delay(LookEvery, TimeProvider.System, cancellationToken).ConfigureAwait(false);
        return socket.Receive(buffer.Span);
    }

    // Holds the handle, so that its number cannot become another file's meanwhile. Whoever disposes the socket shuts it down first, which
    // ends the wait.
    private bool IsThereInput(int withinMilliseconds)
    {
        var handle = socket.SafeHandle;
        var held = false;
        try
        {
            handle.DangerousAddRef(ref held);
            var poll = new PollFd { File = (int)handle.DangerousGetHandle(), Events = Readable };
            while (true)
            {
                if (Poll(ref poll, 1, withinMilliseconds) is var ready and >= 0)
                    return ready > 0;
                if (Marshal.GetLastPInvokeError() is var error and not Interrupted)
                    throw new IOException($"poll failed: {new Win32Exception(error).Message}");
            }
        }
        finally
        {
            if (held)
                handle.DangerousRelease();
        }
    }

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    private static partial int Poll(ref PollFd file, nuint count, int milliseconds);

    [StructLayout(LayoutKind.Sequential)]
    private struct PollFd
    {
        public int File;
        public short Events;
        public short Happened;
    }
}
