using RaftKit.Node.Loop;
using RaftKit.Znodes.Sessions;

namespace RaftKit.Hosting;

/// <summary>
/// Where sessions post to: holds what comes before the node starts and hands it over, in order, when it does. So sessions can be opened in
/// constructors, and nothing is touched on disk before the host starts.
/// </summary>
internal sealed class StartInbox : INodeInbox
{
    private readonly Lock _lock = new();
    private readonly List<NodeInput> _waiting = [];
    private InboxGauge _gauge = new(InboxLimits.Default);
    private volatile INodeInbox? _node;
    private bool _closed;

    /// <summary>
    /// Any thread. A session that is closed before the start was never open: whoever disposes a host that did not start need not wait.
    /// </summary>
    public void Post(NodeInput input)
    {
        if (_node is { } node)
        {
            node.Post(input);
            return;
        }

        lock (_lock)
        {
            if (_node is { } started)
                started.Post(input);
            else if (_closed || input is NodeInput.Call { Target: CloseCall })
                LoopThread.Refuse(input);
            else if (_gauge.TryTake(input))
                _waiting.Add(input);
            else
                LoopThread.Refuse(input, _gauge.BusyReason);
        }
    }

    /// <summary>The node takes over.</summary>
    public void Connect(INodeInbox node)
    {
        lock (_lock)
        {
            foreach (var input in _waiting)
                node.Post(input);
            _waiting.Clear();
            _node = node;
        }
    }

    /// <summary>There will be no node: whoever waits is told so.</summary>
    public void Close()
    {
        lock (_lock)
        {
            _closed = true;
            foreach (var input in _waiting)
                LoopThread.Refuse(input);
            _waiting.Clear();
        }
    }
}
