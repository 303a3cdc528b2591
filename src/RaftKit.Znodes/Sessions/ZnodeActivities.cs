using System.Diagnostics;
using RaftKit.Node.Proposals;

namespace RaftKit.Znodes.Sessions;

/// <summary>
/// Traces writes from the call to the answer. Nothing is made while nobody listens. The activity is not the caller's current one after the
/// call returned: calls of a session overlap.
/// </summary>
internal static class ZnodeActivities
{
    private static readonly ActivitySource Source = new("RaftKit", typeof(ZnodeActivities).Assembly.GetName().Version?.ToString(3));

    public static Activity? Start(string? name)
    {
        if (name is null || !Source.HasListeners())
            return null;
        var before = Activity.Current;
        var activity = Source.StartActivity(name, ActivityKind.Client);
        Activity.Current = before;
        return activity;
    }

    public static void Applied(this Activity? activity, long session, long zxid)
    {
        if (activity is null)
            return;
        activity.SetTag("raftkit.session", session);
        activity.SetTag("raftkit.zxid", zxid);
        activity.AddEvent(new ActivityEvent("applied"));
    }

    public static void End(this Activity? activity, Exception? failure)
    {
        if (activity is null)
            return;
        if (failure is not null)
        {
            activity.SetTag("error.type", failure is ZnodeException refused ? refused.Error.ToString() : failure.GetType().FullName);
            // What the tree refuses is an answer; what nobody can tell is worth a look.
            activity.SetStatus(
                failure is ZnodeException or NotAppliedException ? ActivityStatusCode.Unset : ActivityStatusCode.Error, failure.Message);
        }
        activity.Dispose();
    }
}
