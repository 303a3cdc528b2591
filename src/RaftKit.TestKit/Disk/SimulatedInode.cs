namespace RaftKit.TestKit;

/// <summary>
/// A file's bytes as the page cache has them, and, for every 512-byte sector written since the last sync, what the platter still has.
/// Pages are shared between copies of a disk until one of them writes.
/// </summary>
internal sealed class SimulatedInode
{
    public const int SectorBytes = 512;
    private const int PageBytes = 4096;

    private readonly List<byte[]?> _pages = [];
    private readonly List<bool> _owned = [];

    // Sorted, because what a power cut does to each is drawn in this order. The value is the durable content; null for zeros.
    private readonly SortedDictionary<long, byte[]?> _unsynced = [];

    // After a failed fsync the kernel calls these clean and drops them from the cache at will: no later sync makes them durable.
    private readonly SortedDictionary<long, byte[]?> _lost = [];

    // What the platter cannot give back any more, by page: the cache reads whole ones.
    private readonly HashSet<long> _unreadable = [];

    public long Length { get; private set; }

    public long DurableLength { get; private set; }

    public int UnsyncedSectors => _unsynced.Count;

    public bool HasUnreadable => _unreadable.Count > 0;

    public bool IsSynced => _unsynced.Count == 0 && Length == DurableLength;

    public void SetLength(long length)
    {
        Length = length;
        var pages = (int)((length + PageBytes - 1) / PageBytes);
        while (_pages.Count < pages)
        {
            _pages.Add(null);
            _owned.Add(false);
        }
    }

    public void Write(long offset, ReadOnlySpan<byte> bytes)
    {
        if (offset + bytes.Length > Length)
            SetLength(offset + bytes.Length);
        if (!bytes.ContainsAnyExcept((byte)0) && AreZero(offset, bytes.Length))
            return;
        for (var sector = offset / SectorBytes; sector * SectorBytes < offset + bytes.Length; sector++)
        {
            if (!_unsynced.ContainsKey(sector))
                _unsynced.Add(sector, _lost.Remove(sector, out var durable) ? durable : CopySector(sector));
        }
        Put(offset, bytes);
        // The drive has another sector for what is written whole.
        var end = offset + bytes.Length;
        if (_unreadable.Count > 0)
            _unreadable.RemoveWhere(page => page * PageBytes >= offset && (page + 1) * PageBytes <= end);
    }

    /// <summary>Whether any of these bytes stand in a page that the disk cannot read.</summary>
    public bool IsUnreadable(long offset, int count) =>
        _unreadable.Count > 0 && _unreadable.Any(page => page * PageBytes < offset + count && (page + 1) * PageBytes > offset);

    /// <summary>From now on the disk cannot read this page.</summary>
    public void Spoil(long page) => _unreadable.Add(page);

    public int Read(long offset, Span<byte> into)
    {
        var count = (int)Math.Min(into.Length, Math.Max(0, Length - offset));
        into = into[..count];
        while (into.Length > 0)
        {
            var within = (int)(offset % PageBytes);
            var part = Math.Min(into.Length, PageBytes - within);
            if (_pages[(int)(offset / PageBytes)] is { } page)
                page.AsSpan(within, part).CopyTo(into);
            else
                into[..part].Clear();
            into = into[part..];
            offset += part;
        }
        return count;
    }

    public void Sync()
    {
        _unsynced.Clear();
        DurableLength = Length;
    }

    /// <summary>A sync that failed: nobody can tell which sectors reached the platter, and no later sync will write the others.</summary>
    public void FailSync(SimulatedRandom random)
    {
        foreach (var (sector, durable) in _unsynced)
        {
            if (random.Chance(0.5))
                _lost[sector] = durable;
        }
        _unsynced.Clear();
        if (random.Chance(0.5))
            DurableLength = Length;
    }

    /// <summary>The process is gone and the cache cold: what a failed sync lost shows now.</summary>
    public void ForgetLost()
    {
        foreach (var (sector, durable) in _lost)
            PutSector(sector, durable);
        _lost.Clear();
    }

    /// <summary>Power is gone: each unsynced sector is kept, dropped or torn.</summary>
    /// <returns>How many were torn, and how many dropped.</returns>
    public (int Torn, int Dropped) PowerCut(SimulatedRandom random)
    {
        ForgetLost();
        var (torn, dropped) = (0, 0);
        var length = Length > DurableLength && random.Chance(0.5) ? Length : Math.Min(Length, DurableLength);
        var keep = random.NextDouble();
        Span<byte> now = stackalloc byte[SectorBytes];
        foreach (var (sector, durable) in _unsynced)
        {
            var draw = random.NextDouble();
            if (draw < keep * 0.9)
                continue;
            if (draw < 0.9)
            {
                dropped++;
                PutSector(sector, durable);
                continue;
            }
            torn++;
            now.Clear();
            Read(sector * SectorBytes, now);
            var head = 8 * random.Between(1, (SectorBytes / 8) - 1);
            if (durable is null)
                now[head..].Clear();
            else
                durable.AsSpan(head).CopyTo(now[head..]);
            Put(sector * SectorBytes, now);
        }
        _unsynced.Clear();
        Length = length;
        DurableLength = length;
        return (torn, dropped);
    }

    /// <summary>What would be left if the power went now and every unsynced sector were lost.</summary>
    public SimulatedInode DurableCopy()
    {
        var copy = Copy();
        foreach (var (sector, durable) in _lost)
            copy.PutSector(sector, durable);
        foreach (var (sector, durable) in _unsynced)
            copy.PutSector(sector, durable);
        copy.Length = Math.Min(Length, DurableLength);
        copy.DurableLength = copy.Length;
        return copy;
    }

    public void FlipBit(long offset, int bit)
    {
        Span<byte> one = stackalloc byte[1];
        Read(offset, one);
        one[0] ^= (byte)(1 << bit);
        Put(offset, one);
    }

    /// <summary>Other bytes stand there from now on, and nobody wrote them.</summary>
    public void Overwrite(long offset, ReadOnlySpan<byte> bytes) => Put(offset, bytes);

    // A page that was never written is not even there: filling a file with zeros costs nothing.
    private bool AreZero(long offset, int length)
    {
        for (var page = offset / PageBytes; page * PageBytes < offset + length; page++)
        {
            if (_pages[(int)page] is not null)
                return false;
        }
        return true;
    }

    private SimulatedInode Copy()
    {
        var copy = new SimulatedInode();
        for (var i = 0; i < _pages.Count; i++)
        {
            copy._pages.Add(_pages[i]);
            copy._owned.Add(false);
            _owned[i] = false;
        }
        copy.Length = Length;
        copy._unreadable.UnionWith(_unreadable);
        return copy;
    }

    private byte[]? CopySector(long sector)
    {
        var at = sector * SectorBytes;
        if (at >= Length || _pages[(int)(at / PageBytes)] is null)
            return null;
        var bytes = new byte[SectorBytes];
        Read(at, bytes);
        return bytes;
    }

    private void PutSector(long sector, byte[]? bytes)
    {
        if (bytes is not null || _pages[(int)(sector * SectorBytes / PageBytes)] is not null)
            Put(sector * SectorBytes, bytes ?? new byte[SectorBytes]);
    }

    private void Put(long offset, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            var number = (int)(offset / PageBytes);
            var within = (int)(offset % PageBytes);
            var part = Math.Min(bytes.Length, PageBytes - within);
            var page = _pages[number];
            if (page is null || (!_owned[number] && part == PageBytes))
                page = _pages[number] = part == PageBytes ? GC.AllocateUninitializedArray<byte>(PageBytes) : new byte[PageBytes];
            else if (!_owned[number])
                page = _pages[number] = [.. page];
            _owned[number] = true;
            bytes[..part].CopyTo(page.AsSpan(within));
            bytes = bytes[part..];
            offset += part;
        }
    }
}
