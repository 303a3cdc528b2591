using RaftKit.Znodes.Sessions;

namespace RaftKit.Znodes.Tests.Sessions;

/// <summary>Runs users' code when the test says so.</summary>
internal sealed class FakeScheduler(Func<TimeSpan> now) : IClientScheduler
{
    private readonly Queue<Action> _posted = new();

    public TaskCreationOptions Completion => TaskCreationOptions.None;

    public TimeSpan Monotonic => now();

    public void Post(Action action) => _posted.Enqueue(action);

    public bool RunOne()
    {
        if (!_posted.TryDequeue(out var action))
            return false;
        action();
        return true;
    }
}
