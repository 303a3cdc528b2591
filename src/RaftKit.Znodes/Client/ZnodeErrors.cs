using RaftKit.Znodes.Sessions;
using RaftKit.Znodes.Tree;

namespace RaftKit.Znodes;

/// <summary>Refusals of the tree, as exceptions that say what to do.</summary>
internal static class ZnodeErrors
{
    public static Exception Of(ZnodeError error, string path, TreeCommand command, LocalSession session)
    {
        var what = command switch
        {
            TreeCommand.Create => "create",
            TreeCommand.Set => "set",
            TreeCommand.Delete => "delete",
            TreeCommand.Check => "check",
            _ => "multi",
        };
        return error switch
        {
            ZnodeError.SessionExpired => new SessionExpiredException(
                session.Id, $"Session {session.Id:x} has ended: the {what} was refused and changed nothing. Open a new session."),
            ZnodeError.SessionMoved => new SessionDetachedException(
                session.Id, moved: true,
                $"Session {session.Id:x} was taken up through another connection: the {what} was refused and changed nothing."),
            ZnodeError.NoNode => new ZnodeException(error, path, command is TreeCommand.Create
                ? $"Cannot create {path}: its parent does not exist. Create the parent first."
                : $"Cannot {what} {path}: there is no such znode."),
            ZnodeError.NodeExists => new ZnodeException(error, path, $"Cannot create {path}: it exists."),
            ZnodeError.BadVersion => new ZnodeException(
                error, path, $"Cannot {what} {path}: its version is not {Expected(command)}. Read it again and decide anew."),
            ZnodeError.NotEmpty => new ZnodeException(error, path, $"Cannot delete {path}: it has children. Delete them first."),
            ZnodeError.NoChildrenForEphemerals =>
                new ZnodeException(error, path, $"Cannot create {path}: its parent is ephemeral and can have no children."),
            _ => new ZnodeException(error, path, $"Cannot {what} {path}: {error}."),
        };
    }

    public static void ThrowUnlessValid(string path, CreateMode mode = CreateMode.Persistent, string name = "path")
    {
        ArgumentNullException.ThrowIfNull(path, name);
        string? reason;
        var valid = mode is CreateMode.EphemeralSequential or CreateMode.PersistentSequential
            ? ZnodePath.IsValidSequential(path, out reason)
            : ZnodePath.IsValid(path, out reason);
        if (!valid)
            throw new ArgumentException($"The path '{path}' {reason}.", name);
    }

    /// <summary>Refuses what must not reach the log: it could then neither be applied nor refused everywhere.</summary>
    public static void ThrowIfTooBig(TreeCommand command, string path)
    {
        if (ZnodeLimits.Check(command) is { } reason)
            throw new ZnodeException(ZnodeError.BadArguments, path, reason);
    }

    private static int Expected(TreeCommand command) => command switch
    {
        TreeCommand.Set set => set.ExpectedVersion,
        TreeCommand.Delete delete => delete.ExpectedVersion,
        TreeCommand.Check check => check.ExpectedVersion,
        _ => TreeCommand.AnyVersion,
    };
}
