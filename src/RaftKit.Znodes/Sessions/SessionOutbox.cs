using Microsoft.Extensions.Logging;

namespace RaftKit.Znodes.Sessions;

/// <summary>
/// What one session hears, in one order: completions of its calls, and events. An event goes on to a second pump that runs the callbacks,
/// so a completion is seen after every earlier event was queued for its callback, and a callback that waits for a call does not hold that
/// call up.
/// </summary>
internal sealed class SessionOutbox
{
    private readonly OrderedPump<Item> _outbox;
    private readonly OrderedPump<Item> _callbacks;
    private readonly ILogger _logger;
    private readonly Action _overflowed;

    /// <param name="scheduler">Where users' code runs.</param>
    /// <param name="logger">Told of callbacks that throw.</param>
    /// <param name="capacity">How many events may wait for their callbacks.</param>
    /// <param name="overflowed">Called when more wait: the session can no longer keep its promise to miss nothing.</param>
    public SessionOutbox(IClientScheduler scheduler, ILogger logger, int capacity, Action overflowed)
    {
        _logger = logger;
        _overflowed = overflowed;
        _outbox = new OrderedPump<Item>(scheduler.Relay, int.MaxValue, Deliver);
        _callbacks = new OrderedPump<Item>(scheduler.Post, capacity, Call);
    }

    public void Complete(ICompletion completion) => _outbox.TryAdd(new Item(completion, null, default));

    public void Event(Action<WatchEvent> callback, in WatchEvent watchEvent) => _outbox.TryAdd(new Item(null, callback, watchEvent));

    private void Deliver(Item item)
    {
        if (item.Completion is { } completion)
            completion.Deliver();
        else if (!_callbacks.TryAdd(item))
            _overflowed();
    }

    private void Call(Item item)
    {
        try
        {
            item.Callback!(item.Event);
        }
        catch (Exception failure)
        {
            ZnodeLog.CallbackFailed(_logger, failure, item.Event.Type, item.Event.Path, item.Event.Zxid);
        }
    }

    private readonly record struct Item(ICompletion? Completion, Action<WatchEvent>? Callback, WatchEvent Event);
}

/// <summary>Something that a user waits for.</summary>
internal interface ICompletion
{
    /// <summary>In the session's order, on any thread. No user's code may run in it: see <see cref="IClientScheduler.Relay"/>.</summary>
    void Deliver();
}
