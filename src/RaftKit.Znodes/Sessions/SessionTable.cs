using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Znodes.Sessions;

/// <summary>The sessions that live, replicated: the same on every member at the same index.</summary>
internal sealed class SessionTable
{
    private const int SessionsPerFrame = 1024;

    private Dictionary<long, Session> _sessions = [];

    public int Count => _sessions.Count;

    public IEnumerable<Session> All => _sessions.Values;

    /// <summary>Equal on all members at the same index, in whatever order the sessions came.</summary>
    public ulong Digest
    {
        get
        {
            var digest = 0UL;
            foreach (var session in _sessions.Values)
            {
                var hash = Mix((ulong)session.Id, (ulong)session.TimeoutMilliseconds);
                hash = Mix(hash, (ulong)session.Member.Value);
                hash = Mix(hash, (ulong)session.LastActive.Value);
                hash = Mix(hash, ((ulong)session.SpentMilliseconds << 1) | (session.Extended ? 1UL : 0));
                hash = Mix(hash,
                    session.Host is { } host ? Mix((ulong)host.Member.Value, Mix((ulong)host.Incarnation, (ulong)host.Boot)) : 0);
                foreach (var part in session.Password.Span)
                    hash = Mix(hash, part);
                digest += hash;
            }
            return digest;
        }
    }

    public bool TryGet(long id, [NotNullWhen(true)] out Session? session) => _sessions.TryGetValue(id, out session);

    public void Add(Session session)
    {
        var added = _sessions.TryAdd(session.Id, session);
        Invariant.Holds(added, $"session {session.Id} was opened twice");
    }

    public bool Remove(long id, [NotNullWhen(true)] out Session? session) => _sessions.Remove(id, out session);

    /// <summary>The sessions as they are now, to be written frame by frame while applying goes on.</summary>
    public Session[] Capture()
    {
        var copies = new Session[_sessions.Count];
        var at = 0;
        foreach (var session in _sessions.Values)
            copies[at++] = session.Copy();
        return copies;
    }

    /// <summary>Writes the next frame of a capture.</summary>
    /// <returns>Where the next one begins.</returns>
    public static int WriteFrame(Session[] capture, int from, IBufferWriter<byte> frame)
    {
        var end = Math.Min(capture.Length, from + SessionsPerFrame);
        var writer = new MessagePackWriter(frame);
        writer.WriteArrayHeader(end - from);
        for (var i = from; i < end; i++)
        {
            var session = capture[i];
            writer.WriteArrayHeader(9);
            writer.Write(session.Id);
            writer.Write(session.TimeoutMilliseconds);
            SessionFields.WriteHost(ref writer, session.Host);
            writer.Write(session.Password.Span);
            writer.Write(session.OpenedAt);
            writer.Write(session.Member.Value);
            writer.Write(session.LastActive.Value);
            writer.Write(session.SpentMilliseconds);
            writer.Write(session.Extended);
        }
        writer.Flush();
        return end;
    }

    public static void ReadFrame(ReadOnlyMemory<byte> frame, Dictionary<long, Session> into)
    {
        var reader = new MessagePackReader(frame);
        for (var left = reader.ReadArrayHeader(); left > 0; left--)
        {
            reader.ReadArrayHeader(9);
            var session = new Session
            {
                Id = reader.ReadInt64(),
                TimeoutMilliseconds = reader.ReadInt32(),
                Host = SessionFields.ReadHost(ref reader),
                Password = reader.ReadBytesMemory().ToArray(),
                OpenedAt = reader.ReadInt64(),
                Member = new MemberId(reader.ReadInt32()),
                LastActive = new LogIndex(reader.ReadInt64()),
                SpentMilliseconds = reader.ReadInt32(),
                Extended = reader.ReadBoolean(),
            };
            into.Add(session.Id, session);
        }
    }

    public void Replace(Dictionary<long, Session> sessions) => _sessions = sessions;

    private static ulong Mix(ulong hash, ulong value)
    {
        // SplitMix64's finalizer: every bit of the input reaches every bit of the sum.
        var x = (hash ^ value) + 0x9E3779B97F4A7C15UL;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9UL;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBUL;
        return x ^ (x >> 31);
    }
}
