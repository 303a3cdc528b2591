using RaftKit.Consensus;

namespace RaftKit.Node.Transport;

/// <summary>Anything that travels between two members. The codec knows each kind.</summary>
internal abstract record PeerMessage
{
    /// <summary>A message of the consensus core.</summary>
    /// <param name="Message">The message.</param>
    /// <param name="DurableBatch">
    /// The last batch of the sender's log that was synced when it sent this: whatever the message promises is in that batch or before it. 0
    /// when it does not say.
    /// </param>
    public sealed record Raft(Message Message, long DurableBatch = 0) : PeerMessage;

    /// <summary>Proposals forwarded to the leader, in the proposer's sequence.</summary>
    /// <param name="Proposer">Whose.</param>
    /// <param name="FirstSequence">The first one's number; the others follow without a gap.</param>
    /// <param name="Envelopes">Each a whole entry payload, ready to be appended.</param>
    public sealed record ForwardProposals(ProposerId Proposer, long FirstSequence, IReadOnlyList<ReadOnlyMemory<byte>> Envelopes)
        : PeerMessage;

    /// <summary>The leader's (or former leader's) word on forwarded proposals that it did not append.</summary>
    /// <param name="Proposer">Whose.</param>
    /// <param name="NextSequence">Everything below was appended or is known; send again from here.</param>
    /// <param name="Refusal">Why it stopped there.</param>
    public sealed record ForwardRefused(ProposerId Proposer, long NextSequence, ForwardRefusal Refusal) : PeerMessage;

    /// <summary>Bytes between the same parts of two members (<see cref="Loop.ILoopParticipant"/>).</summary>
    public sealed record Channel(byte Id, ReadOnlyMemory<byte> Payload) : PeerMessage;

    /// <summary>Asks, while starting with an empty directory, what the receiver knows.</summary>
    /// <param name="Configured">The members that the sender was configured with.</param>
    public sealed record BootstrapProbe(IReadOnlyList<MemberId> Configured) : PeerMessage;

    /// <summary>Answers a <see cref="BootstrapProbe"/>.</summary>
    public sealed record BootstrapAnswer(BootstrapState State, Guid ClusterId, IReadOnlyList<MemberId> Configured) : PeerMessage;

    /// <summary>A member without data asks to be taken in under a new incarnation.</summary>
    public sealed record JoinRequest(MemberId Member, string Endpoint) : PeerMessage;

    /// <summary>
    /// Tells a member that was linked what this one knows of the disk that it started on: whether it may vote and acknowledge.
    /// </summary>
    /// <param name="Incarnation">Which start is judged: of this incarnation...</param>
    /// <param name="Boot">...and with this number.</param>
    /// <param name="Refusal">What the disk has forgotten; empty if nothing that is known here.</param>
    /// <param name="IsUnready">
    /// It has forgotten nothing: the process does not support a level that is finalised, as the refusal says.
    /// </param>
    public sealed record StartJudged(int Incarnation, long Boot, string Refusal, bool IsUnready = false) : PeerMessage;

    /// <summary>Answers a <see cref="JoinRequest"/>: the committed identity to start under, or where to ask, or why not.</summary>
    public sealed record JoinReply(
        bool Accepted, Guid ClusterId, int Incarnation, MemberId Leader, string Reason, string LeaderEndpoint = "", Term Term = default)
        : PeerMessage;
}

/// <summary>Why forwarded proposals were not appended.</summary>
internal enum ForwardRefusal : byte
{
    NotLeader = 1,
    Busy = 2,

    /// <summary>An earlier one is missing: it was lost on the way.</summary>
    Gap = 3,

    /// <summary>A later start or incarnation of the same member proposes now.</summary>
    Superseded = 4,
}

/// <summary>What a member answers while another asks whether a cluster may be formed.</summary>
internal enum BootstrapState : byte
{
    /// <summary>Its directory is empty.</summary>
    Empty = 1,

    /// <summary>
    /// It has formed or is forming, nothing is committed yet as far as it knows, and it has no record that the asker ever took part.
    /// </summary>
    Forming = 2,

    /// <summary>A cluster exists, or the asker took part before: the asker must join under a new incarnation.</summary>
    Formed = 3,
}

/// <summary>One start of one life of a member, as a source of proposals.</summary>
internal readonly record struct ProposerId(MemberId Member, int Incarnation, long Boot)
{
    /// <summary>Whether this start came before another of the same member.</summary>
    public bool IsOlderThan(ProposerId other) =>
        Incarnation != other.Incarnation ? Incarnation < other.Incarnation : Boot < other.Boot;

    public override string ToString() => $"{Member}#{Incarnation}.{Boot}";
}
