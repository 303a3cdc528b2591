namespace RaftKit.Node.Transport;

/// <summary>
/// The first element of every frame's body. The numbers are the peer protocol: never renumber, and give a new meaning a new number.
/// All stay below 0x80, so that the kind is always the body's second byte.
/// </summary>
internal enum FrameKind : byte
{
    // The link's own frames: HandshakeCodec.
    Hello = 1,
    Refusal = 2,
    Goodbye = 3,

    // The consensus core's messages: RaftMessageCodec.
    VoteRequest = 16,
    VoteReply = 17,
    AppendRequest = 18,
    AppendReply = 19,
    Heartbeat = 20,
    HeartbeatReply = 21,
    ReadIndexRequest = 22,
    ReadIndexReply = 23,
    SnapshotChunk = 24,
    SnapshotReply = 25,
    TimeoutNow = 26,
    ObserveRequest = 27,
    ObserveReply = 28,

    // The node's messages: MessageCodec.
    ForwardProposals = 48,
    ForwardRefused = 49,
    Channel = 50,
    BootstrapProbe = 51,
    BootstrapAnswer = 52,
    JoinRequest = 53,
    JoinReply = 54,
    StartJudged = 55,
}
