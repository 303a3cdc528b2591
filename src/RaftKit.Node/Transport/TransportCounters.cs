namespace RaftKit.Node.Transport;

/// <summary>What a transport did since it started, over all links. Read at any time, from any thread.</summary>
internal sealed class TransportCounters
{
    private readonly long[] _dropped = new long[Lanes.Count];
    private long _framesSent;
    private long _bytesSent;
    private long _writes;
    private long _framesReceived;
    private long _bytesReceived;
    private long _linksUp;
    private long _refused;
    private long _malformed;
    private long _oversized;

    public long FramesSent => Volatile.Read(ref _framesSent);

    public long BytesSent => Volatile.Read(ref _bytesSent);

    /// <summary>Writes to sockets; several frames share one.</summary>
    public long Writes => Volatile.Read(ref _writes);

    public long FramesReceived => Volatile.Read(ref _framesReceived);

    public long BytesReceived => Volatile.Read(ref _bytesReceived);

    /// <summary>Links that came up.</summary>
    public long LinksUp => Volatile.Read(ref _linksUp);

    /// <summary>Handshakes refused here, crossed ones aside.</summary>
    public long Refused => Volatile.Read(ref _refused);

    /// <summary>Links and handshakes ended because of bytes that are no frame.</summary>
    public long Malformed => Volatile.Read(ref _malformed);

    /// <summary>Messages dropped because their frame would be longer than allowed: a fault of whoever made them.</summary>
    public long Oversized => Volatile.Read(ref _oversized);

    /// <summary>Messages of a lane dropped: no link, or a full queue.</summary>
    public long DroppedOf(Lane lane) => Volatile.Read(ref _dropped[(int)lane]);

    public void CountWrite(int frames, int bytes)
    {
        Interlocked.Increment(ref _writes);
        Interlocked.Add(ref _framesSent, frames);
        Interlocked.Add(ref _bytesSent, bytes);
    }

    public void CountReceived(int frames, long bytes)
    {
        Interlocked.Add(ref _framesReceived, frames);
        Interlocked.Add(ref _bytesReceived, bytes);
    }

    public void CountDrop(Lane lane) => Interlocked.Increment(ref _dropped[(int)lane]);

    public void CountLinkUp() => Interlocked.Increment(ref _linksUp);

    public void CountRefused() => Interlocked.Increment(ref _refused);

    public void CountMalformed() => Interlocked.Increment(ref _malformed);

    public void CountOversized() => Interlocked.Increment(ref _oversized);
}
