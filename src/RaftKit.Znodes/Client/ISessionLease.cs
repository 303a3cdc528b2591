namespace RaftKit.Znodes;

/// <summary>
/// Whether what a session owns can be counted on at this very moment; for recipes that hand out fenced grants. Any thread.
/// </summary>
internal interface ISessionLease
{
    /// <summary>
    /// Whether nobody else can have been given what this session owns: less than its timeout has passed since the last keepalive that the
    /// quorum answered was sent, on a clock that counts suspended time. Read the state first, then check this: a pause between the two must
    /// show.
    /// </summary>
    bool IsValid { get; }

    /// <summary>How much of it is left; zero or less: none.</summary>
    TimeSpan Remaining { get; }
}
