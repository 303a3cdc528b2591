using System.Buffers;
using RaftKit.Consensus;

namespace RaftKit.Node.Log;

/// <summary>
/// Where the log's files live: the one port under the durable room, so that a simulated disk can tear and lose writes under the real
/// code. Names are plain file names. Nothing is durable before the file's, and for a new, renamed or deleted name the directory's, sync.
/// </summary>
internal interface ILogDirectory
{
    /// <summary>For messages: where this is.</summary>
    string Location { get; }

    /// <summary>Takes the exclusive right to this directory, until disposed or the process ends.</summary>
    /// <exception cref="DirectoryInUseException">Another process (or another node of this one) has it.</exception>
    IDisposable Lock();

    /// <summary>The names of its files.</summary>
    IReadOnlyList<string> List();

    /// <summary>The names of directories in it. RaftKit makes none: these are somebody else's.</summary>
    IReadOnlyList<string> Folders() => [];

    bool Exists(string name);

    /// <summary>Creates a file of the given length, filled with zeros that are already written (not a hole). Fails if it exists.</summary>
    ILogFile Create(string name, long length);

    ILogFile Open(string name);

    /// <summary>Replaces <paramref name="to"/> if it exists.</summary>
    void Rename(string from, string to);

    void Delete(string name);

    /// <summary>fsync of the directory.</summary>
    void Sync();
}

/// <summary>A file in the log's directory. One writer at a time; reads may run beside it.</summary>
internal interface ILogFile : IDisposable
{
    string Name { get; }

    long Length { get; }

    /// <summary>Writes at the offset; extends the file if it reaches beyond its end.</summary>
    void Write(long offset, ReadOnlySpan<byte> bytes);

    /// <summary>Reads at the offset; fewer bytes than asked for only at the end of the file.</summary>
    int Read(long offset, Span<byte> into);

    /// <summary>fdatasync. A failure means that what was written since the last success may be lost for good: never retried.</summary>
    void Sync();
}

/// <summary>One group of durable changes, written in this order: term and vote, reset, cut, entries, peers' boots.</summary>
internal sealed class LogBatch
{
    public required Term Term { get; init; }

    public required MemberId Vote { get; init; }

    /// <summary>The log now starts after this snapshot; everything in it is dropped.</summary>
    public SnapshotMark? ResetTo { get; init; }

    public LogIndex? TruncateFrom { get; init; }

    public IReadOnlyList<Entry> Entries { get; init; } = [];

    /// <summary>Starts of other members to remember.</summary>
    public IReadOnlyList<PeerBoot> PeerBoots { get; init; } = [];

    /// <summary>
    /// Found at a start: see <see cref="RecordKind.RottenEnd"/>. Written by the log itself, at the head of each segment, while it holds.
    /// </summary>
    public LogEnd? RottenEnd { get; init; }
}

/// <summary>The newest start seen of a member.</summary>
internal readonly record struct PeerBoot(MemberId Member, int Incarnation, long Boot);

/// <summary>What was found on disk.</summary>
/// <param name="Term">The last durable term.</param>
/// <param name="Vote">The vote in it.</param>
/// <param name="Snapshot">The newest whole snapshot; null if none.</param>
/// <param name="Entries">The entries after it, contiguous.</param>
/// <param name="PeerBoots">The newest start remembered of each other member.</param>
internal sealed record RecoveredLog(
    Term Term, MemberId Vote, SnapshotMark? Snapshot, IReadOnlyList<Entry> Entries, IReadOnlyList<PeerBoot> PeerBoots)
{
    /// <summary>Where the log ended before some of it rotted: see <see cref="RestoredState.RottenEnd"/>.</summary>
    public LogEnd? RottenEnd { get; init; }

    /// <summary>What was found to be rotten at this start, with files and offsets; empty if nothing was that matters.</summary>
    public string Rot { get; init; } = "";
}

/// <summary>Who this directory belongs to. Written aside, fsynced and renamed whenever it changes.</summary>
/// <param name="Member">The member.</param>
/// <param name="Incarnation">Its life; 0 while it has none (it is joining).</param>
/// <param name="Boot">How often it was started in this life.</param>
/// <param name="ClusterId">The cluster; empty until the first committed entry minted it.</param>
/// <param name="Founders">The members that the cluster is formed of; empty when it joined an existing one.</param>
internal sealed record DirectoryIdentity(MemberId Member, int Incarnation, long Boot, Guid ClusterId, IReadOnlyList<MemberId> Founders)
{
    /// <summary>Where each of the last runs before this start left the log: what other members were told is held against it.</summary>
    public RunEnds RunEnds { get; init; } = RunEnds.None;

    /// <summary>What other members found forgotten here; empty if nothing. From then on nobody starts in this directory.</summary>
    public string RolledBack { get; init; } = "";

    /// <summary>
    /// The longest promise that any start in this directory may have given a leader (see <see cref="RaftCoreOptions.VoterPromise"/>). It
    /// may still hold when the next one begins, so that waits for as long before it votes.
    /// </summary>
    public TimeSpan LongestPromise { get; init; }
}

/// <summary>The durable log as the loop uses it.</summary>
internal interface ILogStore : IEntryReader, IDisposable
{
    /// <summary>The number of the last batch written: grows through the whole life of the directory. Log lane only.</summary>
    long LastBatch { get; }

    /// <summary>Writes a batch behind the last one. Log lane only. Not durable before <see cref="Sync"/>.</summary>
    void Write(LogBatch batch);

    /// <summary>One fsync for all batches written. Log lane only.</summary>
    /// <exception cref="LogFailedException">It failed: this node must stop, and acknowledge nothing of it.</exception>
    void Sync();

    /// <summary>Deletes segments that hold only entries at or before the index, all covered by a durable snapshot. Log lane only.</summary>
    void Compact(LogIndex upTo);
}

/// <summary>
/// Disk work done off the loop, in order, one at a time per lane. In production a thread; in the simulator an event.
/// When a job has run, it is posted back to the loop as <see cref="Loop.NodeInput.DiskDone"/>.
/// </summary>
internal interface IDiskLane
{
    void Submit(DiskJob job);
}

/// <summary>
/// A piece of disk work. <see cref="Run"/> is called once, off the loop; then the loop looks at <see cref="Failure"/> and its type.
/// </summary>
internal abstract class DiskJob
{
    /// <summary>Why it failed; null if it did not.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>
    /// Whether the lane may run the following job of the same kind before it syncs, then syncs once for both (group commit).
    /// </summary>
    public virtual bool CanShareSync => false;

    /// <summary>Set by the lane on a job whose follower will sync for both: it is done only when that one is.</summary>
    public bool SyncDeferred { get; set; }

    public void Execute()
    {
        try
        {
            Run();
        }
        catch (Exception failure)
        {
            Failure = failure;
        }
    }

    public void Fail(Exception failure) => Failure ??= failure;

    protected abstract void Run();
}

/// <summary>The directory is held by another node. Nothing was changed.</summary>
public sealed class DirectoryInUseException(string message) : IOException(message);

/// <summary>The directory belongs to another cluster or member. Nothing was changed.</summary>
public sealed class DirectoryMismatchException(string message) : IOException(message);

/// <summary>
/// The directory is an old copy of itself: other members were told of promises (votes, acknowledged entries) that it has forgotten, so this
/// member must never again take part under its incarnation. It says so at every start; empty the directory, and the member joins anew.
/// </summary>
public sealed class DirectoryRolledBackException(string message) : IOException(message);

/// <summary>
/// The log cannot go on: a write or an fsync failed, and what was written since the last success may be lost. The node stops; what was
/// acknowledged before is safe.
/// </summary>
public sealed class LogFailedException(string message, Exception? inner = null) : IOException(message, inner);

/// <summary>What was durable before does not read back as it was written. Nothing was cut; the message says where.</summary>
public sealed class LogCorruptException(string message, Exception? inner = null) : IOException(message, inner);

/// <summary>
/// The directory holds a format that this version of RaftKit does not know: it was written by a newer one. Nothing was changed: start the
/// version that wrote it, or a newer one.
/// </summary>
public sealed class UnknownFormatException : IOException
{
    internal UnknownFormatException(string what, long found, long known, string where = "a file")
        : base($"{where} is written in {what} {found}; this version of RaftKit knows {what} {known}. Nothing was changed. "
            + "Start the version that wrote it, or a newer one.")
    {
        What = what;
        FoundVersion = found;
        KnownVersion = known;
    }

    /// <summary>What has the version, for example <c>log format</c>.</summary>
    public string What { get; }

    /// <summary>The version that was found.</summary>
    public long FoundVersion { get; }

    /// <summary>The newest version that this version of RaftKit knows.</summary>
    public long KnownVersion { get; }

    internal UnknownFormatException In(string location, string file) => new(What, FoundVersion, KnownVersion, $"{file} in {location}");
}
