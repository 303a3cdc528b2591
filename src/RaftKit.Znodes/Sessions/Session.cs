using System.Security.Cryptography;
using RaftKit.Consensus;
using RaftKit.Node.Transport;

namespace RaftKit.Znodes.Sessions;

/// <summary>
/// A session as every member holds it: changed by applied commands alone. It ends by a command in the log and never otherwise; its id is
/// never given again.
/// </summary>
internal sealed class Session
{
    public required long Id { get; init; }

    public required int TimeoutMilliseconds { get; init; }

    /// <summary>The process that the session lives in and dies with; null for a client that is only connected through a member.</summary>
    public required ProposerId? Host { get; init; }

    /// <summary>What a client that re-attaches must show; empty for a host's own session, which never does.</summary>
    public required ReadOnlyMemory<byte> Password { get; init; }

    /// <summary>The leader's time when it was opened, in Unix milliseconds.</summary>
    public required long OpenedAt { get; init; }

    /// <summary>The member that it is attached through.</summary>
    public MemberId Member { get; set; }

    /// <summary>The last command of it, or its last attaching: what voids an expiry that was judged before.</summary>
    public LogIndex LastActive { get; set; }

    /// <summary>How much of its timeout a leader saw it silent for, when that was last logged; 0 since it was last active.</summary>
    public int SpentMilliseconds { get; set; }

    /// <summary>It was given its one whole timeout because the member it was attached through was lost.</summary>
    public bool Extended { get; set; }

    public TimeSpan Timeout => TimeSpan.FromMilliseconds(TimeoutMilliseconds);

    /// <summary>
    /// Whether it lives in the given start of a process, or in an older one out of the same directory, whose lock a later start could only
    /// take when the older was over. An older incarnation is not that: it had a directory of its own, and its process may run beside the
    /// new one.
    /// </summary>
    public bool LivesInOrBefore(ProposerId process) =>
        Host is { } host && host.Member == process.Member && host.Incarnation == process.Incarnation && host.Boot <= process.Boot;

    /// <summary>Whether whoever shows this password may take it up. A host's own session is never taken up.</summary>
    public bool Opens(ReadOnlySpan<byte> password) =>
        Host is null && Password.Length > 0 && CryptographicOperations.FixedTimeEquals(Password.Span, password);

    public Session Copy() => (Session)MemberwiseClone();
}

/// <summary>Why a session ended.</summary>
internal enum SessionEnd : byte
{
    /// <summary>Its owner closed it.</summary>
    Closed = 1,

    /// <summary>Its timeout ran out.</summary>
    Silence = 2,

    /// <summary>The process that it lived in is proven to be gone.</summary>
    HostDied = 3,

    /// <summary>Its host refused connections, and the operator chose to take that for death.</summary>
    HostRefused = 4,
}
