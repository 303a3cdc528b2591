using RaftKit.Node.Log;

namespace RaftKit.Node.Loop;

/// <summary>
/// A thread that runs disk jobs in order. Jobs that wait while an fsync is under way then share the next one: group commit, without a
/// lingering timer.
/// </summary>
internal sealed class DiskLaneThread : IDiskLane
{
    private const int MaxGroup = 256;

    private readonly Lock _gate = new();
    private readonly AutoResetEvent _wake = new(false);
    private readonly INodeInbox _inbox;
    private readonly Thread _thread;
    private readonly List<DiskJob> _group = [];
    private readonly Queue<DiskJob> _jobs = new();
    private bool _asleep;
    private bool _closing;

    public DiskLaneThread(string name, INodeInbox inbox)
    {
        _inbox = inbox;
        _thread = new Thread(Run) { Name = name, IsBackground = true };
        _thread.Start();
    }

    public void Submit(DiskJob job)
    {
        lock (_gate)
        {
            _jobs.Enqueue(job);
            if (!_asleep)
                return;
            _asleep = false;
        }
        _wake.Set();
    }

    /// <summary>Runs what was submitted, then ends.</summary>
    public void Close()
    {
        lock (_gate)
            _closing = true;
        _wake.Set();
        _thread.Join();
    }

    private void Run()
    {
        while (TakeGroup())
        {
            for (var i = 0; i < _group.Count; i++)
            {
                _group[i].SyncDeferred = i < _group.Count - 1;
                _group[i].Execute();
            }
            // One of a group failed: what the others wrote was never synced either.
            var failure = _group.Select(j => j.Failure).FirstOrDefault(f => f is not null);
            Report(failure);
            _group.Clear();
        }
    }

    private void Report(Exception? failure)
    {
        var entered = _inbox.TryEnter();
        try
        {
            foreach (var job in _group)
            {
                if (failure is not null)
                    job.Fail(failure);
                _inbox.Post(new NodeInput.DiskDone(job));
            }
        }
        finally
        {
            if (entered)
                _inbox.Leave();
        }
    }

    /// <summary>The next jobs that may share one sync; false when the lane is closed and empty.</summary>
    private bool TakeGroup()
    {
        while (true)
        {
            lock (_gate)
            {
                while (_group.Count < MaxGroup && _jobs.TryPeek(out var next)
                    && (_group.Count == 0 || (next.CanShareSync && _group[^1].CanShareSync)))
                    _group.Add(_jobs.Dequeue());
                if (_group.Count > 0)
                    return true;
                if (_closing)
                    return false;
                _asleep = true;
            }
            _wake.WaitOne();
        }
    }
}
