using RaftKit.Node.Proposals;
using RaftKit.Node.Reads;

namespace RaftKit.Node.Loop;

/// <summary>
/// The door to a state machine of your own (<c>AddRaftKit().AddStateMachine&lt;T&gt;()</c>): commands go through the quorum's log, reads
/// see this member's copy. Any thread may use it; it can be used before the host has started, and then waits. <para>A query is part of the
/// state machine, like <see cref="IStateMachine.Apply"/>: it runs on the node's loop between two commands, so it sees a whole state without
/// a lock, and everything else waits for it. Keep it short, let it change nothing, and return values rather than references into the state.
/// An exception that it throws goes to its caller alone.</para>
/// </summary>
/// <typeparam name="TMachine">The state machine.</typeparam>
public interface IReplicated<out TMachine>
    where TMachine : class, IStateMachine
{
    /// <summary>The longest command, in bytes: 1 MiB.</summary>
    public const int MaxCommandBytes = 1 << 20;

    /// <summary>
    /// Proposes a command and returns its result, once it is durable on a quorum and applied on this member. It is applied exactly once,
    /// whatever happens to leaders and links meanwhile. Commands of one process are applied in the order in which they were proposed.
    /// </summary>
    /// <param name="command">The command, at most <see cref="MaxCommandBytes"/>; copied before this returns.</param>
    /// <param name="cancellationToken">Ends the wait, not the command: it may still be applied.</param>
    /// <exception cref="ArgumentException">The command is too long. It was not proposed.</exception>
    /// <exception cref="NotAppliedException">
    /// It was surely not applied and never will be: too much waits already, the node is stopping, or the leader has no such state machine.
    /// </exception>
    /// <exception cref="OutcomeUnknownException">
    /// It may or may not be applied: this node ended before it could tell. Read before trying again.
    /// </exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled.</exception>
    Task<ReadOnlyMemory<byte>> ProposeAsync(ReadOnlyMemory<byte> command, CancellationToken cancellationToken = default);

    /// <summary>
    /// As <see cref="ProposeAsync(ReadOnlyMemory{byte}, CancellationToken)"/>; reads of the session see the command, through whichever
    /// member.
    /// </summary>
    /// <param name="command">The command.</param>
    /// <param name="session">Takes the command's zxid.</param>
    /// <param name="cancellationToken">Ends the wait, not the command: it may still be applied.</param>
    Task<ReadOnlyMemory<byte>> ProposeAsync(
        ReadOnlyMemory<byte> command, ReadSession session, CancellationToken cancellationToken = default);

    /// <summary>
    /// A linearizable read (read index; thesis 6.4): the query sees every command that was acknowledged to anybody before this call. It
    /// waits for a leader where there is none.
    /// </summary>
    /// <param name="query">Computes the answer from the state; see the type's remarks.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="NotAppliedException">The node stopped before it could answer.</exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled.</exception>
    Task<TResult> ReadAsync<TResult>(Func<TMachine, TResult> query, CancellationToken cancellationToken = default);

    /// <summary>
    /// A read of this member's copy as it is, also without a leader: every command of which this process has a result is in it; others'
    /// newer ones may be missing.
    /// </summary>
    /// <param name="query">Computes the answer from the state; see the type's remarks.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="NotAppliedException">The node stopped before it could answer.</exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled.</exception>
    Task<TResult> ReadLocalAsync<TResult>(Func<TMachine, TResult> query, CancellationToken cancellationToken = default);

    /// <summary>
    /// A read that sees what it asks for: everything, as much as a session has seen, or what is not older than a bound. The answer says
    /// what it got.
    /// </summary>
    /// <param name="query">Computes the answer from the state; see the type's remarks. It may run twice.</param>
    /// <param name="consistency">What it must see.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="StaleReadException">The read allows a bounded staleness, and nobody could confirm it.</exception>
    /// <exception cref="NotAppliedException">The node stopped before it could answer, or too many reads wait already.</exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled.</exception>
    Task<ReadResult<TResult>> ReadAsync<TResult>(
        Func<TMachine, TResult> query, ReadConsistency consistency, CancellationToken cancellationToken = default);
}
