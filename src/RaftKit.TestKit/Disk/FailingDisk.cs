namespace RaftKit.TestKit;

/// <summary>
/// A disk that is about to die: every call may fail, each by itself, for as long as this lasts. What it took it keeps, so that nothing is
/// lost but what a failed sync loses; what it gives back need not be what it keeps.
/// </summary>
internal sealed class FailingDisk
{
    /// <summary>The greatest chance of each call.</summary>
    public const double HighestRate = 0.12;

    private readonly SimulatedRandom _random;
    private readonly Coverage _coverage;
    private readonly double _rate;
    private readonly bool _writes;
    private readonly bool _syncs;
    private readonly bool _names;
    private readonly bool _reads;

    /// <summary>Draws which calls fail, and how often.</summary>
    /// <param name="random">A stream of its own: the calls of one disk move nothing else's draws.</param>
    /// <param name="coverage">Counts.</param>
    /// <param name="mayMisread">
    /// Reads fail too, or give other bytes than are there: the member must be one that may be without what it holds.
    /// </param>
    public FailingDisk(SimulatedRandom random, Coverage coverage, bool mayMisread)
    {
        (_random, _coverage) = (random, coverage);
        // A life under the greatest rates ends within its start: what comes later needs a smaller one.
        _rate = random.Chance(0.4) ? random.Between(0.1, HighestRate) : HighestRate * Math.Pow(random.NextDouble(), 3);
        _writes = random.Chance(0.5);
        _syncs = random.Chance(0.5);
        _names = random.Chance(0.5);
        _reads = mayMisread && random.Chance(0.6);
        IsMisreading = mayMisread && random.Chance(0.5);
        if (!_writes && !_syncs && !_names && !_reads && !IsMisreading)
            _syncs = true;
        StallChance = random.Chance(0.4) ? _rate : 0;
        coverage.Struck(_rate > 0.1 ? MenuItem.FailingDiskAboveTenPercent : MenuItem.FailingDiskBelowTenPercent);
    }

    /// <summary>How likely a piece of work is to take much longer.</summary>
    public double StallChance { get; }

    /// <summary>Some of what is read may be wrong, or not come at all.</summary>
    public bool IsUnreliable => _reads || IsMisreading;

    private bool IsMisreading { get; }

    /// <summary>Whether this call fails.</summary>
    /// <returns>As what; null if it does not.</returns>
    public string? Fails(DiskCall call)
    {
        var (fails, item, mayLackSpace) = call switch
        {
            DiskCall.Read or DiskCall.Open or DiskCall.List or DiskCall.Exists => (_reads, MenuItem.FailingDiskRead, false),
            DiskCall.Write => (_writes, MenuItem.FailingDiskWrite, true),
            DiskCall.Sync or DiskCall.SyncNames => (_syncs, MenuItem.FailingDiskSync, false),
            DiskCall.Create => (_names, MenuItem.FailingDiskCreate, true),
            DiskCall.Rename => (_names, MenuItem.FailingDiskRename, true),
            DiskCall.Delete => (_names, MenuItem.FailingDiskDelete, false),
            DiskCall.Lock => (_names, MenuItem.FailingDiskLock, false),
            _ => throw new ArgumentOutOfRangeException(nameof(call), call, null),
        };
        if (!fails || !_random.Chance(_rate))
            return null;
        _coverage.Struck(item);
        if (!mayLackSpace || !_random.Chance(0.5))
            return "input/output error";
        _coverage.Struck(MenuItem.FailingDiskNoSpace);
        return "no space left on device";
    }

    /// <summary>What was read comes with another bit, at times, in one of its sectors; the next try may find it right.</summary>
    public void Misread(Span<byte> read)
    {
        if (!IsMisreading || read.Length == 0 || !_random.Chance(_rate))
            return;
        _coverage.Struck(MenuItem.FailingDiskMisread);
        read[_random.Next(read.Length)] ^= (byte)(1 << _random.Next(8));
    }
}
