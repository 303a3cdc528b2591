using RaftKit.Consensus;

namespace RaftKit.Node.Loop;

/// <summary>
/// The thread that gives a <see cref="NodeLoop"/> its turns: everything that was posted since the last one, and a tick when one is due. It blocks while
/// there is nothing to do.
/// </summary>
internal sealed class LoopThread : INodeInbox
{
    private readonly Lock _gate = new();
    private readonly AutoResetEvent _wake = new(false);
    private readonly TimeSpan _tickInterval;
    private readonly TimeProvider _time;
    private readonly Thread _thread;
    private List<NodeInput> _posted = [];
    private List<NodeInput> _taken = [];
    private InboxGauge _gauge;
    private NodeLoop? _loop;
    private Action<Exception?>? _ended;
    private bool _closed;
    private volatile bool _asleep;

    public LoopThread(string name, TimeSpan tickInterval, TimeProvider time, InboxLimits? limits = null)
    {
        _gauge = new InboxGauge(limits ?? InboxLimits.Default);
        _tickInterval = tickInterval;
        _time = time;
        _thread = new Thread(Run) { Name = name, IsBackground = true, Priority = ThreadPriority.AboveNormal };
    }

    /// <summary>The time as the loop sees it.</summary>
    public LoopTime Now => new(BootTimeClock.Now, _time.GetUtcNow().ToUnixTimeMilliseconds());

    /// <param name="loop">The loop; already started.</param>
    /// <param name="ended">Called on the thread when the loop has ended, with its failure if it had one.</param>
    public void Start(NodeLoop loop, Action<Exception?> ended)
    {
        _loop = loop;
        _ended = ended;
        _thread.Start();
    }

    /// <summary>Told of what was refused and dropped; set before anything is posted.</summary>
    public NodeCounters Counters { private get; set; } = new();

    /// <summary>Any thread. After the loop has ended an input is told so, or dropped.</summary>
    public void Post(NodeInput input)
    {
        string? busy = null;
        bool taken;
        lock (_gate)
        {
            taken = !_closed && _gauge.TryTake(input);
            if (taken)
            {
                _posted.Add(input);
                if (!_asleep)
                    return;
                _asleep = false;
            }
            else if (!_closed)
            {
                busy = _gauge.BusyReason;
                Counters.Count(input.Share);
            }
        }
        // Never under the lock: what is told may post.
        if (taken)
            _wake.Set();
        else
            Refuse(input, busy);
    }

    /// <summary>Waits for the thread to end, which it does when its loop has stopped.</summary>
    public void Join() => _thread.Join();

    private void Run()
    {
        var loop = _loop!;
        Exception? escaped = null;
        try
        {
            GiveTurns(loop);
        }
        catch (Exception failure)
        {
            // Thrown while the loop told others that it had failed (a logger, say). On a thread of its own this would end the host process.
            escaped = failure;
        }
        Close();
        _ended!(loop.Failure ?? escaped);
    }

    private void GiveTurns(NodeLoop loop)
    {
        var due = BootTimeClock.Now + _tickInterval;
        while (!loop.IsStopped)
        {
            Take(loop.NeedsTurn, due);
            var now = Now;
            AddTicks(now.Monotonic, ref due);
            if (_taken.Count > 0 || loop.NeedsTurn)
                loop.Turn(_taken, now);
            _taken.Clear();
        }
    }

    /// <summary>Takes what was posted; waits for something, or for the next tick, unless the loop has work left.</summary>
    private void Take(bool workLeft, TimeSpan due)
    {
        while (true)
        {
            lock (_gate)
            {
                if (_posted.Count > 0 || workLeft)
                {
                    (_posted, _taken) = (_taken, _posted);
                    _gauge.Clear();
                    return;
                }
                _asleep = true;
            }
            var left = due - BootTimeClock.Now;
            if (left <= TimeSpan.Zero)
            {
                _asleep = false;
                workLeft = true;
            }
            else if (!_wake.WaitOne((int)Math.Ceiling(left.TotalMilliseconds)))
            {
                workLeft = true;
            }
        }
    }

    /// <summary>
    /// A tick that is a little late is made up for, so that time runs true; after a longer pause of this process there is one tick, which says how late
    /// it is, so that nobody's silence is judged by a time in which nobody was heard.
    /// </summary>
    private void AddTicks(TimeSpan now, ref TimeSpan due)
    {
        if (now < due)
            return;
        var late = now - due;
        if (late > 4 * _tickInterval)
        {
            _taken.Add(new NodeInput.Tick(late));
            due = now + _tickInterval;
            return;
        }
        _taken.Add(new NodeInput.Tick(TimeSpan.Zero));
        due += _tickInterval;
    }

    private void Close()
    {
        List<NodeInput> left;
        lock (_gate)
        {
            _closed = true;
            left = _posted;
            _posted = [];
        }
        foreach (var input in left)
            Refuse(input);
    }

    /// <summary>Tells whoever waits for it that it will not be done. What came from a peer is dropped in silence, as the network may drop it.</summary>
    /// <param name="input">What will not be done.</param>
    /// <param name="busy">Why, if there is too much to do; null: the node has stopped.</param>
    internal static void Refuse(NodeInput input, string? busy = null)
    {
        var reason = busy ?? "The node has stopped.";
        switch (input)
        {
            case NodeInput.Propose propose:
                propose.Callback?.Failed(ProposalFailure.NotApplied, reason);
                break;
            case NodeInput.Read read:
                read.Callback.Failed(reason);
                break;
            case NodeInput.Call call:
                if (busy is null)
                    call.Target.Stopped();
                else
                    call.Target.Refused(busy);
                break;
            case NodeInput.Stop stop:
                stop.Stopped(null);
                break;
        }
    }
}
