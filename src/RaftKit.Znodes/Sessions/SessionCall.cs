using System.Diagnostics;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;

namespace RaftKit.Znodes.Sessions;

/// <summary>
/// One call of a session, from the user's thread to the loop and back through the outbox. Calls are answered in the order in which they
/// were made.
/// </summary>
internal abstract class SessionCall(LocalSession session) : ILoopCall, ICompletion
{
    private Exception? _failure;

    public LocalSession Session { get; } = session;

    /// <summary>Its outcome is known.</summary>
    public bool IsDone { get; private set; }

    /// <summary>Not what ends a session, a watch or a wait that was taken in: a refusal would leave it behind for good.</summary>
    public virtual bool MayBeRefused => true;

    public virtual int Weight => 0;

    public virtual void Run() => Session.Take(this);

    /// <summary>The node has stopped: on any thread.</summary>
    public void Stopped() => Refused("The node has stopped. The call was not sent.");

    /// <summary>On any thread, at once: what is refused does not wait for its turn among the calls that were taken.</summary>
    public void Refused(string reason)
    {
        // Its session may have taken it before the loop failed in it, and has told it then what became of it.
        if (IsDone)
            return;
        Fail(new NotAppliedException(reason));
        Session.Outbox.Complete(this);
    }

    /// <summary>On the loop, as soon as the session is open: what goes out to the quorum goes out here.</summary>
    public virtual void Begin()
    {
    }

    /// <summary>On the loop, when every earlier call is done. A call that did not begin anything is done in here.</summary>
    public virtual void Turn()
    {
    }

    /// <summary>The session ended for its owner while this call waited.</summary>
    public virtual void Abandon() => Fail(Session.EndedException());

    public void Fail(Exception failure)
    {
        if (IsDone)
            return;
        _failure = failure;
        IsDone = true;
    }

    public void Deliver() => Deliver(_failure);

    protected void Done() => IsDone = true;

    protected abstract void Deliver(Exception? failure);
}

/// <summary>A call with a result.</summary>
internal abstract class SessionCall<T> : SessionCall
{
    private readonly TaskCompletionSource<T> _completion;
    private CancellationTokenRegistration _cancellation;
    private Activity? _activity;
    private T _result = default!;

    protected SessionCall(LocalSession session)
        : base(session) => _completion = new TaskCompletionSource<T>(session.Scheduler.Completion);

    /// <summary>Sends the call on its way. Cancelling stops the wait, not the call.</summary>
    public Task<T> Start(CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
            return Task.FromCanceled<T>(cancellationToken);
        if (cancellationToken.CanBeCanceled)
        {
            _cancellation = cancellationToken.UnsafeRegister(
                static (completion, token) => ((TaskCompletionSource<T>)completion!).TrySetCanceled(token), _completion);
        }
        _activity = ZnodeActivities.Start(ActivityName);
        Session.Inbox.Post(new NodeInput.Call(this));
        return _completion.Task;
    }

    /// <summary>What it is called in traces; null: it is in none.</summary>
    protected virtual string? ActivityName => null;

    /// <summary>Null while nobody traces.</summary>
    protected Activity? Activity => _activity;

    protected void Done(T result)
    {
        if (IsDone)
            return;
        _result = result;
        Done();
    }

    protected override void Deliver(Exception? failure)
    {
        // Not Dispose: that waits for a cancellation which is under way.
        _cancellation.Unregister();
        if (_activity is null)
            Complete(failure);
        else
            Session.Scheduler.Post(() => EndActivity(failure)); // Whoever listens to activities is told in it.
    }

    private void EndActivity(Exception? failure)
    {
        _activity.End(failure);
        Complete(failure);
    }

    private void Complete(Exception? failure)
    {
        if (failure is null)
            _completion.TrySetResult(_result);
        else
            _completion.TrySetException(failure);
    }
}
