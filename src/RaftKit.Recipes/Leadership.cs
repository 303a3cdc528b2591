using RaftKit.Recipes.Election;
using RaftKit.Znodes;

namespace RaftKit.Recipes;

/// <summary>
/// Leadership that was granted: it lasts until it is disposed or lost. Any thread may use it. <para>No code can be stopped before a paused
/// process resumes, so: check <see cref="IsHeld"/> right before a side effect, pass <see cref="Lost"/> to what takes time, and send <see
/// cref="FencingToken"/> with every side effect so that the receiver can refuse an old leader.</para>
/// </summary>
public sealed class Leadership : IAsyncDisposable
{
    private readonly Contender _contender;
    private readonly TimeProvider _time;
    private readonly Action<Task> _keep;
    private readonly CancellationTokenSource _lost = new();
    private CancellationTokenRegistration _expiry;
    private IAsyncDisposable? _watch;
    private Task? _withdrawal;

    internal Leadership(Contender contender, string path, FencingToken token, TimeProvider time, Action<Task> keep)
    {
        _contender = contender;
        _time = time;
        _keep = keep;
        Path = path;
        FencingToken = token;
        Lost = _lost.Token;
    }

    /// <summary>Greater than that of every leader before, smaller than that of every leader after.</summary>
    public FencingToken FencingToken { get; }

    /// <summary>The znode by which leadership is held.</summary>
    public string Path { get; }

    /// <summary>
    /// Cancelled when leadership ended or may have ended: disposed, the session expired or was out of touch with the quorum for so long
    /// that it may have, or somebody deleted the entry. It is cancelled once and for all: contend again.
    /// </summary>
    public CancellationToken Lost { get; }

    /// <summary>
    /// Whether leadership is held at this moment. False from when the session's lease ran out by this machine's clock (suspended time
    /// counts), which is before the quorum may let anybody else lead. Cheap: no call to the quorum.
    /// </summary>
    public bool IsHeld => !Lost.IsCancellationRequested && SessionLease.IsValid(_contender.Session);

    /// <summary>
    /// Resigns: <see cref="Lost"/> is cancelled at once, then the entry is deleted and the next in the queue leads. Waits for the deletion
    /// as long as the session's timeout at most; where the quorum does not answer by then, it goes on being tried until the session ends.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        Lose();
        try
        {
            await _withdrawal!.WaitAsync(_contender.Session.Timeout, _time);
        }
        catch (TimeoutException)
        {
            // The election goes on trying, and awaits it when it is disposed.
        }
    }

    /// <summary>Begins to notice that it is lost; false if it is already.</summary>
    internal async Task<bool> HoldAsync(CancellationToken cancellationToken)
    {
        var session = _contender.Session;
        var pace = new Pace(_time);
        (_watch, var entry) = await PersistAsync(pace, () => WatchThenReadAsync(session, cancellationToken), cancellationToken);
        _expiry = session.Expired.UnsafeRegister(static self => ((Leadership)self!).Lose(), this);

        // An entry that went before the watch was set is not told of by it.
        if (entry is null)
            Lose();
        if (!Lost.IsCancellationRequested)
            return true;

        // Lost so early that the withdrawal may not have seen these two.
        _expiry.Unregister();
        await StopWatchingAsync();
        return false;
    }

    // Both at once, since a session keeps its calls in order: the read comes after the watch was set.
    private async Task<(IAsyncDisposable Watch, ZnodeStat? Entry)> WatchThenReadAsync(
        IZnodeSession session, CancellationToken cancellationToken)
    {
        var watching = session.WatchAsync(Path, WatchMode.Persistent, OnEntryEvent, cancellationToken);
        var reading = session.ExistsAsync(Path, null, cancellationToken);
        var watch = await watching;
        try
        {
            return (watch, await reading);
        }
        catch
        {
            await watch.DisposeAsync();
            throw;
        }
    }

    // A busy node must not cost an entry its turn when it is granted.
    private static async Task<T> PersistAsync<T>(Pace pace, Func<Task<T>> call, CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                return await call();
            }
            catch (Exception e) when (Contender.IsTransient(e))
            {
                await pace.WaitAsync(cancellationToken);
            }
        }
    }

    internal void Lose()
    {
        var withdrawal = new TaskCompletionSource();
        if (Interlocked.CompareExchange(ref _withdrawal, withdrawal.Task, null) is not null)
            return;
        _keep(withdrawal.Task);
        try
        {
            _lost.Cancel();
        }
        finally
        {
            _ = WithdrawAsync(withdrawal);
        }
    }

    private async Task WithdrawAsync(TaskCompletionSource withdrawal)
    {
        try
        {
            _expiry.Unregister();
            await _contender.WithdrawAsync();
            await StopWatchingAsync();
            withdrawal.SetResult();
        }
        catch (Exception e)
        {
            withdrawal.SetException(e);
        }
    }

    private async Task StopWatchingAsync()
    {
        if (_watch is not { } watch)
            return;
        try
        {
            await watch.DisposeAsync();
        }
        catch (Exception e) when (e is SessionExpiredException or ObjectDisposedException)
        {
            // An ended session's watches are gone with it.
        }
    }

    private void OnEntryEvent(WatchEvent happened)
    {
        if (happened.Type == WatchEventType.Deleted)
            Lose();
    }
}
