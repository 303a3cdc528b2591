using System.Buffers;
using RaftKit.Node.Encoding;

namespace RaftKit.Znodes.Sessions;

/// <summary>What sessions' parts of two members say to each other. The numbers are on the wire: never change one.</summary>
internal enum SessionMessageKind : byte
{
    /// <summary>To the leader: these sessions live.</summary>
    Keepalive = 1,

    /// <summary>From the leader: these keepalives of that round count.</summary>
    Answer = 2,

    /// <summary>From a leader: it judges from now on, so say at once who lives.</summary>
    Judging = 3,
}

/// <summary>An array: kind, round, session ids.</summary>
internal readonly record struct SessionMessage(SessionMessageKind Kind, long Round, IReadOnlyList<long> Sessions)
{
    /// <summary>More are sent as several messages, well below the transport's limit.</summary>
    public const int MaxSessions = 4096;

    public byte[] Encode()
    {
        var buffer = new ArrayBufferWriter<byte>(16 + (Sessions.Count * 9));
        var writer = new MessagePackWriter(buffer);
        writer.WriteArrayHeader(3);
        writer.Write((int)Kind);
        writer.Write(Round);
        writer.WriteArrayHeader(Sessions.Count);
        foreach (var session in Sessions)
            writer.Write(session);
        writer.Flush();
        return buffer.WrittenSpan.ToArray();
    }

    /// <exception cref="MessagePackSerializationException">It is no such message.</exception>
    public static SessionMessage Decode(ReadOnlyMemory<byte> payload)
    {
        var reader = new MessagePackReader(payload);
        reader.ReadArrayHeader(3);
        var kind = (SessionMessageKind)reader.ReadByte();
        var round = reader.ReadInt64();
        var count = reader.ReadArrayHeader();
        if (count > MaxSessions)
            throw new MessagePackSerializationException($"A session message names {count} sessions; at most {MaxSessions} are allowed.");
        var sessions = new long[count];
        for (var i = 0; i < count; i++)
            sessions[i] = reader.ReadInt64();
        return new SessionMessage(kind, round, sessions);
    }
}
