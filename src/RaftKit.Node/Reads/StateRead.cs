using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;

namespace RaftKit.Node.Reads;

/// <summary>One query of a state, from its caller's thread to the loop and back.</summary>
internal sealed class StateRead<TState, TResult, TAnswer> : IReadCallback
{
    private readonly TState _state;
    private readonly Func<TState, TResult> _query;
    private readonly ReadSession? _session;
    private readonly CancellationToken _cancellationToken;
    private readonly Func<ReadResult<TResult>, TAnswer> _told;
    private readonly TaskCompletionSource<TAnswer> _done;
    private TResult _answer = default!;
    private Exception? _failure;

    private StateRead(
        TState state, Func<TState, TResult> query, ReadConsistency consistency, Func<ReadResult<TResult>, TAnswer> told,
        TaskCreationOptions completion,
        CancellationToken cancellationToken)
    {
        (_state, _query, _session, _told, _cancellationToken) = (state, query, consistency.Seen, told, cancellationToken);
        _done = new(completion);
    }

    /// <param name="inbox">Where the loop's inputs go in.</param>
    /// <param name="state">What is asked.</param>
    /// <param name="query">The question; run on the loop.</param>
    /// <param name="consistency">What it must see.</param>
    /// <param name="told">What of the answer its caller wants.</param>
    /// <param name="completion">Where what awaits it goes on.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public static Task<TAnswer> Post(
        INodeInbox inbox, TState state, Func<TState, TResult> query, ReadConsistency consistency, Func<ReadResult<TResult>, TAnswer> told,
        TaskCreationOptions completion, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(query);
        ArgumentNullException.ThrowIfNull(consistency);
        cancellationToken.ThrowIfCancellationRequested();
        var read = new StateRead<TState, TResult, TAnswer>(state, query, consistency, told, completion, cancellationToken);
        inbox.Post(new NodeInput.Read(read, consistency));
        return read._done.Task.WaitAsync(cancellationToken);
    }

    public bool IsAbandoned => _cancellationToken.IsCancellationRequested;

    public void Read()
    {
        if (IsAbandoned)
            return;
        _failure = null;
        try
        {
            _answer = _query(_state);
        }
        catch (Exception e)
        {
            // Whoever wrote the query is told; the node has nothing to do with it.
            _failure = e;
        }
    }

    public void Ready() => throw new InvalidOperationException("An answer says what it is worth.");

    public void Ready(in ReadPoint point)
    {
        // Given up by its caller, who was told so: it was not even read.
        if (IsAbandoned)
            return;
        if (_failure is not null)
        {
            _done.TrySetException(_failure);
            return;
        }
        _session?.Advance(point.Zxid);
        _done.TrySetResult(_told(new ReadResult<TResult>(_answer, point.Guarantee, point.Zxid, point.Behind)));
    }

    public void TooStale(StaleReadException why) => _done.TrySetException(why);

    public void Failed(string reason) => _done.TrySetException(new NotAppliedException(reason));
}
