namespace RaftKit.Chaos.Faults;

/// <summary>Something that happens to a process, or to its links with others.</summary>
internal abstract record Fault(string Name)
{
    /// <summary>It takes as many members as a quorum bears, so that nothing else may happen meanwhile.</summary>
    public virtual bool Wide => false;

    /// <summary>It takes away or changes what a member had made durable: one at a time, and each is mended before the next.</summary>
    public virtual bool Damages => false;

    /// <summary>Strikes, and takes its hand off when the time is up.</summary>
    /// <returns>What was done, in words.</returns>
    public abstract Task<string> StrikeAsync(Strike strike);

    public static IReadOnlyList<Fault> All { get; } =
    [
        new Kill(), new Freeze(),
        new Syscall("fsync-error", "fsync,fdatasync", "error=EIO", 1, 4),
        new Syscall("write-error", "pwrite64", "error=EIO", 1, 4),
        new Syscall("slow-disk", "fsync,fdatasync", "delay_exit=80000", 1, 5),
        new StalledDisk(), new DiskFull(), new Wipe(), new Rollback(), new Rot(),
        new Reset(), new Isolate(), new OneWay(), new Split(), new Bridge(), new Loss(), new Delay(), new Stall(),
        new PowerOff(), new Blackout(), new ClockJump(),
    ];
}
