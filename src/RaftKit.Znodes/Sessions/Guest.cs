using RaftKit.Consensus;

namespace RaftKit.Znodes.Sessions;

/// <summary>
/// What is special about a session that belongs to a client connected through this member, and not to this process: it is kept alive by
/// what is heard of the client alone, and it can go on through another member, for whoever shows its password.
/// </summary>
/// <param name="password">What the client must show to take it up again.</param>
/// <param name="session">The session to take up; 0: a new one.</param>
/// <param name="lastZxid">The newest state that the client has seen.</param>
internal sealed class Guest(ReadOnlyMemory<byte> password, long session, long lastZxid)
{
    // Opening it is a sign of life.
    private volatile bool _touched = true;
    private TimeSpan _heardAt;

    public ReadOnlyMemory<byte> Password => password;

    public long Session => session;

    public bool TakesUp => session != 0;

    public long LastZxid => lastZxid;

    /// <summary>Any thread: the client was heard.</summary>
    public void Touch() => _touched = true;

    /// <summary>
    /// Whether the leader may be told that the client lives. A dead one is named for a quarter of its timeout after its last word at the
    /// most, also to a new leader: no longer than the one grace that failovers may cost (DESIGN, promise 5).
    /// </summary>
    public bool IsHeard(TimeSpan now, TimeSpan timeout)
    {
        if (_touched)
        {
            _touched = false;
            _heardAt = now;
        }
        return now - _heardAt <= timeout / 4;
    }
}

/// <summary>How it ended that this process held a session.</summary>
internal enum SessionLeave
{
    /// <summary>The log ended the session, or it was closed before it was open.</summary>
    Ended,

    /// <summary>A client's: it was taken up through another connection.</summary>
    Moved,

    /// <summary>A client's: this member serves it no more, and does not know what became of it.</summary>
    Detached,
}
