using RaftKit.Znodes;

namespace RaftKit.Recipes.Election;

/// <summary>Whether what a session owns can be counted on at this moment.</summary>
internal static class SessionLease
{
    // The state first, the lease last: a pause between the two must show.
    public static bool IsValid(IZnodeSession session) =>
        session.State == SessionState.Connected && !session.Expired.IsCancellationRequested && session is not ISessionLease { IsValid: false };
}
