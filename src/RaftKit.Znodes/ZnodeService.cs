using Microsoft.Extensions.Logging;
using RaftKit.Node.Loop;
using RaftKit.Znodes.Sessions;
using RaftKit.Znodes.Tree;

namespace RaftKit.Znodes;

/// <summary>
/// The znodes' room of one member, put together: give <see cref="Machine"/> and <see cref="Keeper"/> to the node, then say where its inbox
/// is.
/// </summary>
internal sealed class ZnodeService
{
    private INodeInbox? _inbox;

    public ZnodeService(ZnodeOptions options, IClientScheduler scheduler, ILogger logger)
    {
        Machine = new ZnodeStateMachine(new ZnodeTree());
        Keeper = new SessionKeeper(Machine, options, scheduler, logger);
        Machine.Observe(Keeper);
        Sessions = new ZnodeSessions(Keeper, Inbox);
        Guests = new GuestSessions(Keeper, Inbox);
    }

    public ZnodeStateMachine Machine { get; }

    public SessionKeeper Keeper { get; }

    public IZnodeSessions Sessions { get; }

    /// <summary>Sessions of clients that are connected through this member.</summary>
    public GuestSessions Guests { get; }

    public IZnodeView View => Sessions.View;

    public SessionCounters Counters => Keeper.Counters;

    /// <summary>Where calls go in; before the first session is opened.</summary>
    public void Connect(INodeInbox inbox) => _inbox = inbox;

    private INodeInbox Inbox() =>
        _inbox ?? throw new InvalidOperationException("Sessions can be opened once the member has been put together.");
}
