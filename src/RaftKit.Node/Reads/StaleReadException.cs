namespace RaftKit.Node.Reads;

/// <summary>
/// A read allowed this member's copy to be behind by so much, and no leader confirmed within that time that it is not further behind.
/// </summary>
public sealed class StaleReadException : Exception
{
    internal StaleReadException(string message, TimeSpan? behind, TimeSpan bound)
        : base(message) => (Behind, Bound) = (behind, bound);

    /// <summary>How far behind the copy may be, at most; null if no leader has confirmed it since this member started.</summary>
    public TimeSpan? Behind { get; }

    /// <summary>What the read allowed.</summary>
    public TimeSpan Bound { get; }
}
