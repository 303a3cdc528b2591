using RaftKit.Node.Loop;
using RaftKit.Znodes.History;
using RaftKit.Znodes.Sessions;
using RaftKit.Znodes.Tree;

namespace RaftKit.Znodes.Watches;

/// <summary>
/// The events of a path, without a gap, for one reader. While the reader keeps up they come from the watch table into a small buffer; when
/// it does not, the buffer stops filling and the rest is read from the journal when the reader asks. When the journal no longer reaches
/// back, it fails with the state instead.
/// </summary>
internal sealed class EventStream : ISessionWatcher
{
    private const int ChangesPerRead = 4096;

    private readonly Lock _lock = new();
    private readonly LocalSession _session;
    private readonly string _path;
    private readonly bool _recursive;
    private readonly Queue<WatchEvent> _buffer = new();
    private TaskCompletionSource? _waiting;
    private bool _live;
    private bool _ended;
    private bool _stopped;

    // Everything up to here was buffered; nothing at or before it is buffered again.
    private long _seen;

    // The last event came from the watch table, so more of the same entry may follow.
    private bool _groupOpen;

    public EventStream(LocalSession session, string path, bool recursive)
    {
        _session = session;
        _path = path;
        _recursive = recursive;
    }

    /// <summary>What a reader is to do.</summary>
    public enum Next
    {
        /// <summary>An event was given.</summary>
        Event,

        /// <summary>Ask the journal.</summary>
        Refill,

        /// <summary>Wait.</summary>
        Wait,

        /// <summary>The session ended.</summary>
        Ended,
    }

    private WatchMode Mode => _recursive ? WatchMode.PersistentRecursive : WatchMode.Persistent;

    /// <summary>Begins, ordered with the session's calls.</summary>
    public Task StartAsync(long? afterZxid, CancellationToken cancellationToken) =>
        new StartCall(this, _session, afterZxid).Start(cancellationToken);

    /// <summary>Gets what the journal has. Not ordered with calls: a write that waits for a leader holds no event up.</summary>
    public Task RefillAsync(CancellationToken cancellationToken) => new RefillCall(this, _session).Start(cancellationToken);

    public void Stop() => _session.Inbox.Post(new NodeInput.Call(new StopCall(this)));

    /// <summary>The reader's thread.</summary>
    public Next TryTake(out WatchEvent watchEvent)
    {
        lock (_lock)
        {
            if (_buffer.TryDequeue(out watchEvent))
                return Next.Event;
            return _ended ? Next.Ended : _live ? Next.Wait : Next.Refill;
        }
    }

    /// <summary>The reader's thread: completes when there may be something to take.</summary>
    public async Task WaitAsync(CancellationToken cancellationToken)
    {
        TaskCompletionSource waiting;
        lock (_lock)
        {
            if (_buffer.Count > 0 || !_live || _ended)
                return;
            _waiting = waiting = new TaskCompletionSource(_session.Scheduler.Completion);
        }
        await using var cancellation = cancellationToken.UnsafeRegister(
            static (completion, token) => ((TaskCompletionSource)completion!).TrySetCanceled(token), waiting);
        await waiting.Task;
    }

    object IWatcher.Owner => _session;

    public Exception EndedException() => _session.EndedException();

    void IWatcher.Notify(in WatchEvent watchEvent)
    {
        lock (_lock)
        {
            if (!_live || watchEvent.Zxid < _seen || (watchEvent.Zxid == _seen && !_groupOpen))
                return;
            if (_buffer.Count >= _session.Keeper.Options.StreamBuffer && watchEvent.Zxid != _seen)
            {
                // The reader is behind. What follows is in the journal, from here on.
                _live = false;
                return;
            }
            _seen = watchEvent.Zxid;
            _groupOpen = true;
            _buffer.Enqueue(watchEvent);
        }
        Wake();
    }

    void ISessionWatcher.SessionEnded()
    {
        lock (_lock)
            _ended = true;
        _session.Keeper.Streams.Remove(this);
        Wake();
    }

    /// <summary>A snapshot jumped over history: after what was seen the journal must say what it knows.</summary>
    public void Jumped()
    {
        lock (_lock)
            _live = false;
        Wake();
    }

    /// <summary>On the loop.</summary>
    /// <returns>False: the journal does not reach back so far.</returns>
    private bool TryFill(long after)
    {
        var keeper = _session.Keeper;
        var changes = new List<TreeChange>();
        keeper.EnterEpoch(keeper.Machine.Zxid);
        var read = keeper.Journal.TryReadAfter(after, _path, ChangesPerRead, changes, out var through);
        if (read == JournalRead.Compacted)
            return false;
        lock (_lock)
        {
            foreach (var change in changes)
            {
                if (_recursive || change.Path == _path)
                    _buffer.Enqueue(new WatchEvent((WatchEventType)change.Kind, change.Path, change.Zxid));
                else if (change.ChangesParentsChildren && change.ParentSpan.SequenceEqual(_path))
                    _buffer.Enqueue(new WatchEvent(WatchEventType.ChildrenChanged, _path, change.Zxid));
            }
            _live = read == JournalRead.UpToDate;
            _groupOpen = false;
            _seen = _live ? Math.Max(after, keeper.Machine.Zxid) : through;
        }
        return true;
    }

    /// <summary>The reader gets the state in place of the history, as of when the copy of it is done.</summary>
    private void CopyInstead(long after, Action<Exception> fail)
    {
        var oldest = _session.Keeper.Journal.OldestZxid;
        new SubtreeCopy(
            _session, _path, _recursive, (copied, zxid) =>
                fail(Compacted(after, oldest, copied, zxid)), () => fail(_session.EndedException())).Begin();
    }

    private WatchCompactedException Compacted(long after, long oldest, IReadOnlyCollection<Znode> copied, long zxid) => new(
        after, oldest, () => [.. copied.OrderBy(z => z.Path, StringComparer.Ordinal).Select(z => z with { Zxid = zxid })], zxid,
        $"The history begins after zxid {oldest:x}; the stream of {_path} was to go on after {after:x}. Take the state, then stream from zxid {zxid:x}.");

    private void Wake()
    {
        TaskCompletionSource? waiting;
        lock (_lock)
        {
            waiting = _waiting;
            _waiting = null;
        }
        if (waiting is not null)
            _session.Outbox.Complete(new Awakening(waiting));
    }

    private void Begin()
    {
        // The reader may have gone while the beginning waited for earlier calls.
        if (_stopped)
            return;
        _session.Watch(this, _path, Mode);
        _session.Keeper.Streams.Add(this);
    }

    private void End()
    {
        _stopped = true;
        _session.Unwatch(this);
        _session.Keeper.Streams.Remove(this);
    }

    private sealed class StartCall(EventStream stream, LocalSession session, long? afterZxid) : SessionCall<bool>(session)
    {
        private bool _copying;

        public override void Turn()
        {
            if (Session.IsEnded)
            {
                Abandon();
            }
            else if (_copying)
            {
                // Whatever else becomes known meanwhile, this call waits for its copy.
            }
            else if (stream.TryFill(afterZxid ?? Session.Keeper.Machine.Zxid))
            {
                stream.Begin();
                Done(true);
            }
            else
            {
                _copying = true;
                stream.CopyInstead(afterZxid!.Value, Failed);
            }
        }

        private void Failed(Exception failure)
        {
            Fail(failure);
            Session.Advance();
        }
    }

    /// <summary>Answered on its own, out of the session's order.</summary>
    private sealed class RefillCall(EventStream stream, LocalSession session) : SessionCall<bool>(session)
    {
        public override bool MayBeRefused => false;

        public override void Run()
        {
            if (!Session.IsEnded && !stream.TryFill(stream._seen))
            {
                stream.CopyInstead(stream._seen, Failed);
                return;
            }
            if (Session.IsEnded)
                Abandon();
            else
                Done(true);
            Session.Outbox.Complete(this);
        }

        private void Failed(Exception failure)
        {
            Fail(failure);
            Session.Outbox.Complete(this);
        }
    }

    private sealed class StopCall(EventStream stream) : ILoopCall
    {
        public void Run() => stream.End();

        public void Stopped()
        {
        }
    }

    private sealed class Awakening(TaskCompletionSource waiting) : ICompletion
    {
        public void Deliver() => waiting.TrySetResult();
    }
}
