using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Transport;

/// <summary>
/// The consensus core's messages: [kind, from, to, term, durable batch, ...]. Which fields follow, and how many, stands in one line each
/// below; the reader takes them in the same order.
/// </summary>
internal static class RaftMessageCodec
{
    // kind, from, to, term, durable batch
    private const int Head = 5;

    public static void Write(ref MessagePackWriter writer, Message message, long durableBatch)
    {
        switch (message)
        {
            case VoteRequest m:
                WriteHead(ref writer, FrameKind.VoteRequest, 4, m, durableBatch);
                writer.Write(m.PreVote);
                writer.Write(m.LastIndex);
                writer.Write(m.LastTerm);
                writer.Write(m.Transfer);
                break;
            case VoteReply m:
                WriteHead(ref writer, FrameKind.VoteReply, 2, m, durableBatch);
                writer.Write(m.PreVote);
                writer.Write(m.Granted);
                break;
            case AppendRequest m:
                WriteHead(ref writer, FrameKind.AppendRequest, 4, m, durableBatch);
                writer.Write(m.PreviousIndex);
                writer.Write(m.PreviousTerm);
                writer.Write(m.Commit);
                WriteEntries(ref writer, m);
                break;
            case AppendReply m:
                WriteHead(ref writer, FrameKind.AppendReply, 5, m, durableBatch);
                writer.Write(m.Accepted);
                writer.Write(m.Index);
                writer.Write(m.HintIndex);
                writer.Write(m.HintTerm);
                writer.Write(m.HasRot);
                break;
            case Heartbeat m:
                WriteHead(ref writer, FrameKind.Heartbeat, 3, m, durableBatch);
                writer.Write(m.Commit);
                writer.Write(m.ReadToken);
                writer.Write(m.Promise.Ticks);
                break;
            case HeartbeatReply m:
                WriteHead(ref writer, FrameKind.HeartbeatReply, 2, m, durableBatch);
                writer.Write(m.ReadToken);
                writer.Write(m.Promised);
                break;
            case ReadIndexRequest m:
                WriteHead(ref writer, FrameKind.ReadIndexRequest, 2, m, durableBatch);
                writer.Write(m.Token);
                writer.Write(m.ByLease);
                break;
            case ReadIndexReply m:
                WriteHead(ref writer, FrameKind.ReadIndexReply, 4, m, durableBatch);
                writer.Write(m.Token);
                writer.Write(m.Refused);
                writer.Write(m.Index);
                writer.Write(m.ByLease);
                break;
            case SnapshotChunk m:
                WriteHead(ref writer, FrameKind.SnapshotChunk, 4, m, durableBatch);
                WriteMark(ref writer, m.Snapshot);
                writer.Write(m.Offset);
                writer.Write(m.Checksum);
                writer.Write(m.Data.Span);
                break;
            case SnapshotReply m:
                WriteHead(ref writer, FrameKind.SnapshotReply, 3, m, durableBatch);
                writer.Write(m.SnapshotIndex);
                writer.Write(m.NextOffset);
                writer.Write(m.Installed);
                break;
            case ObserveRequest m:
                WriteHead(ref writer, FrameKind.ObserveRequest, 5, m, durableBatch);
                writer.Write(m.LastIndex);
                writer.Write(m.LastTerm);
                writer.Write(m.Again);
                writer.Write(m.IsProbe);
                writer.Write(m.IsInstalling);
                break;
            case ObserveReply m:
                WriteHead(ref writer, FrameKind.ObserveReply, 4, m, durableBatch);
                writer.Write(m.Leader);
                writer.Write(m.Commit);
                writer.Write(m.IsProbe);
                writer.Write(m.Diverged);
                break;
            case TimeoutNow m:
                WriteHead(ref writer, FrameKind.TimeoutNow, 0, m, durableBatch);
                break;
            default:
                throw new InvariantBrokenException(
                    $"The codec knows no {message.GetType().Name}: every message of the core needs a frame kind.");
        }
    }

    public static Message Read(ref MessagePackReader reader, FrameKind kind, int elements, ReadOnlyMemory<byte> body, out long durableBatch)
    {
        if (elements != Head + FieldsOf(kind))
            throw new MalformedFrameException($"A {kind} has {Head + FieldsOf(kind)} elements, this one has {elements}.");
        var from = reader.ReadMember();
        var to = reader.ReadMember();
        var term = reader.ReadTerm();
        durableBatch = reader.ReadNotNegative("batch number");
        return kind switch
        {
            FrameKind.VoteRequest => new VoteRequest
            {
                From = from, To = to, Term = term, PreVote = reader.ReadBoolean(), LastIndex = reader.ReadIndex(),
                LastTerm = reader.ReadTerm(), Transfer = reader.ReadBoolean(),
            },
            FrameKind.VoteReply => new VoteReply
            {
                From = from, To = to, Term = term, PreVote = reader.ReadBoolean(), Granted = reader.ReadBoolean(),
            },
            FrameKind.AppendRequest => ReadAppend(ref reader, from, to, term),
            FrameKind.AppendReply => new AppendReply
            {
                From = from, To = to, Term = term, Accepted = reader.ReadBoolean(), Index = reader.ReadIndex(),
                HintIndex = reader.ReadIndex(), HintTerm = reader.ReadTerm(), HasRot = reader.ReadBoolean(),
            },
            FrameKind.Heartbeat => new Heartbeat
            {
                From = from, To = to, Term = term, Commit = reader.ReadIndex(), ReadToken = reader.ReadUInt64(),
                Promise = new TimeSpan(reader.ReadNotNegative("promise")),
            },
            FrameKind.HeartbeatReply => new HeartbeatReply
            {
                From = from, To = to, Term = term, ReadToken = reader.ReadUInt64(), Promised = reader.ReadBoolean(),
            },
            FrameKind.ReadIndexRequest => new ReadIndexRequest
            {
                From = from, To = to, Term = term, Token = reader.ReadUInt64(), ByLease = reader.ReadBoolean(),
            },
            FrameKind.ReadIndexReply => new ReadIndexReply
            {
                From = from, To = to, Term = term, Token = reader.ReadUInt64(), Refused = reader.ReadBoolean(), Index = reader.ReadIndex(),
                ByLease = reader.ReadBoolean(),
            },
            FrameKind.SnapshotChunk => ReadChunk(ref reader, from, to, term, body),
            FrameKind.SnapshotReply => new SnapshotReply
            {
                From = from, To = to, Term = term, SnapshotIndex = reader.ReadIndex(), NextOffset = reader.ReadNotNegative("offset"),
                Installed = reader.ReadBoolean(),
            },
            FrameKind.ObserveRequest => new ObserveRequest
            {
                From = from, To = to, Term = term, LastIndex = reader.ReadIndex(), LastTerm = reader.ReadTerm(),
                Again = reader.ReadBoolean(),
                IsProbe = reader.ReadBoolean(), IsInstalling = reader.ReadBoolean(),
            },
            FrameKind.ObserveReply => new ObserveReply
            {
                From = from, To = to, Term = term, Leader = reader.ReadMemberOrNone(), Commit = reader.ReadIndex(),
                IsProbe = reader.ReadBoolean(),
                Diverged = reader.ReadBoolean(),
            },
            _ => new TimeoutNow { From = from, To = to, Term = term },
        };
    }

    private static int FieldsOf(FrameKind kind) => kind switch
    {
        FrameKind.ObserveRequest or FrameKind.AppendReply => 5,
        FrameKind.ObserveReply or FrameKind.VoteRequest or FrameKind.AppendRequest or FrameKind.SnapshotChunk or FrameKind.ReadIndexReply =>
            4,
        FrameKind.SnapshotReply or FrameKind.Heartbeat => 3,
        FrameKind.VoteReply or FrameKind.HeartbeatReply or FrameKind.ReadIndexRequest => 2,
        _ => 0,
    };

    private static void WriteHead(ref MessagePackWriter writer, FrameKind kind, int fields, Message message, long durableBatch)
    {
        writer.WriteArrayHeader(Head + fields);
        writer.Write((byte)kind);
        writer.Write(message.From);
        writer.Write(message.To);
        writer.Write(message.Term);
        writer.Write(durableBatch);
    }

    // An entry's index is its place after the previous one: it does not travel.
    private static void WriteEntries(ref MessagePackWriter writer, AppendRequest append)
    {
        var entries = append.Entries;
        writer.WriteArrayHeader(entries.Count);
        for (var i = 0; i < entries.Count; i++)
        {
            var entry = entries[i];
            Invariant.Holds(
                entry.Index.Value == append.PreviousIndex.Value + 1 + i,
                $"entry {entry.Index} stands at place {i} of an append that follows index {append.PreviousIndex}");
            writer.WriteArrayHeader(4);
            writer.Write(entry.Term);
            writer.Write((byte)entry.Kind);
            writer.Write(entry.Stamp);
            writer.Write(entry.Payload.Span);
        }
    }

    private static AppendRequest ReadAppend(ref MessagePackReader reader, MemberId from, MemberId to, Term term)
    {
        var previousIndex = reader.ReadIndex();
        var previousTerm = reader.ReadTerm();
        var commit = reader.ReadIndex();
        var count = reader.ReadArrayHeader();
        if (previousIndex.Value > long.MaxValue - count)
            throw new MalformedFrameException($"{count} entries after index {previousIndex} go beyond the last index there can be.");
        var entries = WireValues.ListFor<Entry>(count);
        for (var i = 0; i < count; i++)
        {
            reader.ReadArrayHeader(4);
            entries.Add(new Entry(
                reader.ReadTerm(), previousIndex + (i + 1), reader.ReadEnum<EntryKind>(), reader.ReadInt64(), reader.ReadBytesMemory()));
        }
        return new AppendRequest
        {
            From = from, To = to, Term = term, PreviousIndex = previousIndex, PreviousTerm = previousTerm, Commit = commit,
            Entries = entries,
        };
    }

    private static void WriteMark(ref MessagePackWriter writer, SnapshotMark mark)
    {
        writer.WriteArrayHeader(5);
        writer.Write(mark.Index);
        writer.Write(mark.Term);
        writer.Write(mark.Stamp);
        writer.WriteRaw(MembershipCodec.Encode(mark.Membership));
        writer.Write(mark.Length);
    }

    private static SnapshotChunk ReadChunk(ref MessagePackReader reader, MemberId from, MemberId to, Term term, ReadOnlyMemory<byte> body)
    {
        reader.ReadArrayHeader(5);
        var index = reader.ReadIndex();
        var lastTerm = reader.ReadTerm();
        var stamp = reader.ReadInt64();
        var start = (int)reader.Consumed;
        reader.Skip();
        if (!MembershipCodec.TryDecode(body.Span[start..(int)reader.Consumed], out var membership))
            throw new MalformedFrameException($"The bytes {start} to {reader.Consumed} of a snapshot's mark are not a membership.");
        var length = reader.ReadNotNegative("snapshot length");
        var offset = reader.ReadNotNegative("offset");
        var checksum = reader.ReadUInt32();
        var data = reader.ReadBytesMemory();
        if (offset > length - data.Length)
            throw new MalformedFrameException($"{data.Length} bytes at offset {offset} go beyond the end of a snapshot of {length} bytes.");
        return new SnapshotChunk
        {
            From = from, To = to, Term = term, Snapshot = new SnapshotMark(index, lastTerm, stamp, membership, length),
            Offset = offset, Data = data, Checksum = checksum,
        };
    }
}
