using System.Runtime.CompilerServices;
using RaftKit.Recipes.Election;
using RaftKit.Znodes;

namespace RaftKit.Recipes;

/// <summary>
/// Elects one leader among all who contend at the same path: an ephemeral sequential entry each, the lowest one leads, everybody else watches the one entry
/// before its own, so that a leader's end wakes one contender and not all.
/// <code>
/// await using var leadership = await election.WaitForLeadershipAsync(ct);
/// while (leadership.IsHeld) await store.AppendAsync(record, leadership.FencingToken, leadership.Lost);
/// </code>
/// Any thread may use it, and it can be waited for several times at once (each waits with an entry of its own).
/// </summary>
public sealed class LeaderElection : IAsyncDisposable
{
    private readonly Lock _lock = new();
    private readonly Func<IZnodeSession> _session;
    private readonly bool _renews;
    private readonly LeaderElectionOptions _options;
    private readonly List<Task> _withdrawals = [];

    /// <summary>Contends with one session. When it expires, waiting fails with <see cref="SessionExpiredException"/>.</summary>
    /// <param name="session">Owns the entries.</param>
    /// <param name="path">The parent of the entries; created when it is missing. Keep nothing else under it.</param>
    /// <param name="options">How to contend.</param>
    public LeaderElection(IZnodeSession session, string path, LeaderElectionOptions? options = null)
        : this(() => session, renews: false, path, options) => ArgumentNullException.ThrowIfNull(session);

    /// <summary>Contends with the source's session, and when that expires, with a new entry of the next one.</summary>
    /// <param name="sessions">Has the sessions that own the entries.</param>
    /// <param name="path">The parent of the entries; created when it is missing. Keep nothing else under it.</param>
    /// <param name="options">How to contend.</param>
    public LeaderElection(ZnodeSessionSource sessions, string path, LeaderElectionOptions? options = null)
        : this(() => sessions.Current, renews: true, path, options) => ArgumentNullException.ThrowIfNull(sessions);

    private LeaderElection(Func<IZnodeSession> session, bool renews, string path, LeaderElectionOptions? options)
    {
        ArgumentNullException.ThrowIfNull(path);
        if (path.Length < 2 || path[0] != '/' || path[^1] == '/')
            throw new ArgumentException(
                $"'{path}' is not the path of a znode below the root, such as '/elections/scheduler'.", nameof(path));
        _session = session;
        _renews = renews;
        _options = options ?? new LeaderElectionOptions();
        Path = path;
    }

    /// <summary>Where it takes place.</summary>
    public string Path { get; }

    /// <summary>
    /// Contends until this process leads. Refusals (a busy node), unknown outcomes and a quorum without a leader are waited out, for as
    /// long as the token is not cancelled and the session lives. The wait survives the end of this process's node only if it has a source
    /// of sessions; cancel it then.
    /// </summary>
    /// <param name="cancellationToken">Stops contending: the entry in the queue is deleted, without waiting for that.</param>
    /// <exception cref="SessionExpiredException">The session ended, and this election has no other.</exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled. No leadership is held.</exception>
    public async Task<Leadership> WaitForLeadershipAsync(CancellationToken cancellationToken = default)
    {
        var pace = new Pace(_options.TimeProvider);
        while (true)
        {
            cancellationToken.ThrowIfCancellationRequested();
            try
            {
                if (await ContendAsync(_session(), cancellationToken) is { } leadership)
                    return leadership;
            }
            catch (SessionExpiredException) when (_renews)
            {
                // The next session contends with an entry of its own.
            }
            catch (Exception e) when (Contender.IsTransient(e))
            {
                // Refused in the moment when it was granted: the entry is being withdrawn, the next contends anew.
            }

            await pace.WaitAsync(cancellationToken);
        }
    }

    /// <summary>
    /// Who leads by this member's copy of the tree; null if nobody contends. Call <see cref="IZnodeSession.SyncAsync"/> before for the
    /// newest.
    /// </summary>
    public Task<ElectedLeader?> GetLeaderAsync(CancellationToken cancellationToken = default) =>
        ReadLeaderAsync(_session(), cancellationToken);

    /// <summary>
    /// Who leads now, then whoever comes to lead, null where nobody does; the latest only, where the reader is slower than the changes.
    /// Ends with <see cref="SessionExpiredException"/> when the session does, unless the election has a source of sessions: then it goes on
    /// with the next one.
    /// </summary>
    public async IAsyncEnumerable<ElectedLeader?> LeaderChangesAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var told = false;
        ElectedLeader? last = null;
        var pace = new Pace(_options.TimeProvider);
        while (true)
        {
            var ended = false;
            ElectedLeader? next = null;
            try
            {
                next = await NextLeaderAsync(_session(), told, last, cancellationToken);
            }
            catch (Exception e) when (Contender.IsTransient(e) || (_renews && e is SessionExpiredException))
            {
                ended = true;
            }

            if (ended)
            {
                await pace.WaitAsync(cancellationToken);
                continue;
            }

            told = true;
            yield return last = next;
        }
    }

    /// <summary>Waits until every entry of waits that were given up and of leaderships that ended is deleted.</summary>
    public async ValueTask DisposeAsync()
    {
        Task[] withdrawals;
        lock (_lock)
            withdrawals = [.. _withdrawals];
        await Task.WhenAll(withdrawals);
    }

    // Null when leadership was lost in the moment when it was won.
    private async Task<Leadership?> ContendAsync(IZnodeSession session, CancellationToken cancellationToken)
    {
        var contender = new Contender(session, Path, _options.Data, _options.TimeProvider);
        Leadership? leadership = null;
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, session.Expired);
        try
        {
            var (path, token) = await contender.WaitUntilFirstAsync(stop.Token);
            leadership = new Leadership(contender, path, token, _options.TimeProvider, Keep);
            return await leadership.HoldAsync(stop.Token) ? leadership : null;
        }
        catch (Exception e)
        {
            if (leadership is null)
                Keep(contender.WithdrawAsync());
            else
                leadership.Lose();
            if (e is OperationCanceledException && !cancellationToken.IsCancellationRequested && session.Expired.IsCancellationRequested)
                throw Ended(session);
            throw;
        }
    }

    private async Task<ElectedLeader?> NextLeaderAsync(
        IZnodeSession session, bool told, ElectedLeader? last, CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, session.Expired);
        try
        {
            await session.OpenedAsync(stop.Token);
            while (true)
            {
                // Set first, then read: whatever changes after the read is heard. The second one hears of the path's own creation.
                var changed = new TaskCompletionSource();
                await using var children = await session.WatchAsync(Path, WatchMode.Children, _ => changed.TrySetResult(), stop.Token);
                await using var birth = await session.WatchAsync(Path, WatchMode.Data, _ => changed.TrySetResult(), stop.Token);
                var leader = await ReadLeaderAsync(session, stop.Token);
                if (!told || leader?.FencingToken != last?.FencingToken)
                    return leader;
                await changed.Task.WaitAsync(stop.Token);
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested && session.Expired.IsCancellationRequested)
        {
            throw Ended(session);
        }
    }

    private async Task<ElectedLeader?> ReadLeaderAsync(IZnodeSession session, CancellationToken cancellationToken)
    {
        while (true)
        {
            var children = await session.GetChildrenAsync(Path, null, cancellationToken);
            if (children is null || QueueEntry.Queue(children.Names) is not [var first, ..])
                return null;
            if (await session.GetAsync($"{Path}/{first.Name}", null, cancellationToken) is { } entry)
                return new ElectedLeader(new FencingToken(entry.Stat.CreatedZxid), entry.Data, entry.Path, entry.Stat.EphemeralOwner);
        }
    }

    private SessionExpiredException Ended(IZnodeSession session) =>
        new(session.Id,
            $"Session 0x{session.Id:x}, which was used for the election at '{Path}', has ended. Open a new one and start over.");

    private void Keep(Task withdrawal)
    {
        lock (_lock)
        {
            _withdrawals.RemoveAll(task => task.IsCompletedSuccessfully);
            _withdrawals.Add(withdrawal);
        }
    }
}
