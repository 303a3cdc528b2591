using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Znodes.Sessions;

namespace RaftKit.Znodes;

/// <summary>Opens sessions that live in this process and die with it.</summary>
internal sealed class ZnodeSessions(SessionKeeper keeper, Func<INodeInbox> inbox) : IZnodeSessions
{
    public IZnodeView View { get; } = new ZnodeView(keeper.Machine.Tree.View, inbox, keeper.Scheduler);

    public IZnodeSession Open(TimeSpan? timeout = null)
    {
        var wanted = timeout ?? keeper.Options.SessionTimeout;
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(wanted, TimeSpan.Zero, nameof(timeout));
        var session = new LocalSession(keeper, wanted, inbox());
        var add = new AddCall(keeper, session);
        session.Inbox.Post(new NodeInput.Call(add));
        if (add.Refusal is { } refusal)
            throw new NotAppliedException(refusal);
        return new ZnodeSession(session);
    }
}
