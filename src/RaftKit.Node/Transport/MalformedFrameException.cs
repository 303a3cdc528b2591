namespace RaftKit.Node.Transport;

/// <summary>
/// Bytes from a peer are not a frame of this protocol. The peer is wrong, or somebody else is talking: the link is closed with this message
/// as its reason.
/// </summary>
internal sealed class MalformedFrameException(string message, Exception? inner = null) : Exception(message, inner);
