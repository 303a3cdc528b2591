namespace RaftKit.Node.Log;

/// <summary>
/// Lays a batch's records over pages: a stream of bytes, interrupted by headers and sector stamps. Reused from batch to batch.
/// </summary>
internal sealed class PageBuffer
{
    private const int KeptBytes = 4 << 20;
    private byte[] _bytes = new byte[16 * PageFormat.PageSize];
    private int _at;

    /// <summary>Payload bytes so far: the place of the next record within the batch.</summary>
    public int Position { get; private set; }

    public int Pages => Math.Max(1, (Position + PageFormat.PayloadPerPage - 1) / PageFormat.PayloadPerPage);

    public void Begin()
    {
        if (_bytes.Length > KeptBytes)
            _bytes = new byte[16 * PageFormat.PageSize];
        _at = PageFormat.HeaderSize;
        Position = 0;
    }

    public void Append(ReadOnlySpan<byte> bytes)
    {
        Position = checked(Position + bytes.Length);
        if (_bytes.Length < Pages * PageFormat.PageSize)
            Array.Resize(ref _bytes, Math.Max(Pages * PageFormat.PageSize, checked(_bytes.Length * 2)));

        while (!bytes.IsEmpty)
        {
            var inSector = _at % PageFormat.SectorSize;
            if (inSector == PageFormat.SectorPayloadEnd)
            {
                _at += 1 + ((_at + 1) % PageFormat.PageSize == 0 ? PageFormat.HeaderSize : 1);
                continue;
            }
            var sectorLeft = PageFormat.SectorPayloadEnd - inSector;
            var count = Math.Min(sectorLeft, bytes.Length);
            bytes[..count].CopyTo(_bytes.AsSpan(_at));
            bytes = bytes[count..];
            _at += count;
        }
    }

    /// <summary>Seals the pages for their place, and gives their bytes: valid until the next batch begins.</summary>
    public ReadOnlySpan<byte> Seal(long segment, int firstPage, long batch, long floor)
    {
        var pages = Pages;
        var all = _bytes.AsSpan(0, pages * PageFormat.PageSize);
        all[_at..].Clear();
        for (var page = 0; page < pages; page++)
        {
            var used = Math.Min(PageFormat.PayloadPerPage, Position - page * PageFormat.PayloadPerPage);
            var header = new PageHeader(segment, batch, floor, firstPage + page, page, pages, used);
            PageFormat.Seal(all.Slice(page * PageFormat.PageSize, PageFormat.PageSize), header);
        }
        return all;
    }
}
