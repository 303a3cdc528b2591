namespace RaftKit.Node.Transport;

/// <summary>How the TCP transport listens, dials and bounds its memory.</summary>
internal sealed record TcpTransportOptions
{
    /// <summary>
    /// Where to listen: "host:port", "[::1]:port", "*:port" for every address. Port 0 takes a free one. Empty: this one only dials, as an
    /// observer does.
    /// </summary>
    public required string Listen { get; init; }

    /// <summary>TLS between members; null for plain text.</summary>
    public TransportSecurity? Security { get; init; }

    /// <summary>Lets a listener off loopback go without TLS: anybody on that network can then read and forge everything.</summary>
    public bool AllowPlainText { get; init; }

    /// <summary>Lets members shake hands that <see cref="ITransport.SetPeers"/> does not name (a new member that asks to join).</summary>
    public bool AcceptUnknownMembers { get; init; }

    /// <summary>Lets a process without a life shake hands that nobody named, if it asks to be added.</summary>
    public bool AdmitsJoiners { get; init; }

    /// <summary>Which versions of the protocol to offer; another range than the build's is for tests of rolling.</summary>
    public ProtocolRange Versions { get; init; } = ProtocolRange.Spoken;

    /// <summary>The longest frame body. Above the largest append (a batch, or one largest entry) and snapshot chunk.</summary>
    public int MaxFrameBytes { get; init; } = 20 << 20;

    /// <summary>The most messages in a lane of a link's queue.</summary>
    public int MaxQueuedMessages { get; init; } = 8192;

    /// <summary>The most bytes that wait in the bulk lane of a link, and in its snapshot lane.</summary>
    public long MaxQueuedBytes { get; init; } = 64 << 20;

    /// <summary>The most bytes that wait in the priority lane of a link.</summary>
    public long MaxQueuedPriorityBytes { get; init; } = 16 << 20;

    /// <summary>The most snapshot chunks that wait on a link; more are dropped, and the core asks again at the receiver's pace.</summary>
    public int MaxQueuedSnapshotChunks { get; init; } = 2;

    /// <summary>The most connections whose handshake is under way.</summary>
    public int MaxHandshakes { get; init; } = 64;

    /// <summary>How long a dial may take until TCP is connected.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>How long a handshake may take, TLS included.</summary>
    public TimeSpan HandshakeTimeout { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>
    /// How long a dial of the lower id, once it said hello, keeps the other's away while both dialled at once. One whose answer is not
    /// there by then may have gone into a hole, and would keep the two apart for as long as a handshake may take.
    /// </summary>
    public TimeSpan CrossedFor { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>
    /// How long our own first dial waits for an answer before another is made; doubles while they go unanswered, up to <see
    /// cref="HandshakeTimeout"/>.
    /// </summary>
    public TimeSpan FirstPatience => CrossedFor < HandshakeTimeout ? CrossedFor : HandshakeTimeout;

    /// <summary>
    /// Sent bytes that the peer's kernel does not acknowledge for so long end the link; dialling anew is faster than TCP's own back-off.
    /// </summary>
    public TimeSpan LinkTimeout { get; init; } = TimeSpan.FromSeconds(3);

    /// <summary>The pause after the first dial that failed; doubles up to <see cref="MaxBackoff"/>.</summary>
    public TimeSpan MinBackoff { get; init; } = TimeSpan.FromMilliseconds(5);

    /// <summary>The longest pause between dials.</summary>
    public TimeSpan MaxBackoff { get; init; } = TimeSpan.FromMilliseconds(250);

    /// <summary>After a link broke: the pause between probes.</summary>
    public TimeSpan ProbeEvery { get; init; } = TimeSpan.FromMilliseconds(2);

    /// <summary>Probes that stay refused for so long are evidence of death.</summary>
    public TimeSpan RefusedForDeath { get; init; } = TimeSpan.FromMilliseconds(20);

    /// <summary>How long the goodbyes of an orderly stop may take.</summary>
    public TimeSpan StopTimeout { get; init; } = TimeSpan.FromMilliseconds(500);
}
