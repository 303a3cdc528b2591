using RaftKit.Node.Log;

namespace RaftKit.TestKit;

/// <summary>
/// A directory on a disk that does exactly what the POSIX contract promises and no more: bytes are durable after the file's sync, names
/// after the directory's. A killed process leaves everything it wrote; a power cut keeps, drops or tears every unsynced sector by itself
/// and may lose every unsynced create, rename and delete.
/// </summary>
internal sealed class SimulatedDisk(string location, SimulatedRandom random, FaultCounters counters) : ILogDirectory
{
    private SortedDictionary<string, SimulatedInode> _names = new(StringComparer.Ordinal);
    private SortedDictionary<string, SimulatedInode> _durableNames = new(StringComparer.Ordinal);
    private HashSet<SimulatedInode> _durableInodes = [];
    private Predicate<SimulatedInode>? _isDurable;
    private readonly List<NameChange> _pending = [];
    private readonly HashSet<SimulatedInode> _touched = [];
    private bool _working;
    private bool _locked;
    private int _generation;
    private int _untilStop = -1;
    private int _untilSyncFailure = -1;
    private int _untilFailure = -1;
    private DiskCall? _failing;
    private int _untilAimed;
    private bool _failsForSpace;

    public string Location => location;

    /// <summary>
    /// The process was stopped in the middle of its work: every I/O fails until <see cref="PowerCut"/> or <see cref="ProcessDied"/>.
    /// </summary>
    public bool IsOff { get; private set; }

    /// <summary>Writes and creates fail with "no space left on device".</summary>
    public bool IsFull { get; set; }

    /// <summary>How many I/O calls were made.</summary>
    public long Operations { get; private set; }

    /// <summary>Whether everything written is synced.</summary>
    public bool IsSynced => _pending.Count == 0 && _names.Values.All(inode => inode.IsSynced);

    /// <summary>
    /// Everything that was written between <see cref="BeginWork"/> and <see cref="EndWork"/> is synced, and so are its names.
    /// </summary>
    public bool IsWorkDurable
    {
        get
        {
            // Made once: this is asked after every piece of work.
            _isDurable ??= inode => inode.IsSynced && _durableInodes.Contains(inode);
            if (_touched.Count > 0)
                _touched.RemoveWhere(_isDurable);
            return _touched.Count == 0;
        }
    }

    public void BeginWork() => _working = true;

    public void EndWork() => _working = false;

    /// <summary>The process is killed, or the power goes, at the n-th I/O call from now, before it takes effect.</summary>
    public void StopIn(int operations) => _untilStop = operations;

    /// <summary>The n-th file sync from now fails with EIO.</summary>
    public void FailSyncIn(int syncs) => _untilSyncFailure = syncs;

    /// <summary>The n-th call from now, whatever it asks and whichever process asks it, fails with EIO and has no effect.</summary>
    public void FailIn(int operations) => _untilFailure = operations;

    /// <summary>A call is going to fail.</summary>
    public bool FailsSoon => _untilFailure > 0 || _failing is not null || Failing is not null;

    /// <summary>Every call may fail; null: none does that was not named.</summary>
    public FailingDisk? Failing { get; set; }

    /// <summary>The n-th call of this kind from now fails with EIO, or with ENOSPC, and has no effect.</summary>
    public void FailNext(DiskCall call, bool noSpace, int nth = 1) => (_failing, _failsForSpace, _untilAimed) = (call, noSpace, nth);

    /// <summary>What was planned to go wrong, and has not yet, will not.</summary>
    public void Mend()
    {
        _untilStop = -1;
        _untilSyncFailure = -1;
        _untilFailure = -1;
        _failing = null;
        Failing = null;
        IsFull = false;
    }

    /// <summary>The process died: its lock is gone and its open files lead nowhere; what it wrote stays.</summary>
    public void ProcessDied()
    {
        _generation++;
        _touched.Clear();
        _working = false;
        _locked = false;
        _untilStop = -1;
        _untilSyncFailure = -1;
        IsFull = false;
        IsOff = false;
        foreach (var inode in _names.Values)
            inode.ForgetLost();
    }

    /// <summary>The power goes, and comes back.</summary>
    public void PowerCut()
    {
        ProcessDied();
        var lostNames = new HashSet<string>(StringComparer.Ordinal);
        var names = new SortedDictionary<string, SimulatedInode>(_durableNames, StringComparer.Ordinal);
        var keep = random.NextDouble();
        foreach (var change in _pending)
        {
            // A later change of a name cannot survive one before it that was lost.
            if (!random.Chance(keep) || change.Touches.Any(lostNames.Contains))
            {
                lostNames.UnionWith(change.Touches);
                counters.Coverage.Struck(change.Lost);
            }
            else
                change.ApplyTo(names);
        }
        _pending.Clear();
        _names = names;
        foreach (var inode in _names.Values.Distinct())
        {
            var unsynced = inode.UnsyncedSectors;
            var (torn, dropped) = inode.PowerCut(random);
            counters.Torn += torn;
            counters.Coverage.Struck(MenuItem.SectorDropped, dropped);
            counters.Coverage.Struck(MenuItem.SectorKept, unsynced - torn - dropped);
        }
        NamesAreDurable();
    }

    /// <summary>Everything is gone, as if the disk were replaced.</summary>
    public void Wipe()
    {
        ProcessDied();
        Failing = null;
        _names.Clear();
        _durableNames.Clear();
        _durableInodes.Clear();
        _pending.Clear();
    }

    /// <summary>
    /// A copy as it would be if the power went now and nothing unsynced survived: the disk's truth about what is durable.
    /// </summary>
    public SimulatedDisk DurableCopy()
    {
        var copy = new SimulatedDisk(location, new SimulatedRandom(0), new FaultCounters());
        foreach (var (name, inode) in _durableNames)
            copy._names.Add(name, inode.DurableCopy());
        copy.NamesAreDurable();
        return copy;
    }

    /// <summary>Puts an older copy in the place of what is there.</summary>
    public void Restore(SimulatedDisk older)
    {
        Wipe();
        foreach (var (name, inode) in older._names)
            _names.Add(name, inode.DurableCopy());
        NamesAreDurable();
    }

    public void FlipBit(string name, long offset, int bit) => _names[name].FlipBit(offset, bit);

    /// <summary>A bit of what was written, mostly of the log, is another one.</summary>
    /// <returns>What happened; null where nothing is written.</returns>
    public string? FlipSomeBit(SimulatedRandom draw)
    {
        var isLog = draw.Chance(0.8);
        if (Sectors(SimulatedInode.SectorBytes, name =>
            name.EndsWith(".log", StringComparison.Ordinal) == isLog && name != "lock") is not { Count: > 0 } written)
            return null;
        var (name, sector) = draw.Pick(written);
        var offset = Math.Min((sector * SimulatedInode.SectorBytes) + draw.Next(SimulatedInode.SectorBytes), _names[name].Length - 1);
        FlipBit(name, offset, draw.Next(8));
        counters.BitFlip++;
        if (isLog || name.EndsWith(".snapshot", StringComparison.Ordinal))
            counters.Coverage.Struck(isLog ? MenuItem.BitFlipLog : MenuItem.BitFlipSnapshot);
        return $"a bit of {name} flips at {offset}";
    }

    /// <summary>A page of the log is found where another one should be.</summary>
    /// <returns>What happened; null where there are not two.</returns>
    public string? MisdirectSomeWrite(SimulatedRandom draw)
    {
        var written = LogPages();
        if (written.Count < 2)
            return null;
        draw.Shuffle(written);
        var ((from, source), (to, target)) = (written[0], written[1]);
        var page = new byte[LogPageBytes];
        _names[from].Read(source * LogPageBytes, page);
        _names[to].Overwrite(target * LogPageBytes, page);
        counters.Misdirected++;
        return $"page {source} of {from} stands at page {target} of {to} too";
    }

    /// <summary>
    /// A page of the log was never written, though its sync returned. Not of the newest files: the very last writes lost look like a torn
    /// tail, and only other members could tell.
    /// </summary>
    /// <returns>What happened; null where there are no older files.</returns>
    public string? LoseSomeWrite(SimulatedRandom draw)
    {
        var written = LogPages();
        var newest = written.Select(w => w.Name).Distinct().TakeLast(2).ToList();
        written.RemoveAll(w => newest.Contains(w.Name));
        if (written.Count == 0)
            return null;
        var (name, page) = draw.Pick(written);
        _names[name].Overwrite(page * LogPageBytes, new byte[LogPageBytes]);
        counters.LostWrite++;
        return $"page {page} of {name} was never written";
    }

    /// <summary>A page of the log, or of a snapshot, or a few in a row, cannot be read any more, however often it is tried.</summary>
    /// <returns>What happened; null where nothing is written.</returns>
    public string? SpoilSomePages(SimulatedRandom draw)
    {
        var isLog = draw.Chance(0.7);
        var written = Sectors(LogPageBytes, name => name.EndsWith(isLog ? ".log" : ".snapshot", StringComparison.Ordinal));
        if (written.Count == 0)
            return null;
        var (name, page) = draw.Pick(written);
        var pages = draw.Chance(0.7) ? 1 : draw.Between(2, 8);
        for (var i = 0; i < pages; i++)
            _names[name].Spoil(page + i);
        counters.Coverage.Struck(isLog ? MenuItem.BadSectorLog : MenuItem.BadSectorSnapshot);
        return $"the disk cannot read {pages} page{(pages == 1 ? "" : "s")} of {name} from page {page} on";
    }

    /// <summary>Some of what the log took lately cannot be read any more; not its very end.</summary>
    /// <returns>What happened; null where too little is written.</returns>
    public string? SpoilRecentLog(SimulatedRandom draw)
    {
        var written = LogPages().OrderBy(page => page.Name, StringComparer.Ordinal).ThenBy(page => page.Page).SkipLast(1).TakeLast(8).ToList();
        if (written.Count < 3)
            return null;
        var spoilt = written.Skip(draw.Next(written.Count - 2)).Take(draw.Between(3, 8)).ToList();
        foreach (var (name, page) in spoilt)
            _names[name].Spoil(page);
        counters.Coverage.Struck(MenuItem.BadSectorLog);
        return $"the disk cannot read {spoilt.Count} pages of its log from page {spoilt[0].Page} of {spoilt[0].Name} on";
    }

    /// <summary>Pages are there that cannot be read.</summary>
    public bool HasUnreadable => _names.Values.Any(inode => inode.HasUnreadable);

    private const int LogPageBytes = 4096;

    private List<(string Name, long Page)> LogPages() => Sectors(LogPageBytes, name => name.EndsWith(".log", StringComparison.Ordinal));

    /// <summary>The pieces of this size that hold anything but zeros.</summary>
    private List<(string Name, long Number)> Sectors(int bytes, Func<string, bool> wanted)
    {
        var found = new List<(string, long)>();
        var piece = new byte[bytes];
        foreach (var (name, inode) in _names.Where(n => wanted(n.Key)))
        {
            for (long number = 0; number * bytes < inode.Length; number++)
            {
                piece.AsSpan().Clear();
                inode.Read(number * bytes, piece);
                if (piece.AsSpan().ContainsAnyExcept((byte)0))
                    found.Add((name, number));
            }
        }
        return found;
    }

    public IDisposable Lock()
    {
        Operation(DiskCall.Lock);
        if (_locked)
            throw new DirectoryInUseException($"{location} is held by another node.");
        _locked = true;
        return new Held(this, _generation);
    }

    public IReadOnlyList<string> List()
    {
        Operation(DiskCall.List);
        return [.. _names.Keys];
    }

    public bool Exists(string name)
    {
        Operation(DiskCall.Exists);
        return _names.ContainsKey(name);
    }

    public ILogFile Create(string name, long length)
    {
        Operation(DiskCall.Create);
        if (IsFull && length > 0)
        {
            CountFull(MenuItem.EnospcCreate);
            throw new IOException($"{location}/{name}: no space left on device (simulated).");
        }
        if (_names.ContainsKey(name))
            throw new IOException($"{location}/{name} exists.");
        var inode = new SimulatedInode();
        inode.SetLength(length);
        _names.Add(name, inode);
        _pending.Add(new NameChange(MenuItem.CreateLost, [name], names => names[name] = inode));
        return new OpenFile(this, name, inode);
    }

    public ILogFile Open(string name)
    {
        Operation(DiskCall.Open);
        return new OpenFile(this, name, Find(name));
    }

    public void Rename(string from, string to)
    {
        Operation(DiskCall.Rename);
        Rename(_names, from, to);
        _pending.Add(new NameChange(MenuItem.RenameLost, [from, to], names => Rename(names, from, to)));
    }

    public void Delete(string name)
    {
        Operation(DiskCall.Delete);
        Find(name);
        _names.Remove(name);
        _pending.Add(new NameChange(MenuItem.DeleteLost, [name], names => names.Remove(name)));
    }

    public void Sync()
    {
        Operation(DiskCall.SyncNames);
        FailSyncIfDue(null);
        NamesAreDurable();
        _pending.Clear();
    }

    private void NamesAreDurable()
    {
        _durableNames = new(_names, StringComparer.Ordinal);
        _durableInodes = [.. _names.Values];
    }

    private static void Rename(SortedDictionary<string, SimulatedInode> names, string from, string to)
    {
        if (!names.Remove(from, out var inode))
            throw new FileNotFoundException($"{from} does not exist.");
        names[to] = inode;
    }

    private SimulatedInode Find(string name) =>
        _names.TryGetValue(name, out var inode) ? inode : throw new FileNotFoundException($"{location}/{name} does not exist.", name);

    private void Operation(DiskCall call, SimulatedInode? synced = null)
    {
        Operations++;
        if (_untilStop > 0 && --_untilStop == 0)
            IsOff = true;
        if (IsOff)
            throw new SimulatedStopException();
        if (Failing?.Fails(call) is { } how)
        {
            synced?.FailSync(random);
            throw new IOException($"{location}: {call} failed: {how} (simulated failing disk).");
        }
        var isAimed = call == _failing && --_untilAimed == 0;
        if (!isAimed && (_untilFailure <= 0 || --_untilFailure > 0))
            return;
        if (isAimed)
        {
            _failing = null;
            if (_failsForSpace)
            {
                CountFull(call == DiskCall.Create ? MenuItem.EnospcCreate : MenuItem.EnospcWrite);
                throw new IOException($"{location}: {call} failed: no space left on device (simulated).");
            }
        }
        counters.Io++;
        counters.Coverage.Failed(call);
        synced?.FailSync(random);
        throw new IOException($"{location}: {call} failed: input/output error (simulated).");
    }

    private void FailSyncIfDue(SimulatedInode? inode)
    {
        if (_untilSyncFailure <= 0 || --_untilSyncFailure > 0)
            return;
        counters.Fsync++;
        inode?.FailSync(random);
        throw new IOException($"{location}: fsync failed: input/output error (simulated).");
    }

    private sealed record NameChange(MenuItem Lost, string[] Touches, Action<SortedDictionary<string, SimulatedInode>> ApplyTo);

    private sealed class Held(SimulatedDisk disk, int generation) : IDisposable
    {
        public void Dispose()
        {
            if (disk._generation == generation)
                disk._locked = false;
        }
    }

    private sealed class OpenFile(SimulatedDisk disk, string name, SimulatedInode inode) : ILogFile
    {
        private readonly int _generation = disk._generation;
        private bool _closed;

        public string Name => name;

        public long Length => inode.Length;

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            Check(DiskCall.Write);
            // A part of a page is put into what is read of the others.
            if (offset % LogPageBytes != 0 && inode.IsUnreadable(offset, 1))
                Unreadable(offset);
            if ((offset + bytes.Length) % LogPageBytes != 0 && bytes.Length > 0 && inode.IsUnreadable(offset + bytes.Length - 1, 1))
                Unreadable(offset + bytes.Length - 1);
            // Overwriting what was allocated before needs no space.
            if (disk.IsFull && offset + bytes.Length > inode.Length)
            {
                disk.CountFull(MenuItem.EnospcWrite);
                throw new IOException($"{disk.Location}/{name}: no space left on device (simulated).");
            }
            inode.Write(offset, bytes);
            // Filling a file that is to be used later is not what a piece of work promises.
            if (disk._working && bytes.ContainsAnyExcept((byte)0))
                disk._touched.Add(inode);
        }

        public int Read(long offset, Span<byte> into)
        {
            Check(DiskCall.Read);
            if (inode.IsUnreadable(offset, into.Length))
                Unreadable(offset);
            var count = inode.Read(offset, into);
            disk.Failing?.Misread(into[..count]);
            return count;
        }

        public void Sync()
        {
            Check(DiskCall.Sync, inode);
            disk.FailSyncIfDue(inode);
            inode.Sync();
        }

        public void Dispose() => _closed = true;

        private void Unreadable(long offset)
        {
            disk.CountUnreadable();
            throw new IOException($"{disk.Location}/{name}: input/output error at {offset} (simulated bad sector).");
        }

        private void Check(DiskCall call, SimulatedInode? synced = null)
        {
            ObjectDisposedException.ThrowIf(_closed || _generation != disk._generation, this);
            disk.Operation(call, synced);
        }
    }

    private void CountUnreadable() => counters.Coverage.Struck(MenuItem.BadSectorRead);

    private void CountFull(MenuItem what)
    {
        counters.DiskFull++;
        counters.Coverage.Struck(what);
    }
}

/// <summary>The process ended, or the power went, in the middle of an I/O call: whoever made it no longer exists.</summary>
internal sealed class SimulatedStopException() : IOException("This process has ended (simulated).");
