namespace RaftKit.Chaos;

/// <summary>
/// What the run is there to find: something is not as promised, and its message says what and where. The machine is not to blame.
/// </summary>
internal sealed class FindingException(string message) : Exception(message);
