using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Transport;
using RaftKit.Znodes.Tree;

namespace RaftKit.Znodes.Sessions;

/// <summary>What a znode command in the log is. The numbers are on disk: never change one.</summary>
internal enum SessionCommandKind : byte
{
    Open = 1,
    Close = 2,
    Expire = 3,
    Reattach = 4,
    Checkpoint = 5,
    Tree = 6,
}

/// <summary>
/// Writes the commands of the znode state machine: an array that begins with the kind. <see cref="ZnodeStateMachine"/> reads them.
/// </summary>
internal static class SessionCommand
{
    /// <summary>Every member clamps to the same limits, whatever its options say.</summary>
    public const int MinTimeoutMilliseconds = 50, MaxTimeoutMilliseconds = 24 * 60 * 60 * 1000;

    public const int PasswordLength = 16;

    public static ReadOnlyMemory<byte> Open(int timeoutMilliseconds, MemberId member, ProposerId? host, ReadOnlySpan<byte> password)
    {
        var buffer = new ArrayBufferWriter<byte>(64);
        var writer = Begin(buffer, SessionCommandKind.Open, 4);
        writer.Write(timeoutMilliseconds);
        writer.Write(member.Value);
        SessionFields.WriteHost(ref writer, host);
        writer.Write(password);
        return End(ref writer, buffer);
    }

    /// <param name="session">Which.</param>
    /// <param name="via">
    /// For a client's session, the member that it is attached through: refused once it is attached through another.
    /// </param>
    public static ReadOnlyMemory<byte> Close(long session, MemberId via = default)
    {
        var buffer = new ArrayBufferWriter<byte>(16);
        var writer = Begin(buffer, SessionCommandKind.Close, via.IsNone ? 1 : 2);
        writer.Write(session);
        WriteVia(ref writer, via);
        return End(ref writer, buffer);
    }

    /// <param name="session">Whom.</param>
    /// <param name="asOf">The last index applied when the leader judged: anything of the session after it voids this.</param>
    /// <param name="cause">Why.</param>
    /// <param name="died">
    /// For <see cref="SessionEnd.HostDied"/>, the process that is gone: the session must live in it or an older one.
    /// </param>
    public static ReadOnlyMemory<byte> Expire(long session, LogIndex asOf, SessionEnd cause, ProposerId? died)
    {
        var buffer = new ArrayBufferWriter<byte>(32);
        var writer = Begin(buffer, SessionCommandKind.Expire, 4);
        writer.Write(session);
        writer.Write(asOf.Value);
        writer.Write((int)cause);
        SessionFields.WriteHost(ref writer, died);
        return End(ref writer, buffer);
    }

    public static ReadOnlyMemory<byte> Reattach(long session, MemberId member, ReadOnlySpan<byte> password)
    {
        var buffer = new ArrayBufferWriter<byte>(40);
        var writer = Begin(buffer, SessionCommandKind.Reattach, 3);
        writer.Write(session);
        writer.Write(member.Value);
        writer.Write(password);
        return End(ref writer, buffer);
    }

    public static ReadOnlyMemory<byte> Checkpoint(LogIndex asOf, IReadOnlyList<SessionCheckpoint> checkpoints)
    {
        var buffer = new ArrayBufferWriter<byte>(16 + (checkpoints.Count * 16));
        var writer = Begin(buffer, SessionCommandKind.Checkpoint, 2);
        writer.Write(asOf.Value);
        writer.WriteArrayHeader(checkpoints.Count * 3);
        foreach (var checkpoint in checkpoints)
        {
            writer.Write(checkpoint.Session);
            writer.Write(checkpoint.SpentMilliseconds);
            writer.Write(checkpoint.Extended);
        }
        return End(ref writer, buffer);
    }

    /// <param name="session">Whose.</param>
    /// <param name="command">What.</param>
    /// <param name="sizeHint">About how many bytes it takes.</param>
    /// <param name="via">
    /// For a client's session, the member that it is attached through: refused once it is attached through another.
    /// </param>
    public static ReadOnlyMemory<byte> Tree(long session, TreeCommand command, int sizeHint, MemberId via = default)
    {
        var buffer = new ArrayBufferWriter<byte>(sizeHint);
        var writer = Begin(buffer, SessionCommandKind.Tree, via.IsNone ? 2 : 3);
        writer.Write(session);
        TreeCommandCodec.Write(ref writer, command);
        WriteVia(ref writer, via);
        return End(ref writer, buffer);
    }

    private static void WriteVia(ref MessagePackWriter writer, MemberId via)
    {
        if (!via.IsNone)
            writer.Write(via.Value);
    }

    private static MessagePackWriter Begin(IBufferWriter<byte> buffer, SessionCommandKind kind, int fields)
    {
        var writer = new MessagePackWriter(buffer);
        writer.WriteArrayHeader(fields + 1);
        writer.Write((int)kind);
        return writer;
    }

    private static ReadOnlyMemory<byte> End(ref MessagePackWriter writer, ArrayBufferWriter<byte> buffer)
    {
        writer.Flush();
        return buffer.WrittenMemory;
    }
}

/// <summary>A session's silence, as logged.</summary>
internal readonly record struct SessionCheckpoint(long Session, int SpentMilliseconds, bool Extended);

/// <summary>Fields that commands and snapshots share.</summary>
internal static class SessionFields
{
    public static void WriteHost(ref MessagePackWriter writer, ProposerId? host)
    {
        if (host is not { } process)
        {
            writer.WriteNil();
            return;
        }
        writer.WriteArrayHeader(3);
        writer.Write(process.Member.Value);
        writer.Write(process.Incarnation);
        writer.Write(process.Boot);
    }

    public static ProposerId? ReadHost(ref MessagePackReader reader)
    {
        if (reader.TryReadNil())
            return null;
        reader.ReadArrayHeader(3);
        return new ProposerId(new MemberId(reader.ReadInt32()), reader.ReadInt32(), reader.ReadInt64());
    }
}
