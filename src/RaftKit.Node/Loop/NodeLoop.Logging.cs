using Microsoft.Extensions.Logging;
using RaftKit.Consensus;

namespace RaftKit.Node.Loop;

internal sealed partial class NodeLoop
{
    [LoggerMessage(100, LogLevel.Information,
        "Member {Member} began as incarnation {Incarnation}, boot {Boot}, in term {Term} with log end {LastIndex}.")]
    private static partial void LogBegan(ILogger logger, int member, int incarnation, long boot, long term, long lastIndex);

    [LoggerMessage(101, LogLevel.Information, "Became {Role} in term {Term}; leader {Leader}, ready {Ready}, commit {Commit}.")]
    private static partial void LogStatus(ILogger logger, RaftRole role, long term, int leader, bool ready, long commit);

    [LoggerMessage(102, LogLevel.Information, "The cluster was named {ClusterId}.")]
    private static partial void LogClusterNamed(ILogger logger, Guid clusterId);

    [LoggerMessage(103, LogLevel.Warning, "Member {Member}, boot {Boot}, is believed dead (proven: {Proven}): {Reason}")]
    private static partial void LogPeerDied(ILogger logger, int member, long boot, bool proven, string reason);

    [LoggerMessage(104, LogLevel.Error, "A link of member {Member} was refused: {Reason}")]
    private static partial void LogLinkRefused(ILogger logger, int member, string reason);

    [LoggerMessage(105, LogLevel.Critical, "Member {Member} stopped itself: {Reason}")]
    private static partial void LogFailed(ILogger logger, Exception failure, int member, string reason);

    [LoggerMessage(106, LogLevel.Warning, "Member {Member} has no identity yet. {Waiting}")]
    private static partial void LogWaiting(ILogger logger, int member, string waiting);

    [LoggerMessage(116, LogLevel.Warning, "Member {Member} asked member {Asked} to be taken in, and was refused: {Reason}")]
    private static partial void LogNotTakenIn(ILogger logger, int member, int asked, string reason);

    [LoggerMessage(119, LogLevel.Error, "Member {Member} was told by member {By} that another process uses its number: {Reason}")]
    private static partial void LogDoubled(ILogger logger, int member, int by, string reason);

    [LoggerMessage(120, LogLevel.Warning, "Member {Member} proposed to add member {Asking}, which asked for it, and has no result of that: {Reason}")]
    private static partial void LogUndecided(ILogger logger, int member, int asking, string reason);

    [LoggerMessage(117, LogLevel.Information, "Member {Member} proposes to add member {Asking} at {Endpoint}, which asked for it.")]
    private static partial void LogAdding(ILogger logger, int member, int asking, string endpoint);

    [LoggerMessage(
        107, LogLevel.Warning, "Member {Member} joined cluster {ClusterId} as incarnation {Incarnation}, taken in by member {Leader}.")]
    private static partial void LogJoining(ILogger logger, int member, Guid clusterId, int incarnation, int leader);

    [LoggerMessage(
        108, LogLevel.Debug, "A message {Kind} of member {Member} was ignored: it is addressed to another member or another start.")]
    private static partial void LogIgnored(ILogger logger, string kind, int member);

    [LoggerMessage(109, LogLevel.Error,
        "Member {Member} cannot read entries {FirstIndex} to {RottenIndex} (term {RottenTerm}) of its own log. It votes as one that has them, does not lead, and waits for a leader to send them again. {Rot}")]
    private static partial void LogRot(ILogger logger, int member, long firstIndex, long rottenIndex, long rottenTerm, string rot);

    [LoggerMessage(
        110, LogLevel.Warning,
        "Member {Member} has again all that it could not read, up to entry {RottenIndex}; its log ends at {LastIndex}, sent by member {Leader}.")]
    private static partial void LogRepaired(ILogger logger, int member, long rottenIndex, long lastIndex, int leader);

    [LoggerMessage(111, LogLevel.Warning, "Part of what member {Member} stored is not what was written, and is not needed any more. {Rot}")]
    private static partial void LogRotPassed(ILogger logger, int member, string rot);

    [LoggerMessage(
        112, LogLevel.Information, "Member {Member} applies at level {Level} of feature {Feature}, which entry {Index} finalised.")]
    private static partial void LogFinalized(ILogger logger, int member, string feature, int level, long index);

    [LoggerMessage(113, LogLevel.Warning,
        "Member {Member} hands leadership of term {Term} over: its disk stands still at entry {Durable}, and a quorum has all up to {Commit} on theirs. Look after the disk.")]
    private static partial void LogStalled(ILogger logger, int member, long term, long durable, long commit);

    [LoggerMessage(114, LogLevel.Error,
        "Member {Proposer} proposes command {Sequence} to state machine '{Machine}', and leader {Member} could not apply it: it has no such machine, or knows no such command. It is refused, as surely not applied. "
        + "Give all members the same state machines and builds first.")]
    private static partial void LogUnfit(ILogger logger, int proposer, long sequence, string machine, int member);

    [LoggerMessage(
        118, LogLevel.Warning,
        "Member {Member} began its cluster alone, and others have joined it since. If its data directory were lost, its next start with this configuration would begin another cluster beside them: "
        + "list others in Members as well, and set Join or AutoJoin. Both count only while the directory is empty.")]
    private static partial void LogFounder(ILogger logger, int member);

    [LoggerMessage(
        121, LogLevel.Warning,
        "Member {Member} is configured at {Configured}, and the others dial it at {Known}, as the log says. It dials them, so it is linked as long as they stay where they are. "
        + "If it moved, call IQuorumMembership.MoveAsync({Member}, \"{Configured}\") on any member; if not, give it {Known} in its own Members.")]
    private static partial void LogMoved(ILogger logger, int member, string configured, string known);

    /// <summary>Something was whole at the start, cannot be read any more, and is in the state: a snapshot takes its place.</summary>
    internal void RotMet(string rot)
    {
        Counters.RotMetCount++;
        LogRotMet(_ports.Logger, _options.Self.Value, rot);
    }

    /// <summary>A disk does that which does not keep what is written.</summary>
    internal void RotMetAgain(HealingPace pace) =>
        LogRotAgain(_ports.Logger, Self.Value, pace.InARow, pace.Pause.TotalSeconds);

    private void EntryRotMet(string rot, long segment)
    {
        RotMet(rot);
        // The snapshot cannot take the place of a vote that rots in the newest segment with those entries: the next segment's header does.
        _ports.LogLane.Submit(new LogRollJob(_storage.Log, segment));
    }

    private void ReadFailed(string error) => LogReadError(_ports.Logger, _options.Self.Value, error);

    [LoggerMessage(
        122, LogLevel.Error,
        "Part of what member {Member} stored is not what was written any more. Its state has it: a snapshot of that takes its place. {Rot} Look after the disk.")]
    private static partial void LogRotMet(ILogger logger, int member, string rot);

    [LoggerMessage(
        123, LogLevel.Error,
        "Member {Member} writes snapshot {InARow} in a row in the place of something that rotted on its disk; another one is not begun for {Seconds} s, and who needs it waits so long. "
        + "Replace the disk: stop this member, give it an empty directory on another disk, and let it join anew.")]
    private static partial void LogRotAgain(ILogger logger, int member, int inARow, double seconds);

    [LoggerMessage(115, LogLevel.Error, "The disk of member {Member} answered a read with an error. {Error} Look after the disk.")]
    private static partial void LogReadError(ILogger logger, int member, string error);
}
