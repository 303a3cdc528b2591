using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Znodes.Watches;

namespace RaftKit.Znodes.Sessions;

/// <summary>A call that this member answers from its own state, once every earlier call of the session is done.</summary>
internal abstract class LocalCall<T>(LocalSession session) : SessionCall<T>(session)
{
    public sealed override void Turn()
    {
        if (Session.IsEnded)
            Abandon();
        else
            Done(Read(Session.Keeper.Machine));
    }

    /// <summary>On the loop, between two entries of the log.</summary>
    protected abstract T Read(ZnodeStateMachine machine);

    /// <summary>Watches from this very moment: no change can come between the read and the watch.</summary>
    protected void Watch(string path, WatchMode mode, Action<WatchEvent>? callback)
    {
        if (callback is not null)
            Session.Watch(new CallbackWatcher(Session, callback), path, mode);
    }
}

internal sealed class OpenedCall(LocalSession session) : LocalCall<bool>(session)
{
    protected override bool Read(ZnodeStateMachine machine) => true;
}

internal sealed class GetCall(LocalSession session, string path, Action<WatchEvent>? watch) : LocalCall<Znode?>(session)
{
    protected override Znode? Read(ZnodeStateMachine machine)
    {
        Watch(path, WatchMode.Data, watch);
        return machine.Tree.TryGet(path, out var data, out var stat) ? new Znode(path, data, stat, machine.Zxid) : null;
    }
}

internal sealed class ExistsCall(LocalSession session, string path, Action<WatchEvent>? watch) : LocalCall<ZnodeStat?>(session)
{
    protected override ZnodeStat? Read(ZnodeStateMachine machine)
    {
        Watch(path, WatchMode.Data, watch);
        return machine.Tree.TryGetStat(path, out var stat) ? stat : null;
    }
}

internal sealed class ChildrenCall(LocalSession session, string path, Action<WatchEvent>? watch) : LocalCall<ZnodeChildren?>(session)
{
    protected override ZnodeChildren? Read(ZnodeStateMachine machine)
    {
        Watch(path, WatchMode.Children, watch);
        return machine.Tree.Children(path, out var stat) is { } names ? new ZnodeChildren(path, names, stat, machine.Zxid) : null;
    }
}

/// <summary>Begins to watch, as an ordered call: changes after its completion are heard.</summary>
internal sealed class WatchCall(LocalSession session, string path, WatchMode mode, Action<WatchEvent> callback)
    : LocalCall<IAsyncDisposable>(session)
{
    protected override IAsyncDisposable Read(ZnodeStateMachine machine)
    {
        Watch(path, mode, callback);
        return new Registration(Session, path, mode, callback);
    }

    private sealed class Registration(LocalSession session, string path, WatchMode mode, Action<WatchEvent> callback) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            try
            {
                await new UnwatchCall(session, path, mode, callback).Start(CancellationToken.None);
            }
            catch (Exception ended) when (ended is SessionExpiredException or NotAppliedException)
            {
                // The watch ended with its session or with the node.
            }
        }
    }
}

internal sealed class UnwatchCall(LocalSession session, string path, WatchMode mode, Action<WatchEvent> callback) : LocalCall<bool>(session)
{
    public override bool MayBeRefused => false;

    protected override bool Read(ZnodeStateMachine machine) => Session.Unwatch(new CallbackWatcher(Session, callback), path, mode);
}

/// <summary>Waits until everything that was acknowledged to anybody before it is applied here.</summary>
internal sealed class SyncCall(LocalSession session) : SessionCall<long>(session), IReadCallback
{
    public override void Begin() => Session.Keeper.Services.ReadBarrier(this);

    public void Ready()
    {
        Done(Session.Keeper.Machine.Zxid);
        Session.Advance();
    }

    public void Failed(string reason)
    {
        Fail(new NotAppliedException(reason));
        Session.Advance();
    }
}
