using System.Text;

namespace RaftKit.Znodes.Tree;

/// <summary>
/// What is refused before the log. Nothing that passed here may ever be too big to apply, to answer, to snapshot or to remove
/// (ZOOKEEPER-4306), so the answer's size is bounded here as well.
/// </summary>
internal static class ZnodeLimits
{
    /// <summary>The most that a command may hold: paths and data together. ZooKeeper's jute.maxbuffer.</summary>
    public const int MaxCommandBytes = 1_048_575;

    /// <summary>The state machine's result holds at most 1 MiB; a little is left for what a session adds to it.</summary>
    public const int MaxResultBytes = 1_048_576 - 4096;

    /// <summary>Enough for an operation's encoding besides its path and data: headers, mode or version.</summary>
    private const int OperationBytes = 24;

    /// <summary>Enough for a result's encoding besides its path: a full Stat, an error and headers.</summary>
    private const int ResultBytes = 96;

    /// <summary>Refuses, with a reason to show to the caller, what must not reach the log; null if it may.</summary>
    public static string? Check(TreeCommand command)
    {
        var (flaw, commandBytes, resultBytes) = Measure(command);
        if (flaw is not null)
            return flaw;
        if (commandBytes > MaxCommandBytes)
            return $"The command holds about {commandBytes} bytes of paths and data; at most {MaxCommandBytes} are allowed. " +
                "Store less, or split it.";
        return resultBytes > MaxResultBytes
            ? $"The answer could take about {resultBytes} bytes; at most {MaxResultBytes} are allowed. Split the multi."
            : null;
    }

    /// <summary>About how many bytes a command and its answer take, never fewer than their encodings; or what is wrong with it.</summary>
    public static (string? Flaw, long CommandBytes, long ResultBytes) Measure(TreeCommand command)
    {
        long commandBytes = 0, resultBytes = 0;
        if (command is not TreeCommand.Multi multi)
            return (Add(command, ref commandBytes, ref resultBytes), commandBytes, resultBytes);

        commandBytes += OperationBytes;
        foreach (var operation in multi.Operations)
            if (Add(operation, ref commandBytes, ref resultBytes) is { } flaw)
                return (flaw, commandBytes, resultBytes);
        return (null, commandBytes, resultBytes);
    }

    private static string? Add(TreeCommand operation, ref long commandBytes, ref long resultBytes)
    {
        var (path, data) = operation switch
        {
            TreeCommand.Create create => (create.Path, create.Data.Length),
            TreeCommand.Set set => (set.Path, set.Data.Length),
            TreeCommand.Delete delete => (delete.Path, 0),
            TreeCommand.Check check => (check.Path, 0),
            _ => (null, 0),
        };
        if (path is null)
            return operation is TreeCommand.Multi ? "A multi holds a multi; they do not nest." : "The path is null.";
        // Half a surrogate pair has no UTF-8: the log could not give back the path that was asked for.
        if (!IsText(path))
            return "The path is not text: it holds half of a surrogate pair.";

        var pathBytes = Encoding.UTF8.GetByteCount(path);
        commandBytes += OperationBytes + pathBytes + data;
        resultBytes += ResultBytes + pathBytes + SequenceNumber.MaxLength;
        return null;
    }

    private static bool IsText(string path)
    {
        for (var i = 0; i < path.Length; i++)
        {
            if (!char.IsSurrogate(path[i]))
                continue;
            if (i + 1 == path.Length || !char.IsSurrogatePair(path[i], path[i + 1]))
                return false;
            i++;
        }
        return true;
    }
}
