using RaftKit.Consensus;

namespace RaftKit.Node.Liveness;

/// <summary>Why a member's process is believed dead (DESIGN, promise 6).</summary>
/// <param name="Member">The member.</param>
/// <param name="Incarnation">The life of it that died.</param>
/// <param name="Boot">The start of it that died.</param>
/// <param name="Proven">Same machine and pid namespace, and the process is gone: not a matter of belief.</param>
/// <param name="Reason">What was seen, for the log.</param>
internal sealed record DeathEvidence(MemberId Member, int Incarnation, long Boot, bool Proven, string Reason);
