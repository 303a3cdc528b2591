using System.Globalization;
using System.Runtime.CompilerServices;
using RaftKit.Node.Proposals;
using RaftKit.Znodes;

namespace RaftKit.Recipes.Election;

/// <summary>
/// One entry in an election's queue, from joining it to leaving it, over one session. Whatever happens to the calls in between, it waits
/// with one entry, is granted by one entry, and leaves none behind.
/// </summary>
internal sealed class Contender(IZnodeSession session, string path, ReadOnlyMemory<byte> data, TimeProvider time)
{
    // Numbers the attempts of a session; not a static counter, so that a simulated run names its entries the same every time.
    private static readonly ConditionalWeakTable<IZnodeSession, Counter> Attempts = [];

    private string _prefix = "";
    private bool _uncertain;
    private Znode? _created;
    private Task _forgetting = Task.CompletedTask;

    public IZnodeSession Session => session;

    /// <summary>Joins the queue and waits until nobody stands before the own entry.</summary>
    public async Task<(string Path, FencingToken Token)> WaitUntilFirstAsync(CancellationToken stop)
    {
        var pace = new Pace(time);
        while (true)
        {
            stop.ThrowIfCancellationRequested();
            try
            {
                if (await StepAsync(pace, stop) is { } granted)
                    return granted;
            }
            catch (Exception e) when (IsTransient(e))
            {
                // A call that changes nothing was refused: look again, with the same entry, whose place in the queue is worth keeping.
                await pace.WaitAsync(stop);
            }
        }
    }

    /// <summary>
    /// Whether a call that was refused so may succeed when it is made again: the quorum or this node was busy, or had no leader.
    /// </summary>
    public static bool IsTransient(Exception failure) => failure is NotAppliedException or OutcomeUnknownException;

    // One look at the queue, and what follows from it; null: look again.
    private async Task<(string Path, FencingToken Token)?> StepAsync(Pace pace, CancellationToken stop)
    {
        if (_prefix.Length == 0)
        {
            await session.OpenedAsync(stop);
            _prefix = QueueEntry.Prefix(session.Id, Attempts.GetValue(session, static _ => new Counter()).Next());
        }

        var queue = await ReadQueueAsync(stop);
        var own = queue.FindIndex(IsOwn);
        if (own < 0)
        {
            await JoinAsync(pace, stop);
            return null;
        }

        // A create whose outcome was unknown may have been applied beside its retry. The first entry is the one that counts.
        if (queue.Skip(own + 1).Where(IsOwn).ToList() is [_, ..] spares && !await DeletedAsync(spares, pace, stop))
            return null;

        if (own > 0)
        {
            await WaitUntilGoneAsync(Child(queue[own - 1].Name), stop);
            return null;
        }

        // Nobody can come to stand before the first entry: later entries have greater numbers. It is granted until it is gone.
        var entry = Child(queue[0].Name);
        if (_created is { } created && created.Path == entry)
            return (entry, new FencingToken(created.Stat.CreatedZxid));
        return await session.ExistsAsync(entry, null, stop) is { } stat ? (entry, new FencingToken(stat.CreatedZxid)) : null;
    }

    /// <summary>Leaves the queue: returns when no entry of this contender is left or can come into being.</summary>
    public async Task WithdrawAsync()
    {
        var pace = new Pace(time);
        while (_prefix.Length > 0 && !SessionLease.IsOver(session))
        {
            try
            {
                await SettleAsync();
                var queue = await ReadQueueAsync(CancellationToken.None);
                var own = queue.Where(IsOwn).ToList();
                if (own.Count == 0)
                    return;
                foreach (var entry in own)
                    await TryDeleteAsync(Child(entry.Name), CancellationToken.None);
                continue;
            }
            catch (Exception e) when (e is SessionExpiredException or ObjectDisposedException)
            {
                return; // An ended session's entries are removed with it.
            }
            catch (Exception e) when (IsTransient(e))
            {
                // Not settled yet: wait a moment, then look again.
            }

            await pace.WaitAsync(CancellationToken.None);
        }
    }

    private async Task JoinAsync(Pace pace, CancellationToken stop)
    {
        // Uncertain until the answer is here, whatever ends the wait for it.
        var before = _uncertain;
        _uncertain = true;
        try
        {
            var created = await session.CreateAsync(Child(_prefix), data, CreateMode.EphemeralSequential, stop);
            _uncertain = false; // See SettleAsync: an applied write settles every earlier one.
            _created = created;
            if (!QueueEntry.TryParse(created.Path[(path.Length + 1)..], out _))
            {
                await session.DeleteAsync(created.Path, -1, CancellationToken.None);
                throw new InvalidOperationException(
                    $"'{path}' has handed out all of its 2^31 sequence numbers ('{created.Path}'). Delete it when nobody contends, or use another path.");
            }
        }
        catch (ZnodeException e) when (e.Error == ZnodeError.NoNode)
        {
            _uncertain = false;
            await CreateParentsAsync(stop);
        }
        catch (NotAppliedException)
        {
            _uncertain = before;
            await pace.WaitAsync(stop);
        }
        catch (OutcomeUnknownException)
        {
            // The queue tells whether the entry is there; it is found by its prefix.
            await pace.WaitAsync(stop);
        }
    }

    /// <summary>
    /// Makes sure that an entry whose creation ended unknown is either in the tree or will never be. A session's writes apply in the order
    /// in which they were made and a gap is refused (DESIGN, promise 2), so once a later write has been applied nothing earlier can be. The
    /// write here is a deletion of a znode that never exists.
    /// </summary>
    private async Task SettleAsync()
    {
        if (!_uncertain)
            return;
        try
        {
            await session.DeleteAsync(Child(_prefix + "settled"), -1, CancellationToken.None);
        }
        catch (ZnodeException e) when (e.Error == ZnodeError.NoNode)
        {
            // As expected; it was applied.
        }

        _uncertain = false;
    }

    private async Task<List<QueueEntry>> ReadQueueAsync(CancellationToken stop)
    {
        var reading = session.GetChildrenAsync(path, null, stop);
        await Interlocked.Exchange(ref _forgetting, Task.CompletedTask);
        var children = await reading;
        return children is null ? [] : QueueEntry.Queue(children.Names);
    }

    private async Task WaitUntilGoneAsync(string predecessor, CancellationToken stop)
    {
        var changed = new TaskCompletionSource();

        // Set first, then read: whatever changes after the read is heard.
        var watch = await session.WatchAsync(predecessor, WatchMode.Data, _ => changed.TrySetResult(), stop);
        try
        {
            if (await session.ExistsAsync(predecessor, null, stop) is not null)
                await changed.Task.WaitAsync(stop);
        }
        finally
        {
            // So that an abandoned wait leaves no watch behind. Awaited with the next look at the queue: each call of a session waits for
            // the writes that it made before, and at a failover every one counts.
            _forgetting = watch.DisposeAsync().AsTask();
        }
    }

    /// <returns>False if the quorum could not say so: look again.</returns>
    private async Task<bool> DeletedAsync(List<QueueEntry> entries, Pace pace, CancellationToken stop)
    {
        try
        {
            foreach (var entry in entries)
                await TryDeleteAsync(Child(entry.Name), stop);
            return true;
        }
        catch (Exception e) when (IsTransient(e))
        {
            await pace.WaitAsync(stop);
            return false;
        }
    }

    private async Task TryDeleteAsync(string entry, CancellationToken stop)
    {
        try
        {
            await session.DeleteAsync(entry, -1, stop);
        }
        catch (ZnodeException e) when (e.Error == ZnodeError.NoNode)
        {
            // Gone already.
        }
    }

    private async Task CreateParentsAsync(CancellationToken stop)
    {
        for (var slash = path.IndexOf('/', 1); ; slash = path.IndexOf('/', slash + 1))
        {
            var parent = slash < 0 ? path : path[..slash];
            try
            {
                await session.CreateAsync(parent, default, CreateMode.Persistent, stop);
            }
            catch (ZnodeException e) when (e.Error is ZnodeError.NodeExists or ZnodeError.NoNode)
            {
                // It is there, or was deleted again meanwhile: the next attempt to join tells.
            }
            catch (Exception e) when (IsTransient(e))
            {
                return; // The next attempt to join tells.
            }

            if (slash < 0)
                return;
        }
    }

    private bool IsOwn(QueueEntry entry) => entry.Name.StartsWith(_prefix, StringComparison.Ordinal);

    private string Child(string name) => string.Create(CultureInfo.InvariantCulture, $"{path}/{name}");

    private sealed class Counter
    {
        private long _value;

        public long Next() => Interlocked.Increment(ref _value);
    }
}
