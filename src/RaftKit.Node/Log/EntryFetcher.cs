using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>Reads entries back from where they stand: neighbours in one read, and every page and record checked again.</summary>
internal static class EntryFetcher
{
    // Between two entries that still count there may lie others that were cut; beyond this it is cheaper to read twice.
    private const int LongestGap = 16 * PageFormat.PayloadPerPage;

    public static void Fetch(string location, LogIndex from, List<EntryPlace> places, List<Entry> into)
    {
        var at = 0;
        while (at < places.Count)
        {
            var end = at + 1;
            var bytes = places[at].Length;
            while (end < places.Count && Follows(places[end - 1], places[end]))
                bytes += places[end++].Length;
            FetchRun(location, from + at, System.Runtime.InteropServices.CollectionsMarshal.AsSpan(places)[at..end], bytes, into);
            at = end;
        }
    }

    private static bool Follows(in EntryPlace before, in EntryPlace place) =>
        place.Segment == before.Segment && place.Offset > before.Offset && place.Offset - before.Offset - before.Length <= LongestGap;

    private static void FetchRun(string location, LogIndex from, ReadOnlySpan<EntryPlace> run, int recordBytes, List<Entry> into)
    {
        var segment = run[0].Segment;
        var firstPage = run[0].Offset / PageFormat.PayloadPerPage;
        var lastPage = (run[^1].Offset + run[^1].Length - 1) / PageFormat.PayloadPerPage;
        var pages = lastPage - firstPage + 1;
        var raw = ArrayPool<byte>.Shared.Rent(pages * PageFormat.PageSize);
        var payload = ArrayPool<byte>.Shared.Rent(pages * PageFormat.PayloadPerPage);
        try
        {
            ReadPages(location, segment, firstPage, raw.AsSpan(0, pages * PageFormat.PageSize), payload);
            // One array for all payloads of the run; the rented ones go back.
            var kept = new byte[recordBytes];
            var used = 0;
            for (var i = 0; i < run.Length; i++)
            {
                var start = run[i].Offset - firstPage * PageFormat.PayloadPerPage;
                var entry = Decode(location, segment, firstPage, from + i, payload.AsMemory(start, run[i].Length));
                entry.Payload.CopyTo(kept.AsMemory(used));
                into.Add(entry with { Payload = kept.AsMemory(used, entry.Payload.Length) });
                used += entry.Payload.Length;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(raw);
            ArrayPool<byte>.Shared.Return(payload);
        }
    }

    private static void ReadPages(string location, Segment segment, int firstPage, Span<byte> raw, Span<byte> payload)
    {
        var read = segment.File.Read((long)firstPage * PageFormat.PageSize, raw);
        for (var page = 0; page * PageFormat.PageSize < raw.Length; page++)
        {
            var offset = page * PageFormat.PageSize;
            var problem = $"the file ends after {read} of {raw.Length} bytes";
            if (offset + PageFormat.PageSize > read
                || PageFormat.Inspect(
                    raw.Slice(offset, PageFormat.PageSize), segment.Number, firstPage + page, out _, out problem) != PageState.Good)
                throw SegmentScan.Corrupt(location, segment.Number, (long)(firstPage + page) * PageFormat.PageSize, problem);
            PageFormat.CopyPayload(raw.Slice(offset, PageFormat.PageSize), payload[(page * PageFormat.PayloadPerPage)..]);
        }
    }

    private static Entry Decode(string location, Segment segment, int firstPage, LogIndex index, ReadOnlyMemory<byte> record)
    {
        try
        {
            var records = new MessagePackReader(record);
            var body = RecordReader.Open(ref records, out var kind);
            if (kind != RecordKind.Entry)
                throw new MessagePackSerializationException($"a {kind} record stands where entry {index} should");
            var entry = RecordReader.Entry(ref body);
            return entry.Index == index
                ? entry
                : throw new MessagePackSerializationException($"entry {entry.Index} stands where entry {index} should");
        }
        catch (MessagePackSerializationException wrong)
        {
            throw SegmentScan.Corrupt(location, segment.Number, (long)firstPage * PageFormat.PageSize, wrong.Message);
        }
    }
}
