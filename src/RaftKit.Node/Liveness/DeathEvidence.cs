using RaftKit.Consensus;

namespace RaftKit.Node.Liveness;

/// <summary>Which process a member runs in, so that another on the same machine can prove that it is gone.</summary>
/// <param name="MachineBootId">The kernel's boot id.</param>
/// <param name="PidNamespace">The pid namespace's inode.</param>
/// <param name="Pid">The process id in it.</param>
/// <param name="StartTime">When the process started, in clock ticks since boot: tells a reused pid.</param>
internal sealed record HostProcess(string MachineBootId, long PidNamespace, int Pid, long StartTime);

/// <summary>Why a member's process is believed dead (DESIGN, promise 6).</summary>
/// <param name="Member">The member.</param>
/// <param name="Incarnation">The life of it that died.</param>
/// <param name="Boot">The start of it that died.</param>
/// <param name="Proven">Same machine and pid namespace, and the process is gone: not a matter of belief.</param>
/// <param name="Reason">What was seen, for the log.</param>
internal sealed record DeathEvidence(MemberId Member, int Incarnation, long Boot, bool Proven, string Reason);
