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
    /// Runs what completes tasks and queues callbacks. Where tasks are completed so that their continuations run elsewhere, no user's code
    /// is in it, and it may run inside this call, on the loop: one thread less to wake on the way of each answer.
    /// </summary>
    void Relay(Action action) => Post(action);

    /// <summary>
    /// How tasks are completed. In production a continuation must not run inside the pump that completes it: one that blocks would hold up
    /// every later completion of its session.
    /// </summary>
    TaskCreationOptions Completion { get; }

    /// <summary>The loop's monotonic clock (CLOCK_BOOTTIME), from any thread: what leases are checked against.</summary>
    TimeSpan Monotonic { get; }
}
