using RaftKit.Node.Proposals;

namespace RaftKit.Node.Members;

/// <summary>
/// Changes who forms the quorum while it runs. Every change is a command in the log: it survives the leader that began it, and each step
/// towards it is a committed membership of its own (Raft 6; several voters at once go through a joint membership, whose both halves must
/// agree). A member that enters learns first and votes only once it has caught up, so availability never waits for it. Any thread; on any
/// member. <para>To add a member: call <see cref="AddAsync"/> on a running one, then start the new process with an empty data directory,
/// its own number and endpoint, and the endpoint of at least one running member in its <c>Members</c>, and with <c>Join</c>. Either order
/// works. With <c>AutoJoin</c> the new process asks for itself, and nobody need call anything.</para>
/// </summary>
public interface IQuorumMembership
{
    /// <summary>The members as this member knows them to be committed. Null before it has applied any membership.</summary>
    QuorumMembers? Current { get; }

    /// <summary>
    /// Adds a member. Completes when it has its place: when it votes, or with <paramref name="voter"/> false, when it learns. One that is
    /// there already gets the other place: a learner is promoted, a voter becomes a learner and no longer counts.
    /// </summary>
    /// <param name="member">Its number, 1 to 255.</param>
    /// <param name="endpoint">Where it listens, <c>host:port</c>, as the others reach it: no wildcard, no port 0.</param>
    /// <param name="voter">Whether it is to vote; a learner replicates everything and never counts.</param>
    /// <param name="cancellationToken">Ends the wait, not the change.</param>
    /// <exception cref="ArgumentException">The number is none, or the endpoint is none that can be dialled.</exception>
    /// <exception cref="MembershipChangeRefusedException">
    /// It contradicts the members there are, or a later change took it back. Nothing was changed by it.
    /// </exception>
    /// <exception cref="NotAppliedException">It was surely not asked for.</exception>
    /// <exception cref="OutcomeUnknownException">This node ended before it could tell. Look at <see cref="Current"/>.</exception>
    Task<QuorumMembers> AddAsync(int member, string endpoint, bool voter = true, CancellationToken cancellationToken = default);

    /// <summary>
    /// Lets a member that only learns vote. Completes when it votes, which is once it has caught up; at once if it does already. As <see
    /// cref="AddAsync"/>, for a member that is there: its endpoint is known.
    /// </summary>
    /// <param name="member">Its number.</param>
    /// <param name="cancellationToken">Ends the wait, not the change.</param>
    /// <exception cref="ArgumentOutOfRangeException">The number is none, or an observer's: those never vote.</exception>
    /// <exception cref="MembershipChangeRefusedException">
    /// There is no such member, or it is to go once another one votes in its place, or a later change took this one back.
    /// </exception>
    /// <exception cref="NotAppliedException">It was surely not asked for.</exception>
    /// <exception cref="OutcomeUnknownException">This node ended before it could tell. Look at <see cref="Current"/>.</exception>
    Task<QuorumMembers> PromoteAsync(int member, CancellationToken cancellationToken = default);

    /// <summary>
    /// Removes a member, the leader included: it then hands over and steps down. Completes when it no longer counts. Stop its process
    /// afterwards.
    /// </summary>
    /// <param name="member">Its number.</param>
    /// <param name="cancellationToken">Ends the wait, not the change.</param>
    /// <exception cref="MembershipChangeRefusedException">There is no such member, or nobody would vote any more.</exception>
    /// <exception cref="NotAppliedException">It was surely not asked for.</exception>
    /// <exception cref="OutcomeUnknownException">This node ended before it could tell.</exception>
    Task<QuorumMembers> RemoveAsync(int member, CancellationToken cancellationToken = default);

    /// <summary>
    /// Puts a new member in an old one's place: the old one counts until the new one has caught up, then both change at once. Completes
    /// then.
    /// </summary>
    /// <param name="old">Who goes.</param>
    /// <param name="new">Who comes: another number, which does not vote yet.</param>
    /// <param name="endpoint">Where the new one listens.</param>
    /// <param name="cancellationToken">Ends the wait, not the change.</param>
    /// <exception cref="ArgumentException">A number is none, or the endpoint is none that can be dialled.</exception>
    /// <exception cref="MembershipChangeRefusedException">
    /// It contradicts the members there are, or a later change took it back; or the new one votes already, or replaces another one: the
    /// quorum would be smaller (<see cref="RemoveAsync"/>).
    /// </exception>
    /// <exception cref="NotAppliedException">It was surely not asked for.</exception>
    /// <exception cref="OutcomeUnknownException">This node ended before it could tell.</exception>
    Task<QuorumMembers> ReplaceAsync(int old, int @new, string endpoint, CancellationToken cancellationToken = default);

    /// <summary>
    /// Tells everybody that a member listens elsewhere from now on. Completes when that is applied here. The member stays who it is, with
    /// its data, its life and its vote; nobody else's configuration need be changed. <para>Call this first, then stop the member, and start
    /// it where it now is, with its directory and its new endpoint in its own <c>Members</c>. Links that are up stay up. Several members
    /// move one after another: each is linked again before the next one goes.</para>
    /// </summary>
    /// <param name="member">Its number.</param>
    /// <param name="endpoint">Where it will listen, <c>host:port</c>, as the others reach it: no wildcard, no port 0.</param>
    /// <param name="cancellationToken">Ends the wait, not the change.</param>
    /// <exception cref="ArgumentException">The number is none, or the endpoint is none that can be dialled.</exception>
    /// <exception cref="MembershipChangeRefusedException">
    /// There is no such member, or another one listens there, or a later change took this one back.
    /// </exception>
    /// <exception cref="NotAppliedException">It was surely not asked for.</exception>
    /// <exception cref="OutcomeUnknownException">This node ended before it could tell.</exception>
    Task<QuorumMembers> MoveAsync(int member, string endpoint, CancellationToken cancellationToken = default);

    /// <summary>
    /// Makes exactly these the members, from whatever set they are now, in one joint change once all new ones have caught up. Completes
    /// then.
    /// </summary>
    /// <param name="voters">Their numbers and endpoints.</param>
    /// <param name="cancellationToken">Ends the wait, not the change.</param>
    /// <exception cref="MembershipChangeRefusedException">
    /// It contradicts the endpoints there are, or a later change took it back.
    /// </exception>
    /// <exception cref="NotAppliedException">It was surely not asked for.</exception>
    /// <exception cref="OutcomeUnknownException">This node ended before it could tell.</exception>
    Task<QuorumMembers> SetAsync(IReadOnlyDictionary<int, string> voters, CancellationToken cancellationToken = default);
}

/// <summary>Who forms the quorum, as committed.</summary>
/// <param name="Members">Everybody, in order.</param>
/// <param name="IsChanging">Whether more steps towards what was asked for follow.</param>
public sealed record QuorumMembers(IReadOnlyList<QuorumMember> Members, bool IsChanging);

/// <summary>One member.</summary>
/// <param name="Id">Its number.</param>
/// <param name="Incarnation">Which of its lives: the next one begins when it lost its disk, or enters again.</param>
/// <param name="IsVoter">Whether it counts for elections and commits; else it only learns.</param>
/// <param name="Endpoint">Where it listens; empty where only its own configuration says so.</param>
public sealed record QuorumMember(int Id, int Incarnation, bool IsVoter, string Endpoint);

/// <summary>
/// A change of the membership contradicts the members there are, or was taken back by a later one. The message says which and what to do.
/// </summary>
public sealed class MembershipChangeRefusedException(string message) : Exception(message);
