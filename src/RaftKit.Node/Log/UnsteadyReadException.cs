namespace RaftKit.Node.Log;

/// <summary>What was whole when it was read a moment before is not so any more: a sector went bad in between. Whoever reads begins anew.</summary>
internal sealed class UnsteadyReadException(string message) : IOException(message);
