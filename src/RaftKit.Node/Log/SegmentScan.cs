using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>A batch found whole.</summary>
internal readonly record struct ScannedBatch(long Number, int FirstPage, int Pages);

/// <summary>What one segment's file holds: its whole batches up to the first that is not, and what its pages say of other batches.</summary>
internal sealed class SegmentScan
{
    private const int PagesPerRead = 64;

    private readonly string _location;
    private readonly SegmentDamage? _damage;

    private SegmentScan(string location, long number, ILogFile file, int pages, SegmentDamage? damage)
    {
        _location = location;
        Number = number;
        File = file;
        Pages = pages;
        _damage = damage;
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

    /// <summary>The page behind the last one of which anything was written.</summary>
    public int WrittenPages { get; private set; }

    /// <summary>The last batch that any page here knew to be durable.</summary>
    public long Floor { get; private set; }

    /// <summary>The highest batch number of any page.</summary>
    public long LastBatch { get; private set; }

    /// <summary>Reads the segment up to the page. What counts as torn, and whether it may be cut, is the caller's to say.</summary>
    /// <param name="location">The directory, for messages.</param>
    /// <param name="number">The segment.</param>
    /// <param name="file">Its file.</param>
    /// <param name="endPage">Where the segment after it says that this one ends; null reads all of it.</param>
    /// <param name="damage">Takes what is not as it was written, and the reading goes on; null refuses it.</param>
    /// <exception cref="LogCorruptException">A page was written and is not what was written.</exception>
    /// <exception cref="UnknownFormatException">A page was written by a newer version.</exception>
    public static SegmentScan Read(string location, long number, ILogFile file, int? endPage = null, SegmentDamage? damage = null)
    {
        var length = file.Length;
        var pages = (int)Math.Min(length / PageFormat.PageSize, int.MaxValue / PageFormat.PageSize);
        var scan = new SegmentScan(location, number, file, pages, damage);
        // A segment gets its name when it is filled to its end, so that no crash leaves one of odd length.
        if (pages == 0 || length != (long)pages * PageFormat.PageSize)
            scan.Refuse(LogProblemKind.CutFile, pages, $"the file has {length} bytes, which is no whole number of pages: it was cut");
        var last = endPage ?? pages;
        if (last > pages)
        {
            scan.Refuse(LogProblemKind.CutFile, pages, $"the segment after it counts on {last} pages, the file has only {pages}");
            last = pages;
        }

        var buffer = new byte[Math.Min(PagesPerRead, last) * PageFormat.PageSize];
        var walk = new Walk();
        for (var page = 0; page < last; page += PagesPerRead)
        {
            damage?.Cancellation.ThrowIfCancellationRequested();
            var wanted = Math.Min(PagesPerRead, last - page) * PageFormat.PageSize;
            if (file.Read((long)page * PageFormat.PageSize, buffer.AsSpan(0, wanted)) != wanted)
            {
                scan.Refuse(LogProblemKind.CutFile, page, $"the file ended while {wanted} bytes were read");
                last = page;
                break;
            }
            for (var at = 0; at < wanted; at += PageFormat.PageSize)
                scan.Take(buffer.AsSpan(at, PageFormat.PageSize), page + at / PageFormat.PageSize, ref walk);
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
            var header = DecodeHeader();
            if (header.Pages != Pages)
                throw new MessagePackSerializationException($"it was made with {header.Pages} pages, the file has {Pages}: it was cut");
            return header;
        }
        catch (MessagePackSerializationException wrong)
        {
            throw Corrupt(location, Number, 0, wrong.Message);
        }
        catch (UnknownFormatException unknown)
        {
            throw unknown.In(location, Segment.NameOf(Number));
        }
    }

    /// <summary>The segment's first record, as it is; the file may be shorter than that says.</summary>
    /// <exception cref="MessagePackSerializationException">It is none.</exception>
    /// <exception cref="UnknownFormatException">A newer version wrote it.</exception>
    public SegmentHeader DecodeHeader()
    {
        var records = new MessagePackReader(ReadBatch(Batches[0]));
        var body = RecordReader.Open(ref records, out var kind);
        if (kind != RecordKind.SegmentHeader)
            throw new MessagePackSerializationException($"its first record is a {kind}");
        var header = RecordReader.Header(ref body);
        return header.Segment == Number ? header : throw new MessagePackSerializationException($"it says that it is segment {header.Segment}");
    }

    public static LogCorruptException Corrupt(string location, long segment, long offset, string what) => new(
        $"Segment {segment} in {location}: {what}, at offset {offset}. This is corruption, not a torn tail: nothing was cut. "
        + "While a majority of the other members is healthy, empty this directory and let the member join anew.");

    private void Take(ReadOnlySpan<byte> bytes, int page, ref Walk walk)
    {
        var state = PageFormat.Inspect(bytes, Number, page, out var header, out var problem);
        switch (state)
        {
            case PageState.UnknownFormat when _damage is null:
                throw new UnknownFormatException("page format", bytes[1], PageFormat.Version).In(_location, Segment.NameOf(Number));
            case PageState.UnknownFormat:
                Refuse(LogProblemKind.UnknownFormat, page, problem);
                break;
            case PageState.Misdirected:
                Refuse(LogProblemKind.Misdirected, page, problem);
                break;
            case PageState.Rotten:
                Refuse(LogProblemKind.Rot, page, problem);
                break;
        }
        IsUnused &= state == PageState.Empty;
        if (state != PageState.Empty)
            WrittenPages = page + 1;
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

    private void Refuse(LogProblemKind kind, int page, string what)
    {
        if (_damage is null)
            throw Corrupt(_location, Number, (long)page * PageFormat.PageSize, what);
        _damage.Add(kind, page, what);
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
