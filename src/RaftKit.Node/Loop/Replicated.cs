using RaftKit.Node.Proposals;

namespace RaftKit.Node.Loop;

/// <summary>Calls to one state machine, as inputs of the loop. <paramref name="completion"/> says where what awaits them goes on: on the pool, or as the simulator wants.</summary>
internal sealed class Replicated<TMachine>(TMachine machine, INodeInbox inbox, TaskCreationOptions completion) : IReplicated<TMachine>
    where TMachine : class, IStateMachine
{
    // Asked once: a name that changes would be a bug of the machine, found by its first use.
    private readonly string _name = machine.Name;

    public Task<ReadOnlyMemory<byte>> ProposeAsync(ReadOnlyMemory<byte> command, CancellationToken cancellationToken = default)
    {
        if (command.Length > IReplicated<TMachine>.MaxCommandBytes)
        {
            throw new ArgumentException(
                $"The command for '{_name}' has {command.Length} bytes; at most {IReplicated<TMachine>.MaxCommandBytes} are allowed. Split it, or keep what is large elsewhere.",
                nameof(command));
        }
        cancellationToken.ThrowIfCancellationRequested();
        var proposal = new Proposal(completion);
        inbox.Post(new NodeInput.Propose(_name, command.ToArray(), proposal));
        return proposal.Task.WaitAsync(cancellationToken);
    }

    public Task<TResult> ReadAsync<TResult>(Func<TMachine, TResult> query, CancellationToken cancellationToken = default) =>
        ReadAsync(query, linearizable: true, cancellationToken);

    public Task<TResult> ReadLocalAsync<TResult>(Func<TMachine, TResult> query, CancellationToken cancellationToken = default) =>
        ReadAsync(query, linearizable: false, cancellationToken);

    private Task<TResult> ReadAsync<TResult>(Func<TMachine, TResult> query, bool linearizable, CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(query);
        cancellationToken.ThrowIfCancellationRequested();
        var read = new Read<TResult>(machine, query, completion, cancellationToken);
        inbox.Post(new NodeInput.Read(read, linearizable));
        return read.Task.WaitAsync(cancellationToken);
    }

    private sealed class Proposal(TaskCreationOptions completion) : IProposalCallback
    {
        private readonly TaskCompletionSource<ReadOnlyMemory<byte>> _done = new(completion);

        public Task<ReadOnlyMemory<byte>> Task => _done.Task;

        // Copied: the applier writes the next result to the same memory.
        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result) => _done.TrySetResult(result.ToArray());

        public void Failed(ProposalFailure failure, string reason) => _done.TrySetException(
            failure == ProposalFailure.NotApplied ? new NotAppliedException(reason) : new OutcomeUnknownException(reason));
    }

    private sealed class Read<TResult>(TMachine machine, Func<TMachine, TResult> query, TaskCreationOptions completion, CancellationToken cancellationToken) : IReadCallback
    {
        private readonly TaskCompletionSource<TResult> _done = new(completion);

        public Task<TResult> Task => _done.Task;

        public bool IsAbandoned => cancellationToken.IsCancellationRequested;

        public void Ready()
        {
            if (IsAbandoned)
                return;
            TResult answer;
            try
            {
                answer = query(machine);
            }
            catch (Exception e)
            {
                // Whoever wrote the query is told; the node has nothing to do with it.
                _done.TrySetException(e);
                return;
            }
            _done.TrySetResult(answer);
        }

        public void Failed(string reason) => _done.TrySetException(new NotAppliedException(reason));
    }
}
