using RaftKit.Node.Loop;
using RaftKit.Znodes.Tree;

namespace RaftKit.Znodes.Sessions;

/// <summary>
/// What this member does about applied commands: watches, the journal, contacts. Called on the loop, after the state changed and before the
/// command's proposer is answered. Nothing here may reach back into the replicated state.
/// </summary>
internal interface ISessionObserver
{
    /// <summary>The tree changed, all under one zxid. The list is reused.</summary>
    void Changed(in CommandContext context, List<TreeChange> changes);

    void Opened(Session session);

    void Ended(Session session, SessionEnd cause);

    /// <summary>A command of the session was applied.</summary>
    void Active(Session session);

    /// <summary>Attached through another member now.</summary>
    void Moved(Session session);

    /// <summary>A proposed expiry was voided by what came after it was judged.</summary>
    void Spared(Session session);

    /// <summary>A checkpoint that named the session was applied.</summary>
    void Checkpointed(Session session);

    /// <summary>The state is about to be replaced by a snapshot's: the last chance to look at the old one.</summary>
    void Restoring();

    void Restored(in CommandContext context);
}
