using RaftKit.Node.Loop;

namespace RaftKit.Node.Tests.Transport;

/// <summary>Keeps every input, and lets a test wait for the one that it expects.</summary>
internal sealed class RecordingInbox : INodeInbox
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    private readonly Lock _gate = new();
    private readonly List<NodeInput> _inputs = [];
    private readonly List<(Func<NodeInput, bool> Wanted, TaskCompletionSource<NodeInput> Found)> _waiting = [];

    public IReadOnlyList<NodeInput> All
    {
        get
        {
            lock (_gate)
                return [.. _inputs];
        }
    }

    public void Post(NodeInput input)
    {
        lock (_gate)
        {
            _inputs.Add(input);
            foreach (var waiting in _waiting.Where(w => w.Wanted(input)).ToList())
            {
                waiting.Found.TrySetResult(input);
                _waiting.Remove(waiting);
            }
        }
    }

    /// <summary>The first input of a kind that fits, at or after a position in <see cref="All"/>; waits for it.</summary>
    public async Task<T> Expect<T>(Func<T, bool>? fits = null, int from = 0)
        where T : NodeInput
    {
        var wanted = (NodeInput input) => input is T t && (fits is null || fits(t));
        var found = new TaskCompletionSource<NodeInput>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_inputs.Skip(from).FirstOrDefault(wanted) is T there)
                return there;
            _waiting.Add((wanted, found));
        }
        try
        {
            return (T)await found.Task.WaitAsync(Patience);
        }
        catch (TimeoutException)
        {
            throw new TimeoutException($"No {typeof(T).Name} came; what came: {string.Join("; ", All)}");
        }
    }
}
