namespace RaftKit.TestKit;

/// <summary>How often each fault struck: a sweep in which one never did has not tested what it claims to.</summary>
internal sealed class FaultCounters
{
    public long Drop;
    public long Delay;
    public long Duplicate;
    public long Reorder;
    public long Partition;
    public long Kill;
    public long Pause;
    public long PowerCut;
    public long Torn;
    public long Fsync;
    public long Stall;
    public long Slow;
    public long Wipe;
    public long DiskFull;
    public long OldCopy;
    public long BitFlip;
    public long Misdirected;
    public long LostWrite;
    public long Transfer;
    public long Io;

    public Coverage Coverage { get; } = new();

    /// <summary>Observers went on with another source...</summary>
    public long ObserverMoved;

    /// <summary>...installed a snapshot of one...</summary>
    public long ObserverSnapshot;

    /// <summary>...and got entries from one that did not lead.</summary>
    public long ObserverFedByFollower;

    /// <summary>How often all that a member could not read any more was fetched again.</summary>
    public long Repaired;

    /// <summary>How often a leader whose disk stood still began to hand over.</summary>
    public long StallHandedOver;

    /// <summary>Levels of a feature were finalised...</summary>
    public long LevelFinalized;

    /// <summary>...or refused, to whoever asked...</summary>
    public long LevelRefused;

    /// <summary>...members went back to a build that does not support them...</summary>
    public long LevelBack;

    /// <summary>...and took no part.</summary>
    public long LevelUnready;

    /// <summary>Changes of the membership that came to their end, by what was asked for.</summary>
    private readonly SortedDictionary<string, long> _changes = new(StringComparer.Ordinal)
    {
        ["add"] = 0, ["addlearner"] = 0, ["remove"] = 0, ["removeleader"] = 0, ["replace"] = 0, ["set"] = 0, ["move"] = 0,
    };

    public void Changed(string kind) => _changes[kind]++;

    /// <summary>Each counter with its name in the summary line.</summary>
    public IEnumerable<(string Name, long Count)> All =>
    [
        ("drop", Drop), ("delay", Delay), ("duplicate", Duplicate), ("reorder", Reorder), ("partition", Partition), ("kill", Kill),
        ("pause", Pause), ("powercut", PowerCut), ("torn", Torn), ("fsync", Fsync), ("stall", Stall), ("slowdisk", Slow), ("wipe", Wipe),
        ("diskfull", DiskFull),
        ("oldcopy", OldCopy), ("bitflip", BitFlip), ("misdirected", Misdirected), ("lostwrite", LostWrite),
        .. _changes.Select(c => ($"member_{c.Key}", c.Value)),
        ("transfer", Transfer), ("io", Io), ("observer_moved", ObserverMoved), ("observer_snapshot", ObserverSnapshot),
        ("observer_fedbyfollower", ObserverFedByFollower), ("repaired", Repaired), ("stall_handedover", StallHandedOver),
        ("level_finalized", LevelFinalized), ("level_refused", LevelRefused), ("level_back", LevelBack), ("level_unready", LevelUnready),
    ];

    public void Add(FaultCounters other)
    {
        Drop += other.Drop;
        Delay += other.Delay;
        Duplicate += other.Duplicate;
        Reorder += other.Reorder;
        Partition += other.Partition;
        Kill += other.Kill;
        Pause += other.Pause;
        PowerCut += other.PowerCut;
        Torn += other.Torn;
        Fsync += other.Fsync;
        Stall += other.Stall;
        Slow += other.Slow;
        Wipe += other.Wipe;
        DiskFull += other.DiskFull;
        OldCopy += other.OldCopy;
        BitFlip += other.BitFlip;
        Misdirected += other.Misdirected;
        LostWrite += other.LostWrite;
        foreach (var (kind, count) in other._changes)
            _changes[kind] += count;
        Transfer += other.Transfer;
        ObserverMoved += other.ObserverMoved;
        ObserverSnapshot += other.ObserverSnapshot;
        ObserverFedByFollower += other.ObserverFedByFollower;
        Io += other.Io;
        Coverage.Add(other.Coverage);
        Repaired += other.Repaired;
        StallHandedOver += other.StallHandedOver;
        LevelFinalized += other.LevelFinalized;
        LevelRefused += other.LevelRefused;
        LevelBack += other.LevelBack;
        LevelUnready += other.LevelUnready;
    }
}
