namespace RaftKit.Znodes;

/// <summary>How a znode is created. The values are ZooKeeper's create flags.</summary>
public enum CreateMode
{
    /// <summary>Stays until it is deleted.</summary>
    Persistent = 0,

    /// <summary>Removed when the session that created it closes or expires. Has no children.</summary>
    Ephemeral = 1,

    /// <summary>As <see cref="Persistent"/>, with the parent's create counter appended to its name as ten digits.</summary>
    PersistentSequential = 2,

    /// <summary>As <see cref="Ephemeral"/>, with the parent's create counter appended to its name as ten digits.</summary>
    EphemeralSequential = 3,
}

/// <summary>A znode's metadata, field for field ZooKeeper's Stat.</summary>
/// <param name="CreatedZxid">czxid: the zxid of its creation.</param>
/// <param name="ModifiedZxid">mzxid: the zxid of the last change of its data.</param>
/// <param name="CreatedTime">ctime: the leader's time of its creation, milliseconds since the Unix epoch.</param>
/// <param name="ModifiedTime">mtime: likewise, of the last change of its data.</param>
/// <param name="Version">How often its data changed.</param>
/// <param name="ChildrenVersion">cversion: how many children were created and deleted.</param>
/// <param name="AclVersion">aversion: how often its access list changed.</param>
/// <param name="EphemeralOwner">The session that owns it; 0 if it is not ephemeral.</param>
/// <param name="DataLength">Bytes of data.</param>
/// <param name="ChildCount">numChildren.</param>
/// <param name="ChildrenZxid">pzxid: the zxid of the last creation or deletion of a child.</param>
public readonly record struct ZnodeStat(
    long CreatedZxid, long ModifiedZxid, long CreatedTime, long ModifiedTime, int Version, int ChildrenVersion, int AclVersion,
    long EphemeralOwner, int DataLength, int ChildCount, long ChildrenZxid);

/// <summary>A znode as read.</summary>
/// <param name="Path">Its path.</param>
/// <param name="Data">Its data; never changed afterwards.</param>
/// <param name="Stat">Its metadata.</param>
/// <param name="Zxid">The last change that the tree held when it was read.</param>
public sealed record Znode(string Path, ReadOnlyMemory<byte> Data, ZnodeStat Stat, long Zxid);

/// <summary>The children of a znode as read.</summary>
/// <param name="Path">The parent.</param>
/// <param name="Names">The children's names, not paths, in ordinal order.</param>
/// <param name="Stat">The parent's metadata.</param>
/// <param name="Zxid">The last change that the tree held when they were read.</param>
public sealed record ZnodeChildren(string Path, IReadOnlyList<string> Names, ZnodeStat Stat, long Zxid);

/// <summary>Why an operation on the tree was refused. The values are ZooKeeper's error codes.</summary>
public enum ZnodeError
{
    /// <summary>It was not refused.</summary>
    None = 0,

    /// <summary>Another operation of the same multi failed; this one was not tried or was rolled back.</summary>
    RuntimeInconsistency = -2,

    /// <summary>The path or an argument is malformed.</summary>
    BadArguments = -8,

    /// <summary>The znode, or the parent to create it under, does not exist.</summary>
    NoNode = -101,

    /// <summary>Access is denied.</summary>
    NoAuth = -102,

    /// <summary>The znode's version is not the expected one.</summary>
    BadVersion = -103,

    /// <summary>The parent is ephemeral.</summary>
    NoChildrenForEphemerals = -108,

    /// <summary>The znode exists.</summary>
    NodeExists = -110,

    /// <summary>The znode has children.</summary>
    NotEmpty = -111,

    /// <summary>The session expired or was closed.</summary>
    SessionExpired = -112,

    /// <summary>The session was taken up through another connection.</summary>
    SessionMoved = -118,
}

/// <summary>An operation was applied, and refused by the tree's rules: nothing was changed by it.</summary>
public sealed class ZnodeException(ZnodeError error, string path, string message) : Exception(message)
{
    /// <summary>Why.</summary>
    public ZnodeError Error { get; } = error;

    /// <summary>The path it was about.</summary>
    public string Path { get; } = path;
}

/// <summary>The session has ended: its ephemerals are removed. Open a new one.</summary>
public sealed class SessionExpiredException(long sessionId, string message) : Exception(message)
{
    /// <summary>The session.</summary>
    public long SessionId { get; } = sessionId;
}

/// <summary>One operation of a <see cref="IZnodeSession.MultiAsync"/>.</summary>
public abstract record ZnodeOperation
{
    private ZnodeOperation()
    {
    }

    /// <summary>Creates a znode.</summary>
    public sealed record Create(string Path, ReadOnlyMemory<byte> Data, CreateMode Mode = CreateMode.Persistent) : ZnodeOperation;

    /// <summary>Sets data if the version is the expected one (-1: any).</summary>
    public sealed record Set(string Path, ReadOnlyMemory<byte> Data, int ExpectedVersion = -1) : ZnodeOperation;

    /// <summary>Deletes a znode if the version is the expected one (-1: any).</summary>
    public sealed record Delete(string Path, int ExpectedVersion = -1) : ZnodeOperation;

    /// <summary>Checks that the version is the expected one (-1: that it exists).</summary>
    public sealed record Check(string Path, int ExpectedVersion = -1) : ZnodeOperation;
}

/// <summary>What one operation of a multi came to.</summary>
/// <param name="Error">None if it succeeded.</param>
/// <param name="Path">The path, with the sequence number if it was sequential.</param>
/// <param name="Stat">The metadata after it; default for delete and check.</param>
public readonly record struct ZnodeOperationResult(ZnodeError Error, string Path, ZnodeStat Stat);

/// <summary>What a multi came to: all of it, or none.</summary>
/// <param name="Zxid">The zxid that all its changes share.</param>
/// <param name="Results">One for each operation, in order.</param>
public sealed record MultiResult(long Zxid, IReadOnlyList<ZnodeOperationResult> Results)
{
    /// <summary>Whether everything was applied; otherwise nothing was.</summary>
    public bool Succeeded => Results.All(r => r.Error == ZnodeError.None);
}

/// <summary>What happened to a znode. The values are ZooKeeper's event types.</summary>
public enum WatchEventType
{
    /// <summary>The watched znode was created.</summary>
    Created = 1,

    /// <summary>The watched znode was deleted.</summary>
    Deleted = 2,

    /// <summary>Its data changed.</summary>
    DataChanged = 3,

    /// <summary>A child of it was created or deleted.</summary>
    ChildrenChanged = 4,
}

/// <summary>An event.</summary>
/// <param name="Type">What happened.</param>
/// <param name="Path">To which znode.</param>
/// <param name="Zxid">By which change.</param>
public readonly record struct WatchEvent(WatchEventType Type, string Path, long Zxid);

/// <summary>What a watch hears, and how long.</summary>
public enum WatchMode
{
    /// <summary>The next creation, deletion or change of data, once.</summary>
    Data,

    /// <summary>The next creation or deletion of a child, or the deletion of the znode, once.</summary>
    Children,

    /// <summary>Every creation, deletion, change of data and of children of this path.</summary>
    Persistent,

    /// <summary>
    /// Every creation, deletion and change of data of this path and all below it; no <see cref="WatchEventType.ChildrenChanged"/>.
    /// </summary>
    PersistentRecursive,
}

/// <summary>The state of a session as its owner can know it.</summary>
public enum SessionState
{
    /// <summary>Not open yet.</summary>
    Connecting,

    /// <summary>The quorum answers for it.</summary>
    Connected,

    /// <summary>The quorum has not answered for it lately: its ephemerals may be gone.</summary>
    Suspended,

    /// <summary>It ended, for good.</summary>
    Expired,
}
