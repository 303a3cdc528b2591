using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>
/// Writes records into a batch's pages. A record is [body as bin, CRC32C of the body]; the body is an array that begins with the
/// record's kind. One writer per log: its scratch buffers are reused, so that an entry allocates nothing.
/// </summary>
internal sealed class RecordWriter(PageBuffer pages)
{
    public const int FormatVersion = 1;

    private readonly ArrayBufferWriter<byte> _body = new(256);
    private readonly ArrayBufferWriter<byte> _frame = new(16);

    public void Header(SegmentHeader header)
    {
        var writer = BeginBody(RecordKind.SegmentHeader, 11);
        writer.Write(FormatVersion);
        writer.Write(header.Segment);
        writer.Write(header.Pages);
        writer.Write(header.Previous.Segment);
        writer.Write(header.Previous.EndPage);
        writer.Write(header.Previous.Batch);
        writer.Write(header.NextIndex.Value);
        writer.Write(header.Term.Value);
        writer.Write(header.Vote.Value);
        writer.WriteArrayHeader(header.PeerBoots.Count);
        foreach (var boot in header.PeerBoots)
        {
            writer.WriteArrayHeader(3);
            writer.Write(boot.Member.Value);
            writer.Write(boot.Incarnation);
            writer.Write(boot.Boot);
        }
        writer.Flush();
        Append([]);
    }

    public void HardState(Term term, MemberId vote)
    {
        var writer = BeginBody(RecordKind.HardState, 3);
        writer.Write(term.Value);
        writer.Write(vote.Value);
        writer.Flush();
        Append([]);
    }

    public void Entry(in Entry entry)
    {
        var payload = entry.Payload.Span;
        var writer = BeginBody(RecordKind.Entry, 6);
        writer.Write(entry.Term.Value);
        writer.Write(entry.Index.Value);
        writer.Write((int)entry.Kind);
        writer.Write(entry.Stamp);
        writer.WriteBinHeader(payload.Length);
        writer.Flush();
        Append(payload);
    }

    public void Truncate(LogIndex from)
    {
        var writer = BeginBody(RecordKind.Truncate, 2);
        writer.Write(from.Value);
        writer.Flush();
        Append([]);
    }

    public void Reset(SnapshotMark mark)
    {
        var writer = BeginBody(RecordKind.Reset, 6);
        RecordReader.WriteMark(ref writer, mark);
        writer.Flush();
        Append([]);
    }

    public void Boot(PeerBoot boot)
    {
        var writer = BeginBody(RecordKind.PeerBoot, 4);
        writer.Write(boot.Member.Value);
        writer.Write(boot.Incarnation);
        writer.Write(boot.Boot);
        writer.Flush();
        Append([]);
    }

    public void RottenEnd(LogEnd end)
    {
        var writer = BeginBody(RecordKind.RottenEnd, 3);
        writer.Write(end.Index.Value);
        writer.Write(end.Term.Value);
        writer.Flush();
        Append([]);
    }

    private MessagePackWriter BeginBody(RecordKind kind, int fields)
    {
        _body.ResetWrittenCount();
        var writer = new MessagePackWriter(_body);
        writer.WriteArrayHeader(fields);
        writer.Write((int)kind);
        return writer;
    }

    // The payload, if any, ends the body: it goes from the caller's memory to the pages, with no copy in between.
    private void Append(ReadOnlySpan<byte> payload)
    {
        _frame.ResetWrittenCount();
        var writer = new MessagePackWriter(_frame);
        writer.WriteArrayHeader(2);
        writer.WriteBinHeader(_body.WrittenCount + payload.Length);
        writer.Flush();
        pages.Append(_frame.WrittenSpan);
        pages.Append(_body.WrittenSpan);
        pages.Append(payload);

        _frame.ResetWrittenCount();
        writer = new MessagePackWriter(_frame);
        writer.Write(Crc32C.Of(_body.WrittenSpan, payload));
        writer.Flush();
        pages.Append(_frame.WrittenSpan);
    }
}
