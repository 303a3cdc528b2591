using RaftKit.Znodes;

namespace RaftKit.Recipes.Election;

/// <summary>Whether what a session owns can be counted on at this moment.</summary>
internal static class SessionLease
{
    // The state first, the lease last: a pause between the two must show.
    public static bool IsValid(IZnodeSession session) =>
        session.State == SessionState.Connected && !session.Expired.IsCancellationRequested
            && session is not ISessionLease { IsValid: false };

    /// <summary>
    /// Whether the quorum has expired it or surely will: it ended, or nothing was heard from the quorum for twice its timeout (the node of
    /// this process may have stopped for good, and can neither close a session nor delete what it owns).
    /// </summary>
    public static bool IsOver(IZnodeSession session) =>
        session.State == SessionState.Expired || (session is ISessionLease lease && lease.Remaining < -session.Timeout);
}
