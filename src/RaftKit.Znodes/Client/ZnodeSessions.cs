using RaftKit.Node.Loop;
using RaftKit.Znodes.Sessions;

namespace RaftKit.Znodes;

/// <summary>Opens sessions that live in this process and die with it.</summary>
internal sealed class ZnodeSessions(SessionKeeper keeper, Func<INodeInbox> inbox) : IZnodeSessions
{
    public IZnodeView View => keeper.Machine.Tree.View;

    public IZnodeSession Open(TimeSpan? timeout = null)
    {
        var wanted = timeout ?? keeper.Options.SessionTimeout;
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(wanted, TimeSpan.Zero, nameof(timeout));
        var session = new LocalSession(keeper, wanted, inbox());
        session.Inbox.Post(new NodeInput.Call(new AddCall(keeper, session)));
        return new ZnodeSession(session);
    }

    private sealed class AddCall(SessionKeeper keeper, LocalSession session) : ILoopCall
    {
        public void Run() => keeper.Add(session);

        // Its calls will be told the same.
        public void Stopped()
        {
        }
    }
}
