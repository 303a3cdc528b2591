using System.Buffers.Binary;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>
/// The page: what the log writes, whole, and never again once it is durable. 4096 bytes in eight sectors of 512, the unit of a disk's
/// writing. Every sector begins and ends with the segment's stamp, which is never zero, in a file that was filled with zeros before: so
/// a sector of zeros was never written, one with a zero at one end was cut short (both torn), and anything else that fails is rot.
/// README.md has the layout byte for byte.
/// </summary>
internal static class PageFormat
{
    public const int PageSize = 4096;
    public const int SectorSize = 512;
    public const int SectorsPerPage = PageSize / SectorSize;
    public const int HeaderSize = 44;

    /// <summary>Payload bytes of one page: everything but the header, in which the first stamp is, and the other stamps.</summary>
    public const int PayloadPerPage = PageSize - HeaderSize - (2 * SectorsPerPage - 1);

    /// <summary>Where a sector's payload ends: before its second stamp.</summary>
    public const int SectorPayloadEnd = SectorSize - 1;

    public const byte Version = 1;
    private const int ChecksumOffset = 4;

    /// <summary>
    /// Bytes that differ between neighbouring segments and have two bits set at least, so that no single flipped bit, and no inverted
    /// byte, turns a stamp into a zero.
    /// </summary>
    public static byte StampOf(long segment) => (byte)(0xc0 | (int)(segment % 63));

    /// <summary>Fills in the header, the stamps and the checksum of a page whose payload stands.</summary>
    public static void Seal(Span<byte> page, in PageHeader header)
    {
        var stamp = StampOf(header.Segment);
        for (var sector = 0; sector < PageSize; sector += SectorSize)
            page[sector] = page[sector + SectorPayloadEnd] = stamp;
        page[1] = Version;
        BinaryPrimitives.WriteUInt16LittleEndian(page[2..], (ushort)header.Used);
        BinaryPrimitives.WriteInt64LittleEndian(page[8..], header.Segment);
        BinaryPrimitives.WriteInt64LittleEndian(page[16..], header.Batch);
        BinaryPrimitives.WriteInt64LittleEndian(page[24..], header.Floor);
        BinaryPrimitives.WriteInt32LittleEndian(page[32..], header.Page);
        BinaryPrimitives.WriteInt32LittleEndian(page[36..], header.PageInBatch);
        BinaryPrimitives.WriteInt32LittleEndian(page[40..], header.PagesInBatch);
        BinaryPrimitives.WriteUInt32LittleEndian(page[ChecksumOffset..], Checksum(page));
    }

    /// <summary>What became of the page that stands at this place in this segment.</summary>
    public static PageState Inspect(ReadOnlySpan<byte> page, long segment, int pageNumber, out PageHeader header, out string problem)
    {
        header = default;
        problem = "";
        var stamp = StampOf(segment);
        var unwritten = 0;
        var cut = 0;
        var smudged = 0;
        for (var at = 0; at < PageSize; at += SectorSize)
        {
            var first = page[at];
            var last = page[at + SectorPayloadEnd];
            if (first == stamp && last == stamp)
                continue;
            if (!page.Slice(at, SectorSize).ContainsAnyExcept((byte)0))
            {
                unwritten++;
                continue;
            }
            if (first == 0 && last == 0)
            {
                smudged++;
                continue;
            }
            if (!((first == stamp && last == 0) || (first == 0 && last == stamp)))
            {
                problem = $"sector {at / SectorSize} is stamped 0x{first:x2} and 0x{last:x2}, the segment's stamp is 0x{stamp:x2}";
                return PageState.Rotten;
            }
            cut++;
        }
        if (smudged > 0)
        {
            // No write leaves a page without a single stamp: these bits flipped where nothing was ever written.
            problem = $"{smudged} of {SectorsPerPage} sectors have no stamp and are not zeros";
            return smudged + unwritten == SectorsPerPage ? PageState.Smudged : PageState.Rotten;
        }
        if (unwritten + cut > 0)
        {
            problem = unwritten == SectorsPerPage
                ? "never written"
                : $"of {SectorsPerPage} sectors, {unwritten} were never written and {cut} cut short";
            return unwritten == SectorsPerPage ? PageState.Empty : PageState.Torn;
        }

        var expected = BinaryPrimitives.ReadUInt32LittleEndian(page[ChecksumOffset..]);
        if (Checksum(page) != expected)
        {
            problem = "checksum mismatch";
            return PageState.Rotten;
        }

        // The version and the checksum stand in the same places in every format: what else does, a newer one may have changed.
        if (page[1] != Version)
        {
            problem = $"page format {page[1]}, of which this version knows only {Version}";
            return PageState.UnknownFormat;
        }
        header = new PageHeader(
            BinaryPrimitives.ReadInt64LittleEndian(page[8..]),
            BinaryPrimitives.ReadInt64LittleEndian(page[16..]),
            BinaryPrimitives.ReadInt64LittleEndian(page[24..]),
            BinaryPrimitives.ReadInt32LittleEndian(page[32..]),
            BinaryPrimitives.ReadInt32LittleEndian(page[36..]),
            BinaryPrimitives.ReadInt32LittleEndian(page[40..]),
            BinaryPrimitives.ReadUInt16LittleEndian(page[2..]));
        if (header.Segment != segment || header.Page != pageNumber)
        {
            problem = $"it was written for segment {header.Segment}, page {header.Page}: a misdirected write";
            return PageState.Misdirected;
        }
        if (header.Used > PayloadPerPage || header.PagesInBatch < 1 || (uint)header.PageInBatch >= (uint)header.PagesInBatch)
        {
            problem = "its header contradicts itself";
            return PageState.Rotten;
        }
        return PageState.Good;
    }

    /// <summary>Whether a page that is not whole names this place all the same.</summary>
    public static bool SaysThatItBelongs(ReadOnlySpan<byte> page, long segment, int pageNumber) =>
        BinaryPrimitives.ReadInt64LittleEndian(page[8..]) == segment && BinaryPrimitives.ReadInt32LittleEndian(page[32..]) == pageNumber;

    /// <summary>Takes the payload out of a page: everything that is neither header nor stamp, used or not.</summary>
    public static void CopyPayload(ReadOnlySpan<byte> page, Span<byte> into)
    {
        page[HeaderSize..SectorPayloadEnd].CopyTo(into);
        var at = SectorPayloadEnd - HeaderSize;
        for (var sector = SectorSize; sector < PageSize; sector += SectorSize)
        {
            page[(sector + 1)..(sector + SectorPayloadEnd)].CopyTo(into[at..]);
            at += SectorSize - 2;
        }
    }

    private static uint Checksum(ReadOnlySpan<byte> page) => Crc32C.Of(page[..ChecksumOffset], page[(ChecksumOffset + sizeof(uint))..]);
}

/// <summary>What is found in a page's place.</summary>
internal enum PageState
{
    /// <summary>All zeros: never written.</summary>
    Empty,

    /// <summary>Whole, and what it says agrees with where it stands.</summary>
    Good,

    /// <summary>Some sectors were written, others never or not to their end: a write that was cut short.</summary>
    Torn,

    /// <summary>Never written, and yet not all zeros: bits flipped where nothing was.</summary>
    Smudged,

    /// <summary>Written, and not what was written.</summary>
    Rotten,

    /// <summary>Whole, and written for another place: as bad as rot.</summary>
    Misdirected,

    /// <summary>Whole, and in a format that this version does not know.</summary>
    UnknownFormat,
}

/// <summary>What a page says of itself.</summary>
/// <param name="Segment">The segment it was written for.</param>
/// <param name="Batch">Its batch; numbers grow through the whole log.</param>
/// <param name="Floor">The last batch that was known to be durable when this one was written: it and all before it must be whole.</param>
/// <param name="Page">Its place in the segment.</param>
/// <param name="PageInBatch">Its place in its batch.</param>
/// <param name="PagesInBatch">How many pages its batch has.</param>
/// <param name="Used">How many payload bytes it holds; all of them but in the batch's last page.</param>
internal readonly record struct PageHeader(long Segment, long Batch, long Floor, int Page, int PageInBatch, int PagesInBatch, int Used);
