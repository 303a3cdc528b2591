using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>A batch found whole.</summary>
internal readonly record struct ScannedBatch(long Number, int FirstPage, int Pages);

/// <summary>
/// A part of a segment: a whole batch, or pages of batches that are not whole though they were, or may have been, durable.
/// </summary>
/// <param name="Batch">The batch; null when it is not whole.</param>
/// <param name="FirstPage">The first page.</param>
/// <param name="Pages">How many.</param>
internal readonly record struct ScannedPiece(ScannedBatch? Batch, int FirstPage, int Pages);

/// <summary>
/// What one segment's file holds: its whole batches up to the first that is not, and what its pages say of other batches.
/// </summary>
internal sealed class SegmentScan
{
    private const int PagesPerRead = 64;

    private readonly string _location;
    private readonly SegmentDamage? _damage;
    private readonly List<PageSeen> _pages = [];

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

    /// <summary>
    /// Why the batch at <see cref="EndPage"/> is not whole: the first page of it that is missing, and what is there instead.
    /// </summary>
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

        var buffer = ArrayPool<byte>.Shared.Rent(Math.Min(PagesPerRead, last) * PageFormat.PageSize);
        try
        {
            scan.Read(last, buffer);
            return scan;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private void Read(int last, byte[] buffer)
    {
        var walk = new Walk();
        for (var page = 0; page < last; page += PagesPerRead)
        {
            _damage?.Cancellation.ThrowIfCancellationRequested();
            var wanted = Math.Min(PagesPerRead, last - page) * PageFormat.PageSize;
            if (File.Read((long)page * PageFormat.PageSize, buffer.AsSpan(0, wanted)) != wanted)
            {
                Refuse(LogProblemKind.CutFile, page, $"the file ended while {wanted} bytes were read");
                last = page;
                break;
            }
            for (var at = 0; at < wanted; at += PageFormat.PageSize)
                Take(buffer.AsSpan(at, PageFormat.PageSize), page + at / PageFormat.PageSize, ref walk);
        }
        Finish(walk, last);
    }

    /// <summary>
    /// The segment's batches, and what is left of those that are not whole any more, up to where the log ends. Rot is where something was
    /// written and is not what was written; what was not written to its end is torn, and ends the log, unless it is known to have been
    /// durable.
    /// </summary>
    /// <param name="floor">The last batch that is known to have been durable.</param>
    /// <param name="durableTo">All pages before this one were durable; null in the newest segment.</param>
    public List<ScannedPiece> Pieces(long floor, int? durableTo)
    {
        List<ScannedPiece> pieces = [];
        var end = durableTo ?? WrittenPages;
        // The newest batch that these pieces reach, at the least.
        long reached = 0;
        for (var page = 0; page < end;)
        {
            if (WholeBatchAt(page, end) is { } batch && (reached == 0 || batch.Number > reached)
                && (pieces is not [.., { Batch: not null }] || batch.Number == reached + 1))
            {
                pieces.Add(new ScannedPiece(batch, page, batch.Pages));
                reached = batch.Number;
                page += batch.Pages;
                continue;
            }
            var isDurable = durableTo is not null || (reached > 0 && reached < floor) || MinBatchFrom(page) <= floor;
            if (!isDurable && IsTornAt(page))
                break;
            var from = page++;
            while (page < end && !(At(page) is { State: PageState.Good, PageInBatch: 0 }) && (isDurable || !IsUnwritten(At(page))))
                page++;
            pieces.Add(new ScannedPiece(null, from, page - from));
            reached += reached > 0 ? 1 : 0;
        }
        return pieces;
    }

    /// <summary>The payload of a page, whatever its checksum says; null where nothing can be made of it.</summary>
    public byte[]? ReadDamaged(int page)
    {
        if (At(page).State is not (PageState.Good or PageState.Rotten))
            return null;
        var raw = new byte[PageFormat.PageSize];
        File.Read((long)page * PageFormat.PageSize, raw);
        // A page that was written for another place has records that are whole, and no business here.
        if (!PageFormat.SaysThatItBelongs(raw, Number, page))
            return null;
        var payload = new byte[PageFormat.PayloadPerPage];
        PageFormat.CopyPayload(raw, payload);
        return payload;
    }

    /// <summary>Whether the page surely belongs to the same batch as the one before it.</summary>
    public bool GoesOn(int page) => At(page) is { State: PageState.Good, PageInBatch: > 0 };

    private PageSeen At(int page) => page < _pages.Count ? _pages[page] : default;

    private static bool IsUnwritten(in PageSeen page) => page.State is PageState.Empty or PageState.Torn or PageState.Smudged;

    private ScannedBatch? WholeBatchAt(int page, int end)
    {
        var first = At(page);
        if (first is not { State: PageState.Good, PageInBatch: 0 } || first.PagesInBatch > end - page)
            return null;
        for (var i = 1; i < first.PagesInBatch; i++)
        {
            if (At(page + i) != first with { PageInBatch = i })
                return null;
        }
        return new ScannedBatch(first.Batch, page, first.PagesInBatch);
    }

    private long MinBatchFrom(int page)
    {
        var min = long.MaxValue;
        for (; page < _pages.Count; page++)
        {
            if (_pages[page].State == PageState.Good)
                min = Math.Min(min, _pages[page].Batch);
        }
        return min;
    }

    /// <summary>Whether the batch that should begin here was surely never written to its end.</summary>
    private bool IsTornAt(int page)
    {
        var first = At(page);
        if (IsUnwritten(first))
            return true;
        if (first is not { State: PageState.Good, PageInBatch: 0 })
            return false;
        for (var i = 1; i < first.PagesInBatch; i++)
        {
            if (IsUnwritten(At(page + i)))
                return true;
        }
        return false;
    }

    /// <summary>The payload of a whole batch, in one piece.</summary>
    /// <exception cref="UnsteadyReadException">It is not whole any more.</exception>
    public byte[] ReadBatch(ScannedBatch batch)
    {
        var bytes = batch.Pages * PageFormat.PageSize;
        // Pages are read into the one half, their payload goes into the other.
        var scratch = ArrayPool<byte>.Shared.Rent(2 * bytes);
        try
        {
            var raw = scratch.AsSpan(0, bytes);
            var payload = scratch.AsSpan(bytes);
            var read = File.Read((long)batch.FirstPage * PageFormat.PageSize, raw);
            if (read != bytes)
            {
                throw new UnsteadyReadException(
                    $"segment {Number} gave {read} bytes of the {bytes} from page {batch.FirstPage} on that it had a moment before");
            }
            var used = 0;
            for (var page = 0; page < batch.Pages; page++)
            {
                var one = raw.Slice(page * PageFormat.PageSize, PageFormat.PageSize);
                if (PageFormat.Inspect(one, Number, batch.FirstPage + page, out var header, out _) != PageState.Good)
                {
                    throw new UnsteadyReadException(
                        $"page {batch.FirstPage + page} of segment {Number} read back differently a moment later");
                }
                PageFormat.CopyPayload(one, payload[(page * PageFormat.PayloadPerPage)..]);
                used += header.Used;
            }
            return payload[..used].ToArray();
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(scratch);
        }
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

    /// <summary>The segment's first record, from the segment's first piece; null where that is not whole, and it cannot be told.</summary>
    public SegmentHeader? ReadHeader(string location, ScannedPiece first)
    {
        if (first.Batch is not null)
            return ReadHeader(location);
        if (first.FirstPage != 0 || new LogSalvage(this, first).Next(null) is not { Kind: RecordKind.SegmentHeader, IsWhole: true } record)
            return null;
        var body = new MessagePackReader(record.Body);
        var header = RecordReader.Header(ref body);
        return header.Segment == Number && header.Pages == Pages ? header : null;
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
        return header.Segment == Number
            ? header
            : throw new MessagePackSerializationException($"it says that it is segment {header.Segment}");
    }

    public static LogCorruptException Corrupt(string location, long segment, long offset, string what) => new(
        $"Segment {segment} in {location}: {what}, at offset {offset}. This is corruption, not a torn tail: nothing was cut. "
        + "While a majority of the other members is healthy, empty this directory and let the member join anew.");

    private void Take(ReadOnlySpan<byte> bytes, int page, ref Walk walk)
    {
        var state = PageFormat.Inspect(bytes, Number, page, out var header, out var problem);
        switch (state)
        {
            case PageState.UnknownFormat when _damage is not { TakesUnknownFormats: true }:
                throw new UnknownFormatException("page format", bytes[1], PageFormat.Version).In(_location, Segment.NameOf(Number));
            case PageState.UnknownFormat:
                Refuse(LogProblemKind.UnknownFormat, page, problem);
                break;
            case PageState.Misdirected:
                Refuse(LogProblemKind.Misdirected, page, problem);
                break;
            case PageState.Rotten or PageState.Smudged:
                Refuse(LogProblemKind.Rot, page, problem);
                break;
        }
        if (state != PageState.Empty)
        {
            while (_pages.Count < page)
                _pages.Add(default);
            _pages.Add(new PageSeen(state, header.Batch, header.PageInBatch, header.PagesInBatch));
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
            StopAt(page, state == PageState.Empty ? "the page was never written" : problem);
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

    // The default is a page that was never written.
    private readonly record struct PageSeen(PageState State, long Batch, int PageInBatch, int PagesInBatch);

    // The batch being gathered: how many of its pages were seen.
    private struct Walk
    {
        public long Number;
        public int Pages;
        public int Seen;
    }
}
