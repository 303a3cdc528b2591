using Microsoft.Extensions.Logging;
using RaftKit.Consensus;

namespace RaftKit.Node.Transport;

/// <summary>What the transport logs. Event ids 300 to 399.</summary>
internal static partial class TransportLog
{
    [LoggerMessage(300, LogLevel.Information, "Listened for members on {Endpoint}")]
    public static partial void Listening(ILogger logger, string endpoint);

    [LoggerMessage(301, LogLevel.Information,
        "Link {Link} to member {Member} (incarnation {Incarnation}, boot {Boot}) came up, protocol version {Version}")]
    public static partial void LinkUp(ILogger logger, long link, MemberId member, int incarnation, long boot, int version);

    [LoggerMessage(302, LogLevel.Information, "Link {Link} to member {Member} ended ({End}): {Reason}")]
    public static partial void LinkDown(ILogger logger, long link, MemberId member, LinkEnd end, string reason);

    [LoggerMessage(303, LogLevel.Warning, "Refused a link ({Code}): {Reason}")]
    public static partial void Refused(ILogger logger, RefusalCode code, string reason);

    [LoggerMessage(304, LogLevel.Warning, "Member {Member} refused the link ({Code}): {Reason}")]
    public static partial void RefusedByPeer(ILogger logger, MemberId member, RefusalCode code, string reason);

    [LoggerMessage(305, LogLevel.Warning, "Link {Link} to member {Member} sent what is no frame and was closed: {Reason}")]
    public static partial void MalformedFrame(ILogger logger, MemberId member, long link, string reason);

    [LoggerMessage(306, LogLevel.Warning, "A connection from {Remote} was closed during its handshake: {Reason}")]
    public static partial void HandshakeFailed(ILogger logger, string remote, string reason);

    [LoggerMessage(
        307, LogLevel.Error,
        "A message of about {Bytes} bytes to member {Member} was dropped: frames of more than {MaxBytes} bytes are not sent (MaxFrameBytes)")]
    public static partial void OversizedMessage(ILogger logger, MemberId member, int bytes, int maxBytes);

    [LoggerMessage(308, LogLevel.Warning, "Member {Member} (incarnation {Incarnation}, boot {Boot}) died, proven: {Proven}. {Reason}")]
    public static partial void PeerDied(ILogger logger, MemberId member, int incarnation, long boot, bool proven, string reason);

    [LoggerMessage(309, LogLevel.Warning, "Accepting a connection failed: {Reason}")]
    public static partial void AcceptFailed(ILogger logger, string reason);

    [LoggerMessage(310, LogLevel.Debug, "Dialling member {Member} at {Endpoint} failed: {Reason}")]
    public static partial void DialFailed(ILogger logger, MemberId member, string endpoint, string reason);

    [LoggerMessage(311, LogLevel.Warning, "Member {Member} at {Endpoint} accepted a connection and did not shake hands: {Reason}")]
    public static partial void NotShaken(ILogger logger, MemberId member, string endpoint, string reason);

    [LoggerMessage(312, LogLevel.Critical, "The transport failed; the node stops")]
    public static partial void Failed(ILogger logger, Exception exception);
}
