using RaftKit.Node.Reads;

namespace RaftKit.Znodes;

/// <summary>
/// An application's session with the quorum: its door to write, to read in order with its own writes and events, to own ephemerals, and to
/// watch. Any thread may call any method, also inside a watch callback. Calls take effect in the order in which they were made.
/// <para>Writes complete when they are applied on this member, after every event that they and earlier changes caused was queued. A write
/// throws <see cref="ZnodeException"/> when the tree refused it, <see cref="RaftKit.Node.Proposals.NotAppliedException"/> when it was
/// surely not applied (a call that is refused because too many wait is told so at once, before the earlier ones are answered), <see
/// cref="RaftKit.Node.Proposals.OutcomeUnknownException"/> when that cannot be told, <see cref="SessionExpiredException"/> when the session
/// ended. Cancelling stops the wait, not the write.</para> <para>Reads are local to this member and sequentially consistent: they never go
/// back in time, wait for the session's own earlier calls, and complete after every earlier event was queued. Call <see cref="SyncAsync"/>
/// first for a linearizable read. <see cref="IZnodeView.ReadAsync"/> has every other kind, outside of the session's order.</para>
/// </summary>
public interface IZnodeSession : IAsyncDisposable
{
    /// <summary>The session's id; 0 before it is open.</summary>
    long Id { get; }

    /// <summary>How long the quorum waits for a silent session before it expires it.</summary>
    TimeSpan Timeout { get; }

    /// <summary>What is known of it now.</summary>
    SessionState State { get; }

    /// <summary>Cancelled when the session has ended, or when so much time passed without an answer that it may have.</summary>
    CancellationToken Expired { get; }

    /// <summary>Waits until the session is open.</summary>
    Task OpenedAsync(CancellationToken cancellationToken = default);

    /// <summary>Creates a znode; the result's path has the sequence number of a sequential one.</summary>
    Task<Znode> CreateAsync(
        string path, ReadOnlyMemory<byte> data = default, CreateMode mode = CreateMode.Persistent,
        CancellationToken cancellationToken = default);

    /// <summary>Sets data if the version is the expected one (-1: any).</summary>
    Task<ZnodeStat> SetAsync(
        string path, ReadOnlyMemory<byte> data, int expectedVersion = -1, CancellationToken cancellationToken = default);

    /// <summary>Deletes a znode if the version is the expected one (-1: any).</summary>
    Task DeleteAsync(string path, int expectedVersion = -1, CancellationToken cancellationToken = default);

    /// <summary>Applies all operations under one zxid, or none. A refusal is in the result, not an exception.</summary>
    Task<MultiResult> MultiAsync(IReadOnlyList<ZnodeOperation> operations, CancellationToken cancellationToken = default);

    /// <summary>Reads a znode; null if there is none.</summary>
    /// <param name="path">Its path.</param>
    /// <param name="watch">
    /// Told once, by the next event of <see cref="WatchMode.Data"/> (also when there is no znode yet), in the same moment as the read.
    /// </param>
    /// <param name="cancellationToken">Stops the wait; a watch that was set stays.</param>
    Task<Znode?> GetAsync(string path, Action<WatchEvent>? watch = null, CancellationToken cancellationToken = default);

    /// <summary>Reads a znode's metadata; null if there is none.</summary>
    Task<ZnodeStat?> ExistsAsync(string path, Action<WatchEvent>? watch = null, CancellationToken cancellationToken = default);

    /// <summary>Reads a znode's children; null if there is no such znode.</summary>
    Task<ZnodeChildren?> GetChildrenAsync(string path, Action<WatchEvent>? watch = null, CancellationToken cancellationToken = default);

    /// <summary>
    /// Completes when everything acknowledged to anybody before the call is applied on this member: a read after it is linearizable.
    /// </summary>
    /// <returns>The zxid of the last change applied.</returns>
    Task<long> SyncAsync(CancellationToken cancellationToken = default);

    /// <summary>
    /// Watches with a callback, from the changes after the returned task's completion on, until it is disposed (or once, for a one-shot
    /// mode).
    /// </summary>
    Task<IAsyncDisposable> WatchAsync(
        string path, WatchMode mode, Action<WatchEvent> callback, CancellationToken cancellationToken = default);

    /// <summary>
    /// A stream of events of a path (and all below it, if recursive), in zxid order, without a gap, also over failovers. It begins after
    /// <paramref name="afterZxid"/> (null: now) and fails with <see cref="WatchCompactedException"/> when the history no longer reaches
    /// back to it. A reader that falls too far behind fails likewise, and can start over.
    /// </summary>
    IAsyncEnumerable<WatchEvent> EventsAsync(
        string path, bool recursive = true, long? afterZxid = null, CancellationToken cancellationToken = default);

    /// <summary>Closes the session: its ephemerals are removed at once.</summary>
    Task CloseAsync(CancellationToken cancellationToken = default);
}

/// <summary>The history no longer reaches back to where a stream was to begin. Read the state, then stream from its zxid.</summary>
public sealed class WatchCompactedException : Exception
{
    private readonly Lazy<IReadOnlyList<Znode>> _state;

    /// <summary>Tells that a stream cannot begin where it was to.</summary>
    /// <param name="requestedZxid">Where it was to begin.</param>
    /// <param name="oldestZxid">Where one can begin.</param>
    /// <param name="state">What it watches.</param>
    /// <param name="zxid">As of when.</param>
    /// <param name="message">What to do.</param>
    public WatchCompactedException(long requestedZxid, long oldestZxid, IReadOnlyList<Znode> state, long zxid, string message)
        : this(requestedZxid, oldestZxid, () => state, zxid, message)
    {
    }

    // A large state is put in order by whoever reads it, not by the loop.
    internal WatchCompactedException(long requestedZxid, long oldestZxid, Func<IReadOnlyList<Znode>> state, long zxid, string message)
        : base(message)
    {
        (RequestedZxid, OldestZxid, Zxid) = (requestedZxid, oldestZxid, zxid);
        _state = new Lazy<IReadOnlyList<Znode>>(state);
    }

    /// <summary>Where the stream was to begin.</summary>
    public long RequestedZxid { get; }

    /// <summary>The oldest zxid from which a stream can begin.</summary>
    public long OldestZxid { get; }

    /// <summary>A consistent copy of what the stream watches, as of <see cref="Zxid"/>, in ordinal order of paths.</summary>
    public IReadOnlyList<Znode> State => _state.Value;

    /// <summary>Resume after this.</summary>
    public long Zxid { get; }
}

/// <summary>
/// Reads of this member's copy of the tree: immediate, from any thread, without waiting for anybody, also while there is no leader. Each
/// read sees whole entries only (never half a multi) and carries the zxid that it saw; it is not ordered with a session's events. <see
/// cref="ReadAsync"/> waits until the copy is as new as it is asked to be.
/// </summary>
public interface IZnodeView
{
    /// <summary>The zxid of the last change applied on this member.</summary>
    long Zxid { get; }

    /// <summary>Reads a znode; null if there is none.</summary>
    Znode? Get(string path);

    /// <summary>Reads a znode's children; null if there is no such znode.</summary>
    ZnodeChildren? GetChildren(string path);

    /// <summary>How many znodes there are, the root included.</summary>
    int Count { get; }

    /// <summary>A digest of the whole tree; equal on all members at the same zxid.</summary>
    (ulong Digest, long Zxid) Digest { get; }

    /// <summary>
    /// Reads that see what they ask for: everything that was acknowledged, as much as a session has seen (through whichever member), or
    /// what is not older than a bound. All that one query reads is of one moment: it runs on the node's loop, between two changes. Keep it
    /// short, and read nothing but the view that it is given.
    /// </summary>
    /// <param name="query">Reads what is wanted of this member's copy. It may run twice.</param>
    /// <param name="consistency">What it must see.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>What the query returned, and what it is worth.</returns>
    /// <exception cref="StaleReadException">The read allows a bounded staleness, and nobody could confirm it.</exception>
    /// <exception cref="RaftKit.Node.Proposals.NotAppliedException">
    /// The node stopped before it could answer, or too many reads wait already.
    /// </exception>
    /// <exception cref="OperationCanceledException">The wait was cancelled.</exception>
    Task<ReadResult<TResult>> ReadAsync<TResult>(
        Func<IZnodeView, TResult> query, ReadConsistency consistency, CancellationToken cancellationToken = default);
}

/// <summary>Opens sessions that live in this process.</summary>
public interface IZnodeSessions
{
    /// <summary>Begins to open a session; await <see cref="IZnodeSession.OpenedAsync"/> or just use it.</summary>
    /// <param name="timeout">How long it survives silence of this process; null: the configured default.</param>
    /// <exception cref="RaftKit.Node.Proposals.NotAppliedException">The node is too busy: too many calls wait for it already.</exception>
    IZnodeSession Open(TimeSpan? timeout = null);

    /// <summary>The tree as this member holds it.</summary>
    IZnodeView View { get; }
}
