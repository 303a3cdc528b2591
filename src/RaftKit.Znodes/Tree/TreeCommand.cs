namespace RaftKit.Znodes.Tree;

/// <summary>Under which zxid and at what time of the log (Unix milliseconds, the leader's) something is applied.</summary>
internal readonly record struct TreeStamp(long Zxid, long Time);

/// <summary>
/// A change that is asked of the tree. Data that is <c>default</c> is ZooKeeper's null, which it tells from empty. The tree copies what it
/// keeps, so data may lie in a buffer that is reused after Apply.
/// </summary>
internal abstract record TreeCommand
{
    private TreeCommand()
    {
    }

    public sealed record Create(string Path, ReadOnlyMemory<byte> Data, CreateMode Mode = CreateMode.Persistent) : TreeCommand;

    public sealed record Set(string Path, ReadOnlyMemory<byte> Data, int ExpectedVersion = AnyVersion) : TreeCommand;

    public sealed record Delete(string Path, int ExpectedVersion = AnyVersion) : TreeCommand;

    public sealed record Check(string Path, int ExpectedVersion = AnyVersion) : TreeCommand;

    /// <summary>All of them or none, in order, each seeing the ones before. They do not nest.</summary>
    public sealed record Multi(IReadOnlyList<TreeCommand> Operations) : TreeCommand;

    public const int AnyVersion = -1;

    /// <summary>The command for an operation of the public model.</summary>
    public static TreeCommand From(ZnodeOperation operation) => operation switch
    {
        ZnodeOperation.Create create => new Create(create.Path, create.Data, create.Mode),
        ZnodeOperation.Set set => new Set(set.Path, set.Data, set.ExpectedVersion),
        ZnodeOperation.Delete delete => new Delete(delete.Path, delete.ExpectedVersion),
        ZnodeOperation.Check check => new Check(check.Path, check.ExpectedVersion),
        _ => throw new ArgumentException($"{operation.GetType().Name} is no operation of the tree.", nameof(operation)),
    };
}
