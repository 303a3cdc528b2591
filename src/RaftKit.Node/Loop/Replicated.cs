using RaftKit.Node.Proposals;
using RaftKit.Node.Reads;

namespace RaftKit.Node.Loop;

/// <summary>
/// Calls to one state machine, as inputs of the loop. <paramref name="completion"/> says where what awaits them goes on: on the pool, or as
/// the simulator wants.
/// </summary>
internal sealed class Replicated<TMachine>(TMachine machine, INodeInbox inbox, TaskCreationOptions completion) : IReplicated<TMachine>
    where TMachine : class, IStateMachine
{
    // Asked once: a name that changes would be a bug of the machine, found by its first use.
    private readonly string _name = machine.Name;

    public Task<ReadOnlyMemory<byte>> ProposeAsync(ReadOnlyMemory<byte> command, CancellationToken cancellationToken = default) =>
        Propose(command, null, cancellationToken);

    public Task<ReadOnlyMemory<byte>> ProposeAsync(
        ReadOnlyMemory<byte> command, ReadSession session, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(session);
        return Propose(command, session, cancellationToken);
    }

    public Task<TResult> ReadAsync<TResult>(Func<TMachine, TResult> query, CancellationToken cancellationToken = default) =>
        Read(query, ReadConsistency.Linearizable, static result => result.Value, cancellationToken);

    public Task<TResult> ReadLocalAsync<TResult>(Func<TMachine, TResult> query, CancellationToken cancellationToken = default) =>
        Read(query, ReadConsistency.Local, static result => result.Value, cancellationToken);

    public Task<ReadResult<TResult>> ReadAsync<TResult>(
        Func<TMachine, TResult> query, ReadConsistency consistency, CancellationToken cancellationToken = default) =>
        Read(query, consistency, static result => result, cancellationToken);

    private Task<TAnswer> Read<TResult, TAnswer>(
        Func<TMachine, TResult> query, ReadConsistency consistency, Func<ReadResult<TResult>, TAnswer> told,
        CancellationToken cancellationToken) =>
        StateRead<TMachine, TResult, TAnswer>.Post(inbox, machine, query, consistency, told, completion, cancellationToken);

    private Task<ReadOnlyMemory<byte>> Propose(ReadOnlyMemory<byte> command, ReadSession? session, CancellationToken cancellationToken)
    {
        if (command.Length > IReplicated<TMachine>.MaxCommandBytes)
        {
            throw new ArgumentException(
                $"The command for '{_name}' has {command.Length} bytes; at most {IReplicated<TMachine>.MaxCommandBytes} are allowed. Split it, or keep what is large elsewhere.",
                nameof(command));
        }
        cancellationToken.ThrowIfCancellationRequested();
        var proposal = new Proposal(completion, session);
        inbox.Post(new NodeInput.Propose(_name, command.ToArray(), proposal));
        return proposal.Task.WaitAsync(cancellationToken);
    }

    private sealed class Proposal(TaskCreationOptions completion, ReadSession? session) : IProposalCallback
    {
        private readonly TaskCompletionSource<ReadOnlyMemory<byte>> _done = new(completion);

        public Task<ReadOnlyMemory<byte>> Task => _done.Task;

        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result)
        {
            session?.Advance(context.Zxid);
            // Copied: the applier writes the next result to the same memory.
            _done.TrySetResult(result.ToArray());
        }

        public void Failed(ProposalFailure failure, string reason) => _done.TrySetException(
            failure == ProposalFailure.NotApplied ? new NotAppliedException(reason) : new OutcomeUnknownException(reason));
    }
}
