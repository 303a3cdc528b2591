using RaftKit.Znodes;

namespace RaftKit.Recipes;

/// <summary>
/// Hands out one session that all users in a process share, and a new one when it ended. A session that ended is never replaced behind its
/// user's back: whoever holds it sees <see cref="IZnodeSession.Expired"/>, and asks for the <see cref="Current"/> one. Any thread may use
/// it.
/// </summary>
public sealed class ZnodeSessionSource : IAsyncDisposable
{
    private readonly Lock _lock = new();
    private readonly IZnodeSessions _sessions;
    private readonly TimeSpan? _timeout;
    private readonly List<Task> _ending = [];
    private IZnodeSession? _current;
    private bool _disposed;

    /// <summary>Opens nothing yet.</summary>
    /// <param name="sessions">Opens the sessions.</param>
    /// <param name="timeout">How long they survive silence of this process; null: the configured default.</param>
    public ZnodeSessionSource(IZnodeSessions sessions, TimeSpan? timeout = null)
    {
        ArgumentNullException.ThrowIfNull(sessions);
        _sessions = sessions;
        _timeout = timeout;
    }

    /// <summary>The session to use now: the same as before unless that one has ended, or may have.</summary>
    /// <exception cref="ObjectDisposedException">The source was disposed.</exception>
    public IZnodeSession Current
    {
        get
        {
            lock (_lock)
            {
                ObjectDisposedException.ThrowIf(_disposed, this);
                if (_current is { } current && !current.Expired.IsCancellationRequested && current.State != SessionState.Expired)
                    return current;
                if (_current is { } ended)
                    End(ended);
                return _current = _sessions.Open(_timeout);
            }
        }
    }

    /// <summary>Closes the session: its ephemerals are removed.</summary>
    public async ValueTask DisposeAsync()
    {
        Task[] ending;
        lock (_lock)
        {
            if (!_disposed && _current is { } current)
                End(current);
            _disposed = true;
            ending = [.. _ending];
        }

        await Task.WhenAll(ending);
    }

    // The quorum may not have expired it yet: closing removes its ephemerals, which would else stand in the way of the new session's.
    private void End(IZnodeSession session)
    {
        _ending.RemoveAll(task => task.IsCompletedSuccessfully);
        _ending.Add(session.DisposeAsync().AsTask());
    }
}
