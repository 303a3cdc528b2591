namespace RaftKit.Node.Proposals;

/// <summary>
/// A write was handed to the quorum and its outcome cannot be told: it may have been applied, or may still be, or may never be. Read the
/// state before trying again. (A refusal that is certain is never reported as this.)
/// </summary>
public sealed class OutcomeUnknownException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>A write was refused before it reached the log: it was surely not applied and never will be. It is safe to try again.</summary>
public sealed class NotAppliedException(string message, Exception? inner = null) : Exception(message, inner);
