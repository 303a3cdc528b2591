using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>
/// Reads records back. Whatever is wrong with one throws <see cref="MessagePackSerializationException"/>; its caller says where it stood.
/// </summary>
internal static class RecordReader
{
    /// <summary>Checks the next record's sum, and gives a reader of its body, behind the kind.</summary>
    public static MessagePackReader Open(ref MessagePackReader records, out RecordKind kind)
    {
        records.ReadArrayHeader(2);
        var body = records.ReadBytesMemory();
        var expected = records.ReadUInt32();
        var actual = Crc32C.Of(body.Span);
        if (actual != expected)
            throw new MessagePackSerializationException($"a record's checksum is {actual:x8}, not {expected:x8}");

        var reader = new MessagePackReader(body);
        var fields = reader.ReadArrayHeader();
        kind = (RecordKind)reader.ReadByte();
        // A newer format may have other fields in its header; that it is newer is said first.
        if (kind == RecordKind.SegmentHeader
            && new MessagePackReader(body[(int)reader.Consumed..]).ReadInt32() is var version and not RecordWriter.FormatVersion)
            throw new UnknownFormatException("log format", version, RecordWriter.FormatVersion);
        var known = kind switch
        {
            RecordKind.SegmentHeader => 11,
            RecordKind.HardState => 3,
            RecordKind.Entry => 6,
            RecordKind.Truncate => 2,
            RecordKind.Reset => 6,
            RecordKind.PeerBoot => 4,
            RecordKind.RottenEnd => 3,
            _ => throw new UnknownFormatException("record kind", (int)kind, (int)RecordKind.RottenEnd),
        };
        if (fields != known)
            throw new MessagePackSerializationException($"a {kind} record of {fields} fields, where this version knows {known}");
        return reader;
    }

    public static SegmentHeader Header(ref MessagePackReader body)
    {
        // The format, which Open checked.
        body.ReadInt32();
        var segment = body.ReadInt64();
        var pages = body.ReadInt32();
        var previous = new LogPosition(body.ReadInt64(), body.ReadInt32(), body.ReadInt64());
        var nextIndex = new LogIndex(body.ReadInt64());
        var term = new Term(body.ReadInt64());
        var vote = new MemberId(body.ReadInt32());
        // Whoever follows the segments back goes to older ones only, and ends.
        if (pages < 1 || previous.Segment < 0 || previous.Segment >= segment || previous.EndPage < 0 || previous.Batch < 0
            || nextIndex < new LogIndex(1))
            throw new MessagePackSerializationException(
                $"a header of segment {segment} with {pages} pages, after page {previous.EndPage} of segment {previous.Segment}, before entry {nextIndex}");
        var boots = new PeerBoot[body.ReadArrayHeader()];
        for (var i = 0; i < boots.Length; i++)
        {
            body.ReadArrayHeader(3);
            boots[i] = Boot(ref body);
        }
        return new SegmentHeader(segment, pages, previous, nextIndex, term, vote, boots);
    }

    /// <summary>The entry; its payload is a slice of what is being read.</summary>
    public static Entry Entry(ref MessagePackReader body)
    {
        var term = new Term(body.ReadInt64());
        var index = new LogIndex(body.ReadInt64());
        var kind = (EntryKind)body.ReadByte();
        if (kind is not (EntryKind.NoOp or EntryKind.Command or EntryKind.Membership))
            throw new UnknownFormatException("entry kind", (int)kind, (int)EntryKind.Membership);
        return new Entry(term, index, kind, body.ReadInt64(), body.ReadBytesMemory());
    }

    public static LogEnd End(ref MessagePackReader body) => new(new LogIndex(body.ReadInt64()), new Term(body.ReadInt64()));

    public static PeerBoot Boot(ref MessagePackReader body) => new(new MemberId(body.ReadInt32()), body.ReadInt32(), body.ReadInt64());

    public static void WriteMark(ref MessagePackWriter writer, SnapshotMark mark)
    {
        writer.Write(mark.Index.Value);
        writer.Write(mark.Term.Value);
        writer.Write(mark.Stamp);
        writer.Write(MembershipCodec.Encode(mark.Membership));
        writer.Write(mark.Length);
    }

    public static SnapshotMark Mark(ref MessagePackReader body)
    {
        var index = new LogIndex(body.ReadInt64());
        var term = new Term(body.ReadInt64());
        var stamp = body.ReadInt64();
        if (!MembershipCodec.TryDecode(body.ReadBytesMemory().Span, out var membership))
            throw new MessagePackSerializationException($"the membership of the snapshot at {index} cannot be read");
        return new SnapshotMark(index, term, stamp, membership, body.ReadInt64());
    }
}
