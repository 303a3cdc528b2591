namespace RaftKit.Znodes.Sessions;

/// <summary>
/// Where what users see runs: completions, callbacks, and what continues after them. The thread pool in production; the simulator's own
/// queue under test, so that applications and recipes are simulated too.
/// </summary>
internal interface IClientScheduler
{
    /// <summary>Runs the action later, never inside this call.</summary>
    void Post(Action action);

    /// <summary>
    /// How tasks are completed. In production a continuation must not run inside the pump that completes it: one that blocks would hold up
    /// every later completion of its session.
    /// </summary>
    TaskCreationOptions Completion { get; }

    /// <summary>The loop's monotonic clock (CLOCK_BOOTTIME), from any thread: what leases are checked against.</summary>
    TimeSpan Monotonic { get; }
}
