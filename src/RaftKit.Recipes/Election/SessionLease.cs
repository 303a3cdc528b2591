using RaftKit.Znodes;

namespace RaftKit.Recipes.Election;

/// <summary>Whether what a session owns can be counted on at this moment.</summary>
internal static class SessionLease
{
    public static bool IsValid(IZnodeSession session) =>
        session.State == SessionState.Connected && !session.Expired.IsCancellationRequested;
}
