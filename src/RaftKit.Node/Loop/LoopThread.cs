using RaftKit.Consensus;

namespace RaftKit.Node.Loop;

/// <summary>
/// Gives a <see cref="NodeLoop"/> its turns, one at a time: everything that was posted since the last one, and a tick when one is due. They
/// run on a thread of its own, which blocks while there is nothing to do; or, while that sleeps, on another thread of this node that has
/// something to post and time for one turn (a link's reader, the log's): waking a thread costs more than most turns do. Whatever is left
/// after such a turn is the own thread's again.
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
    private Exception? _escaped;
    private bool _closed;

    // Whether somebody holds the right to give turns: this thread until it finds nothing to do, then whoever entered. Guarded by the gate,
    // as what follows.
    private bool _held = true;
    private bool _asleep;
    private bool _tickWaits;

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
                if (_held || !_asleep)
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

    /// <inheritdoc/>
    public bool TryEnter()
    {
        lock (_gate)
        {
            if (_held || _posted.Count > 0)
                return false;
            return _held = true;
        }
    }

    /// <inheritdoc/>
    public void Leave()
    {
        lock (_gate)
            TakePosted();
        try
        {
            if (_taken.Count > 0)
                Turn(Now);
        }
        catch (Exception failure)
        {
            _escaped = failure;
        }

        lock (_gate)
        {
            _held = false;
            if (!_asleep || !(_posted.Count > 0 || HasWork || _tickWaits))
                return;
            _asleep = false;
        }
        _wake.Set();
    }

    /// <summary>Waits for the thread to end, which it does when its loop has stopped.</summary>
    public void Join() => _thread.Join();

    // Asked by whoever holds the turns.
    private bool HasWork => _loop!.NeedsTurn || HasEnded;

    private bool HasEnded => _loop!.IsStopped || _escaped is not null;

    private void Run()
    {
        try
        {
            GiveTurns();
        }
        catch (Exception failure)
        {
            _escaped = failure;
        }
        Close();
        // Something may have been thrown while the loop told others that it had failed (by a logger, say). It must not end the host
        // process.
        _ended!(_loop!.Failure ?? _escaped);
    }

    private void GiveTurns()
    {
        var due = BootTimeClock.Now + _tickInterval;
        while (true)
        {
            Take(due);
            if (HasEnded)
                return;
            var now = Now;
            AddTicks(now.Monotonic, ref due);
            if (_taken.Count > 0 || _loop!.NeedsTurn)
                Turn(now);
        }
    }

    private void Turn(LoopTime now)
    {
        _loop!.Turn(_taken, now);
        _taken.Clear();
    }

    /// <summary>Takes what was posted; waits for something, or for the next tick, unless the loop has work left.</summary>
    private void Take(TimeSpan due)
    {
        var holds = true;
        var tickIsDue = false;
        while (true)
        {
            lock (_gate)
            {
                holds |= !_held;
                if (holds && (_posted.Count > 0 || tickIsDue || HasWork))
                {
                    (_held, _asleep, _tickWaits) = (true, false, false);
                    if (!HasEnded)
                        TakePosted();
                    return;
                }
                if (holds)
                    (_held, holds) = (false, false);
                (_asleep, _tickWaits) = (true, tickIsDue);
            }
            // A tick that is due while another thread is in a turn: that thread wakes this one.
            var left = due - BootTimeClock.Now;
            if (tickIsDue)
                _wake.WaitOne();
            else
                tickIsDue = left <= TimeSpan.Zero || !_wake.WaitOne((int)Math.Ceiling(left.TotalMilliseconds));
        }
    }

    private void TakePosted()
    {
        (_posted, _taken) = (_taken, _posted);
        _gauge.Clear();
    }

    /// <summary>
    /// A tick that is a little late is made up for, so that time runs true; after a longer pause of this process there is one tick, which
    /// says how late it is, so that nobody's silence is judged by a time in which nobody was heard.
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
        {
            // Whoever throws keeps nobody else from being told, and must not end the host process on this thread.
            try
            {
                Refuse(input);
            }
            catch (Exception failure)
            {
                _escaped ??= failure;
            }
        }
    }

    /// <summary>
    /// Tells whoever waits for it that it will not be done. What came from a peer is dropped in silence, as the network may drop it.
    /// </summary>
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
