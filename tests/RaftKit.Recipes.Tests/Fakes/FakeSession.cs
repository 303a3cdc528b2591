using RaftKit.Node.Proposals;
using RaftKit.Znodes;

namespace RaftKit.Recipes.Tests.Fakes;

/// <summary>What becomes of a create.</summary>
internal enum CreateFate
{
    Answered,
    UnknownButApplied,
    UnknownAndNeverApplied,

    /// <summary>Unknown, and applied only when the session's next write is: the one that leaves orphans.</summary>
    UnknownAndAppliedLater,
    NotApplied,
}

internal sealed record FakeWatch(string Path, WatchMode Mode, Action<WatchEvent> Callback)
{
    public WatchEvent? Hears(WatchEventType type, string path, string parent) => Mode switch
    {
        WatchMode.Children when parent == Path => new WatchEvent(WatchEventType.ChildrenChanged, Path, 0),
        WatchMode.Children when path == Path && type == WatchEventType.Deleted => new WatchEvent(type, path, 0),
        WatchMode.Data or WatchMode.Persistent when path == Path => new WatchEvent(type, path, 0),
        _ => null,
    };
}

internal sealed class FakeSession(FakeQuorum quorum, long id, TimeSpan timeout) : IZnodeSession
{
    private readonly CancellationTokenSource _expired = new();
    private readonly Queue<Action> _later = new();

    public long Id => id;

    public TimeSpan Timeout => timeout;

    public SessionState State { get; set; } = SessionState.Connected;

    public CancellationToken Expired => _expired.Token;

    public List<FakeWatch> Watches { get; } = [];

    /// <summary>Decides the fate of each sequential create.</summary>
    public Func<CreateFate> Fate { get; set; } = () => CreateFate.Answered;

    /// <summary>So many of the next deletions are refused.</summary>
    public int RefusedDeletions { get; set; }

    /// <summary>Whether the next read, watch or wait for the opening is refused; told its name.</summary>
    public Func<string, bool> RefusesReads { get; set; } = _ => false;

    /// <summary>Runs right before a watch is set: the moment in which races happen.</summary>
    public Action<string>? BeforeWatch { get; set; }

    public void Expire()
    {
        State = SessionState.Expired;
        quorum.Locked(Watches.Clear);
        quorum.RemoveEphemerals(id);
        _expired.Cancel();
    }

    /// <summary>So long without an answer that it may have expired; the quorum still has it.</summary>
    public void MayHaveExpired()
    {
        State = SessionState.Suspended;
        _expired.Cancel();
    }

    public Task OpenedAsync(CancellationToken cancellationToken = default)
    {
        CheckAlive();
        return Refused("open") ?? Task.CompletedTask;
    }

    public async Task<Znode> CreateAsync(
        string path, ReadOnlyMemory<byte> data = default, CreateMode mode = CreateMode.Persistent,
        CancellationToken cancellationToken = default)
    {
        var fate = mode == CreateMode.EphemeralSequential ? Fate() : CreateFate.Answered;
        if (fate == CreateFate.NotApplied)
            throw new NotAppliedException("The queue is full.");
        if (fate == CreateFate.UnknownAndNeverApplied)
            throw new OutcomeUnknownException("The leader went away.");
        if (fate == CreateFate.UnknownAndAppliedLater)
        {
            quorum.Locked(() => _later.Enqueue(() => quorum.Create(path, data, mode, id)));
            throw new OutcomeUnknownException("The leader went away.");
        }

        // Cancelling stops the wait, not the write.
        var creating = WriteAsync(() => quorum.Create(path, data, mode, id));
        var created = await creating.WaitAsync(cancellationToken);
        return fate == CreateFate.UnknownButApplied ? throw new OutcomeUnknownException("The answer was lost.") : created;
    }

    public Task DeleteAsync(string path, int expectedVersion = -1, CancellationToken cancellationToken = default) =>
        RefusedDeletions-- > 0
            ? Task.FromException(new NotAppliedException("The queue is full."))
            : WriteAsync<object?>(() =>
            {
                quorum.Delete(path);
                return null;
            }).WaitAsync(cancellationToken);

    public Task<Znode?> GetAsync(string path, Action<WatchEvent>? watch = null, CancellationToken cancellationToken = default)
    {
        CheckAlive();
        return Task.FromResult(quorum.Get(path));
    }

    public Task<ZnodeStat?> ExistsAsync(string path, Action<WatchEvent>? watch = null, CancellationToken cancellationToken = default)
    {
        CheckAlive();
        return RefusesReads("exists") ? Task.FromException<ZnodeStat?>(Refusal()) : Task.FromResult(quorum.Get(path)?.Stat);
    }

    public Task<ZnodeChildren?> GetChildrenAsync(
        string path, Action<WatchEvent>? watch = null, CancellationToken cancellationToken = default)
    {
        CheckAlive();
        return RefusesReads("children") ? Task.FromException<ZnodeChildren?>(Refusal()) : Task.FromResult(quorum.GetChildren(path));
    }

    public Task<IAsyncDisposable> WatchAsync(
        string path, WatchMode mode, Action<WatchEvent> callback, CancellationToken cancellationToken = default)
    {
        CheckAlive();
        if (RefusesReads("watch"))
            return Task.FromException<IAsyncDisposable>(Refusal());
        BeforeWatch?.Invoke(path);
        var watch = new FakeWatch(path, mode, callback);
        quorum.Locked(() => Watches.Add(watch));
        return Task.FromResult<IAsyncDisposable>(new Removal(() => quorum.Locked(() => Watches.Remove(watch))));
    }

    public Task CloseAsync(CancellationToken cancellationToken = default)
    {
        if (State != SessionState.Expired)
            Expire();
        return Task.CompletedTask;
    }

    public ValueTask DisposeAsync() => new(CloseAsync());

    public Task<ZnodeStat> SetAsync(
        string path, ReadOnlyMemory<byte> data, int expectedVersion = -1, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public Task<MultiResult> MultiAsync(IReadOnlyList<ZnodeOperation> operations, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    public Task<long> SyncAsync(CancellationToken cancellationToken = default) => throw new NotSupportedException();

    public IAsyncEnumerable<WatchEvent> EventsAsync(
        string path, bool recursive = true, long? afterZxid = null, CancellationToken cancellationToken = default) =>
        throw new NotSupportedException();

    private async Task<T> WriteAsync<T>(Func<T> write)
    {
        CheckAlive();
        // As one: a withdrawal and the next round write at once, and none of their writes may settle before an earlier one took effect.
        return await quorum.ApplyAsync(() => quorum.Together(() =>
        {
            CheckAlive();
            while (_later.TryDequeue(out var earlier))
                ApplyUnheard(earlier);
            return write();
        }));
    }

    // A refusal of what nobody waits for any more (there is no parent yet) is not the answer to the write that came after it.
    private static void ApplyUnheard(Action earlier)
    {
        try
        {
            earlier();
        }
        catch (ZnodeException)
        {
            // It changed nothing.
        }
    }

    private Task? Refused(string call) => RefusesReads(call) ? Task.FromException(Refusal()) : null;

    private static NotAppliedException Refusal() => new("Too many calls wait.");

    private void CheckAlive()
    {
        if (State == SessionState.Expired)
            throw new SessionExpiredException(id, $"Session {id:x} expired.");
    }

    private sealed class Removal(Action remove) : IAsyncDisposable
    {
        public ValueTask DisposeAsync()
        {
            remove();
            return default;
        }
    }
}
