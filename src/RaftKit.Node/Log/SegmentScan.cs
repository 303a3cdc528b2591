using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>A batch found whole.</summary>
internal readonly record struct ScannedBatch(long Number, int FirstPage, int Pages);

/// <summary>What one segment's file holds: its whole batches up to the first that is not, and what its pages say of other batches.</summary>
internal sealed class SegmentScan
{
    private const int PagesPerRead = 64;

    private SegmentScan(long number, ILogFile file, int pages)
    {
        Number = number;
        File = file;
        Pages = pages;
    }

    public long Number { get; }

    public ILogFile File { get; }

    /// <summary>How many pages the file has.</summary>
    public int Pages { get; }

    /// <summary>The whole batches, with numbers one after the other, from the segment's first page on.</summary>
    public List<ScannedBatch> Batches { get; } = [];

    /// <summary>The page behind the last whole batch.</summary>
    public int EndPage => Batches.Count == 0 ? 0 : Batches[^1].FirstPage + Batches[^1].Pages;

    /// <summary>Why the batch at <see cref="EndPage"/> is not whole: the first page of it that is missing, and what is there instead.</summary>
    public string? Break { get; private set; }

    /// <summary>The page that <see cref="Break"/> speaks of.</summary>
    public int BreakPage { get; private set; }

    /// <summary>Whether every byte is zero: prepared, never used.</summary>
    public bool IsUnused { get; private set; } = true;

    /// <summary>The last batch that any page here knew to be durable.</summary>
    public long Floor { get; private set; }

    /// <summary>The highest batch number of any page.</summary>
    public long LastBatch { get; private set; }

    /// <summary>Reads the segment up to the page, and refuses rot. What counts as torn, and whether it may be cut, is the caller's to say.</summary>
    /// <exception cref="LogCorruptException">A page was written and is not what was written.</exception>
    public static SegmentScan Read(string location, long number, ILogFile file, int? endPage = null)
    {
        var length = file.Length;
        // A segment gets its name when it is filled to its end, so that no crash leaves one of odd length.
        if (length < PageFormat.PageSize || length % PageFormat.PageSize != 0 || length / PageFormat.PageSize > int.MaxValue / PageFormat.PageSize)
            throw Corrupt(location, number, length, $"the file has {length} bytes, which is no whole number of pages: it was cut");

        var scan = new SegmentScan(number, file, (int)(length / PageFormat.PageSize));
        var last = endPage ?? scan.Pages;
        if (last > scan.Pages)
            throw Corrupt(location, number, length, $"the segment after it counts on {last} pages, the file has only {scan.Pages}");

        var buffer = new byte[PagesPerRead * PageFormat.PageSize];
        var walk = new Walk();
        for (var page = 0; page < last; page += PagesPerRead)
        {
            var wanted = Math.Min(PagesPerRead, last - page) * PageFormat.PageSize;
            if (file.Read((long)page * PageFormat.PageSize, buffer.AsSpan(0, wanted)) != wanted)
                throw Corrupt(location, number, (long)page * PageFormat.PageSize, $"the file ended while {wanted} bytes were read");
            for (var at = 0; at < wanted; at += PageFormat.PageSize)
                scan.Take(location, buffer.AsSpan(at, PageFormat.PageSize), page + at / PageFormat.PageSize, ref walk);
        }
        scan.Finish(walk, last);
        return scan;
    }

    /// <summary>The payload of a whole batch, in one piece.</summary>
    public byte[] ReadBatch(ScannedBatch batch)
    {
        var raw = new byte[batch.Pages * PageFormat.PageSize];
        File.Read((long)batch.FirstPage * PageFormat.PageSize, raw);
        var payload = new byte[batch.Pages * PageFormat.PayloadPerPage];
        var used = 0;
        for (var page = 0; page < batch.Pages; page++)
        {
            var bytes = raw.AsSpan(page * PageFormat.PageSize, PageFormat.PageSize);
            Invariant.Holds(
                PageFormat.Inspect(bytes, Number, batch.FirstPage + page, out var header, out _) == PageState.Good,
                $"page {batch.FirstPage + page} of segment {Number} read back differently a moment later");
            PageFormat.CopyPayload(bytes, payload.AsSpan(page * PageFormat.PayloadPerPage));
            used += header.Used;
        }
        Array.Resize(ref payload, used);
        return payload;
    }

    /// <summary>The segment's first record.</summary>
    public SegmentHeader ReadHeader(string location)
    {
        try
        {
            var records = new MessagePackReader(ReadBatch(Batches[0]));
            var body = RecordReader.Open(ref records, out var kind);
            if (kind != RecordKind.SegmentHeader)
                throw new MessagePackSerializationException($"its first record is a {kind}");
            var header = RecordReader.Header(ref body);
            if (header.Segment != Number)
                throw new MessagePackSerializationException($"it says that it is segment {header.Segment}");
            if (header.Pages != Pages)
                throw new MessagePackSerializationException($"it was made with {header.Pages} pages, the file has {Pages}: it was cut");
            return header;
        }
        catch (MessagePackSerializationException wrong)
        {
            throw Corrupt(location, Number, 0, wrong.Message);
        }
    }

    public static LogCorruptException Corrupt(string location, long segment, long offset, string what) => new(
        $"Segment {segment} in {location}: {what}, at offset {offset}. This is corruption, not a torn tail: nothing was cut. "
        + "While a majority of the other members is healthy, empty this directory and let the member join anew.");

    private void Take(string location, ReadOnlySpan<byte> bytes, int page, ref Walk walk)
    {
        var state = PageFormat.Inspect(bytes, Number, page, out var header, out var problem);
        if (state == PageState.Rotten)
            throw Corrupt(location, Number, (long)page * PageFormat.PageSize, problem);
        IsUnused &= state == PageState.Empty;
        if (state == PageState.Good)
        {
            Floor = Math.Max(Floor, header.Floor);
            LastBatch = Math.Max(LastBatch, header.Batch);
        }
        if (Break is not null)
            return;

        if (state != PageState.Good)
        {
            StopAt(page, problem);
            return;
        }
        var expected = Batches.Count == 0 && walk.Seen == 0 ? header.Batch : walk.Seen > 0 ? walk.Number : Batches[^1].Number + 1;
        if (header.Batch != expected || header.PageInBatch != walk.Seen || (walk.Seen > 0 && header.PagesInBatch != walk.Pages))
        {
            StopAt(page, $"page {header.PageInBatch} of batch {header.Batch} stands where page {walk.Seen} of batch {expected} should");
            return;
        }
        walk.Number = header.Batch;
        walk.Pages = header.PagesInBatch;
        walk.Seen++;
        if (walk.Seen == walk.Pages)
        {
            Batches.Add(new ScannedBatch(walk.Number, page + 1 - walk.Pages, walk.Pages));
            walk.Seen = 0;
        }
    }

    private void Finish(in Walk walk, int end)
    {
        if (Break is null && walk.Seen > 0)
            StopAt(end, $"batch {walk.Number} ends after {walk.Seen} of {walk.Pages} pages");
    }

    private void StopAt(int page, string why)
    {
        Break = why;
        BreakPage = page;
    }

    // The batch being gathered: how many of its pages were seen.
    private struct Walk
    {
        public long Number;
        public int Pages;
        public int Seen;
    }
}
