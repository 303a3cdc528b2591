using System.Diagnostics;
using RaftKit.Node.Encoding;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Znodes.Tree;

namespace RaftKit.Znodes.Sessions;

/// <summary>A call that goes through the log: proposed in the session's order, done when it is applied on this member.</summary>
internal abstract class LoggedCall<T>(LocalSession session) : SessionCall<T>(session), IProposalCallback
{
    private bool _begun;

    public override void Begin()
    {
        _begun = true;
        Activity?.AddEvent(new ActivityEvent("proposed"));
        Session.Keeper.Services.Propose(ZnodeStateMachine.MachineName, Encode(), this);
    }

    public override void Abandon()
    {
        if (_begun)
            Fail(new OutcomeUnknownException(
                $"Session {Session.Id:x} ended before the outcome was known here. Read the state in a new session before trying again."));
        else
            base.Abandon();
    }

    public void Applied(in CommandContext context, ReadOnlyMemory<byte> result)
    {
        // The owner may have been told already that the outcome is unknown.
        if (!IsDone)
        {
            Activity.Applied(Session.Id, context.Zxid);
            Applied(context.Zxid, result);
        }
        Session.Advance();
    }

    public void Failed(ProposalFailure failure, string reason)
    {
        Fail(failure == ProposalFailure.NotApplied ? new NotAppliedException(reason) : new OutcomeUnknownException(reason));
        Session.Advance();
    }

    protected abstract ReadOnlyMemory<byte> Encode();

    protected abstract void Applied(long zxid, ReadOnlyMemory<byte> result);
}

/// <summary>A command to the tree. It is encoded on the caller's thread, unless the session has no id yet.</summary>
internal abstract class TreeLoggedCall<T>(LocalSession session, TreeCommand command, int sizeHint) : LoggedCall<T>(session)
{
    private readonly ReadOnlyMemory<byte> _encoded = session.Id == 0
        ? default
        : SessionCommand.Tree(session.Id, command, sizeHint, session.Via);

    protected TreeCommand Command { get; } = command;

    public sealed override int Weight => _encoded.Length;

    protected sealed override ReadOnlyMemory<byte> Encode() =>
        _encoded.IsEmpty ? SessionCommand.Tree(Session.Id, Command, 64, Session.Via) : _encoded;
}

/// <summary>One operation on the tree.</summary>
internal abstract class TreeCall<T>(LocalSession session, TreeCommand command, int sizeHint) : TreeLoggedCall<T>(session, command, sizeHint)
{
    protected override void Applied(long zxid, ReadOnlyMemory<byte> result)
    {
        var reader = new MessagePackReader(result);
        var single = TreeCommandCodec.ReadResult(ref reader, multi: false).Single;
        if (single.Error == ZnodeError.None)
            Done(Result(zxid, single));
        else
            Fail(ZnodeErrors.Of(single.Error, single.Path, Command, Session));
    }

    protected abstract T Result(long zxid, in ZnodeOperationResult result);
}

internal sealed class CreateCall(LocalSession session, TreeCommand.Create command, int sizeHint)
    : TreeCall<Znode>(session, command, sizeHint)
{
    private readonly ReadOnlyMemory<byte> _data = command.Data;

    protected override string ActivityName => "raftkit.create";

    protected override Znode Result(long zxid, in ZnodeOperationResult result) => new(result.Path, _data, result.Stat, zxid);
}

internal sealed class SetCall(LocalSession session, TreeCommand.Set command, int sizeHint) : TreeCall<ZnodeStat>(session, command, sizeHint)
{
    protected override string ActivityName => "raftkit.set";

    protected override ZnodeStat Result(long zxid, in ZnodeOperationResult result) => result.Stat;
}

internal sealed class DeleteCall(LocalSession session, TreeCommand.Delete command, int sizeHint)
    : TreeCall<bool>(session, command, sizeHint)
{
    protected override string ActivityName => "raftkit.delete";

    protected override bool Result(long zxid, in ZnodeOperationResult result) => true;
}

internal sealed class MultiCall(LocalSession session, TreeCommand.Multi command, int sizeHint)
    : TreeLoggedCall<MultiResult>(session, command, sizeHint)
{
    protected override string ActivityName => "raftkit.multi";

    protected override void Applied(long zxid, ReadOnlyMemory<byte> result)
    {
        var reader = new MessagePackReader(result);
        var results = TreeCommandCodec.ReadResult(ref reader, multi: true).Operations!;
        if (results.Count > 0 && results[0].Error is ZnodeError.SessionExpired or ZnodeError.SessionMoved)
            Fail(ZnodeErrors.Of(results[0].Error, "", Command, Session));
        else
            Done(new MultiResult(zxid, results));
    }
}

/// <summary>Closes the session; whatever it owns goes with the same entry.</summary>
internal sealed class CloseCall(LocalSession session) : LoggedCall<bool>(session)
{
    protected override string ActivityName => "raftkit.close";

    // Were it refused, the session would live on with nobody to end it.
    public override bool MayBeRefused => false;

    // Closing what has ended already is no failure.
    public override void Abandon() => Done(false);

    protected override ReadOnlyMemory<byte> Encode() => SessionCommand.Close(Session.Id, Session.Via);

    protected override void Applied(long zxid, ReadOnlyMemory<byte> result) => Done(true);
}
