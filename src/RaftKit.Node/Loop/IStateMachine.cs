using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Levels;

namespace RaftKit.Node.Loop;

/// <summary>
/// A replicated state machine. Every member applies the same commands in the same order, so it must be deterministic: its result and its
/// state follow from the commands and their contexts alone (no clock, no randomness, no order of a hash table). All calls come from the
/// node's loop, one at a time, in order, though not always on the same thread. An exception that escapes stops the node: applying never
/// fails, a refusal is a result. <para>To add one to a running cluster: register it on every member, one restart after the other, and
/// propose to it only then. A member that meets an entry of a machine that it lacks stops before it (<see
/// cref="StateMachineMissingException"/>), and goes on from there when it is started with the machine. To remove one: there is no way yet;
/// keep it registered, for snapshots hold its state.</para>
/// </summary>
public interface IStateMachine
{
    /// <summary>Names it within the log; never changed once there is data. At most 64 characters.</summary>
    string Name { get; }

    /// <summary>Applies a command and writes its result. Each command is applied exactly once, in the order of the log.</summary>
    /// <param name="context">Where the command stands in the log, and the leader's time.</param>
    /// <param name="command">The bytes that were proposed; valid during the call only.</param>
    /// <param name="result">Takes the result for the proposer; at most 1 MiB: a longer one is dropped, and the proposer gets an error that
    /// says so, though the command is applied. It is kept, replicated, until the proposer has seen it; where more than 64 MiB of one
    /// proposer wait for that, later ones may be dropped as well.</param>
    void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result);

    /// <summary>
    /// Begins a snapshot of the state as it is now. Applying goes on while it is written, slice by slice: what is written must be the state
    /// of this moment. At most one is open at a time. A start begins one too and gives it up, so that the first real one finds the code
    /// compiled.
    /// </summary>
    ISnapshotCapture Capture();

    /// <summary>
    /// Begins to replace the whole state by a snapshot's. No command is applied until it ends. A snapshot from before the machine was added
    /// has no frame for it: the state is then the one that it began with.
    /// </summary>
    IStateRestorer BeginRestore();
}

/// <summary>Where a command stands.</summary>
/// <param name="Index">Its index in the log.</param>
/// <param name="Term">The term of the leader that took it.</param>
/// <param name="Stamp">The leader's time in milliseconds since the Unix epoch; never falls from one command to the next.</param>
/// <param name="Zxid">Recovery epoch in the upper 16 bits, log index in the lower 48; grows with every command.</param>
public readonly record struct CommandContext(LogIndex Index, Term Term, long Stamp, long Zxid)
{
    internal FinalizedLevels? Levels { get; init; }

    /// <summary>
    /// The level of a feature that is finalised as of this command: the same for every member that applies it, whatever its build supports,
    /// so a state machine may decide by it. 1 until a higher one is finalised (<see cref="IFeatureLevels"/>).
    /// </summary>
    /// <param name="feature">Its name.</param>
    public int LevelOf(string feature) => (Levels ?? FinalizedLevels.None).Of(feature);
}

/// <summary>A snapshot in the making.</summary>
public interface ISnapshotCapture : IDisposable
{
    /// <summary>Writes the next slice as one frame: a few hundred microseconds of work, at most about 256 KiB.</summary>
    /// <returns>Whether more slices follow.</returns>
    bool WriteSlice(IBufferWriter<byte> frame);
}

/// <summary>A state machine's state being replaced.</summary>
public interface IStateRestorer
{
    /// <summary>Takes one frame, in the order in which they were written.</summary>
    void Frame(ReadOnlyMemory<byte> frame);

    /// <summary>All frames were given: the state is now the snapshot's, as of <paramref name="context"/>.</summary>
    void Complete(in CommandContext context);
}
