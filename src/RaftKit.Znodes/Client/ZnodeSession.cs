using System.Runtime.CompilerServices;
using RaftKit.Node.Proposals;
using RaftKit.Znodes.Sessions;
using RaftKit.Znodes.Tree;
using RaftKit.Znodes.Watches;

namespace RaftKit.Znodes;

/// <summary>The door to a session of this process: checks what it is given and sends it on its way to the loop.</summary>
internal sealed class ZnodeSession(LocalSession session) : IZnodeSession, ISessionLease
{
    /// <summary>What a small operation's command takes besides its path and data.</summary>
    private const int CommandOverhead = 64;

    private readonly LocalSession _session = session;

    public long Id => _session.Id;

    public TimeSpan Timeout => _session.Timeout;

    public SessionState State => _session.State;

    public CancellationToken Expired => _session.Expired;

    public bool IsValid => _session.LeaseRemaining > TimeSpan.Zero;

    public TimeSpan Remaining => _session.LeaseRemaining;

    public Task OpenedAsync(CancellationToken cancellationToken = default) => new OpenedCall(_session).Start(cancellationToken);

    public Task<Znode> CreateAsync(
        string path, ReadOnlyMemory<byte> data = default, CreateMode mode = CreateMode.Persistent,
        CancellationToken cancellationToken = default)
    {
        ZnodeErrors.ThrowUnlessValid(path, mode);
        // The caller may use its buffer again at once, and the result holds the data.
        var command = new TreeCommand.Create(path, Copy(data), mode);
        ZnodeErrors.ThrowIfTooBig(command, path);
        return new CreateCall(_session, command, SizeOf(path, data)).Start(cancellationToken);
    }

    public Task<ZnodeStat> SetAsync(
        string path, ReadOnlyMemory<byte> data, int expectedVersion = -1, CancellationToken cancellationToken = default)
    {
        ZnodeErrors.ThrowUnlessValid(path);
        // An open session's command is encoded before this returns.
        var command = new TreeCommand.Set(path, Id == 0 ? Copy(data) : data, expectedVersion);
        ZnodeErrors.ThrowIfTooBig(command, path);
        return new SetCall(_session, command, SizeOf(path, data)).Start(cancellationToken);
    }

    public Task DeleteAsync(string path, int expectedVersion = -1, CancellationToken cancellationToken = default)
    {
        ZnodeErrors.ThrowUnlessValid(path);
        return new DeleteCall(_session, new TreeCommand.Delete(path, expectedVersion), SizeOf(path, default)).Start(cancellationToken);
    }

    public Task<MultiResult> MultiAsync(IReadOnlyList<ZnodeOperation> operations, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(operations);
        var commands = new TreeCommand[operations.Count];
        var size = CommandOverhead;
        for (var i = 0; i < commands.Length; i++)
        {
            commands[i] = Checked(operations[i]);
            size += SizeOf(commands[i]);
        }
        var command = new TreeCommand.Multi(commands);
        ZnodeErrors.ThrowIfTooBig(command, "");
        return new MultiCall(_session, command, size).Start(cancellationToken);
    }

    public Task<Znode?> GetAsync(string path, Action<WatchEvent>? watch = null, CancellationToken cancellationToken = default)
    {
        ZnodeErrors.ThrowUnlessValid(path);
        return new GetCall(_session, path, watch).Start(cancellationToken);
    }

    public Task<ZnodeStat?> ExistsAsync(string path, Action<WatchEvent>? watch = null, CancellationToken cancellationToken = default)
    {
        ZnodeErrors.ThrowUnlessValid(path);
        return new ExistsCall(_session, path, watch).Start(cancellationToken);
    }

    public Task<ZnodeChildren?> GetChildrenAsync(
        string path, Action<WatchEvent>? watch = null, CancellationToken cancellationToken = default)
    {
        ZnodeErrors.ThrowUnlessValid(path);
        return new ChildrenCall(_session, path, watch).Start(cancellationToken);
    }

    public Task<long> SyncAsync(CancellationToken cancellationToken = default) => new SyncCall(_session).Start(cancellationToken);

    public Task<IAsyncDisposable> WatchAsync(
        string path, WatchMode mode, Action<WatchEvent> callback, CancellationToken cancellationToken = default)
    {
        ZnodeErrors.ThrowUnlessValid(path);
        ArgumentNullException.ThrowIfNull(callback);
        if (!Enum.IsDefined(mode))
            throw new ArgumentOutOfRangeException(nameof(mode), mode, "Unknown watch mode.");
        return new WatchCall(_session, path, mode, callback).Start(cancellationToken);
    }

    public IAsyncEnumerable<WatchEvent> EventsAsync(
        string path, bool recursive = true, long? afterZxid = null, CancellationToken cancellationToken = default)
    {
        ZnodeErrors.ThrowUnlessValid(path);
        return ReadEvents(path, recursive, afterZxid, cancellationToken);
    }

    public Task CloseAsync(CancellationToken cancellationToken = default) => new CloseCall(_session).Start(cancellationToken);

    /// <summary>
    /// Closes the session. It takes at most the session's timeout: without an answer until then the session has ended for this process, and
    /// the quorum removes what is left of it.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        try
        {
            await CloseAsync();
        }
        catch (Exception gone) when (gone is NotAppliedException or OutcomeUnknownException or SessionExpiredException)
        {
            // The node has stopped or is too busy, or the quorum cannot be reached: the session expires there.
            _session.LetGo();
        }
    }

    private async IAsyncEnumerable<WatchEvent> ReadEvents(
        string path, bool recursive, long? afterZxid, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var stream = new EventStream(_session, path, recursive);
        try
        {
            await stream.StartAsync(afterZxid, cancellationToken);
            while (true)
            {
                cancellationToken.ThrowIfCancellationRequested();
                switch (stream.TryTake(out var watchEvent))
                {
                    case EventStream.Next.Event:
                        yield return watchEvent;
                        break;
                    case EventStream.Next.Refill:
                        await stream.RefillAsync(cancellationToken);
                        break;
                    case EventStream.Next.Wait:
                        await stream.WaitAsync(cancellationToken);
                        break;
                    default:
                        throw stream.EndedException();
                }
            }
        }
        finally
        {
            stream.Stop();
        }
    }

    private static TreeCommand Checked(ZnodeOperation operation)
    {
        ArgumentNullException.ThrowIfNull(operation, "operations");
        switch (operation)
        {
            case ZnodeOperation.Create create:
                ZnodeErrors.ThrowUnlessValid(create.Path, create.Mode, "operations");
                return new TreeCommand.Create(create.Path, Copy(create.Data), create.Mode);
            case ZnodeOperation.Set set:
                ZnodeErrors.ThrowUnlessValid(set.Path, name: "operations");
                return new TreeCommand.Set(set.Path, Copy(set.Data), set.ExpectedVersion);
            case ZnodeOperation.Delete delete:
                ZnodeErrors.ThrowUnlessValid(delete.Path, name: "operations");
                return new TreeCommand.Delete(delete.Path, delete.ExpectedVersion);
            case ZnodeOperation.Check check:
                ZnodeErrors.ThrowUnlessValid(check.Path, name: "operations");
                return new TreeCommand.Check(check.Path, check.ExpectedVersion);
            default:
                throw new ArgumentException($"{operation.GetType().Name} is no operation of the tree.", nameof(operation));
        }
    }

    // Default is ZooKeeper's null, and stays it.
    private static ReadOnlyMemory<byte> Copy(ReadOnlyMemory<byte> data) => data.IsEmpty ? data : data.ToArray();

    private static int SizeOf(TreeCommand command) => command switch
    {
        TreeCommand.Create create => SizeOf(create.Path, create.Data),
        TreeCommand.Set set => SizeOf(set.Path, set.Data),
        TreeCommand.Delete delete => SizeOf(delete.Path, default),
        TreeCommand.Check check => SizeOf(check.Path, default),
        _ => CommandOverhead,
    };

    private static int SizeOf(string path, ReadOnlyMemory<byte> data) => CommandOverhead + path.Length + data.Length;
}
