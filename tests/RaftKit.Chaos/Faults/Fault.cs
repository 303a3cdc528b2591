namespace RaftKit.Chaos.Faults;

/// <summary>Who is struck, where, and what chance decides.</summary>
internal sealed record Strike(MachineRoom Room, IReadOnlyList<MemberProcess> Victims, Random Random)
{
    public MemberProcess Victim => Victims[0];

    public TimeSpan Seconds(double from, double to) => TimeSpan.FromSeconds(from + ((to - from) * Random.NextDouble()));
}

/// <summary>Something that happens to a member, or to its links with others.</summary>
internal abstract record Fault(string Name)
{
    /// <summary>It takes as many members as a quorum bears, so that nothing else may happen meanwhile.</summary>
    public virtual bool Wide => false;

    /// <summary>Strikes, and takes its hand off when the time is up.</summary>
    /// <returns>What was done, in words.</returns>
    public abstract Task<string> StrikeAsync(Strike strike);

    public static IReadOnlyList<Fault> All { get; } =
    [
        new Kill(), new Freeze(),
        new Syscall("fsync-error", "fsync,fdatasync", "error=EIO", 1, 4),
        new Syscall("disk-full", "pwrite64", "error=ENOSPC", 1, 4),
        new Syscall("slow-disk", "fsync,fdatasync", "delay_exit=80000", 1, 5),
        new Reset(), new Isolate(), new OneWay(), new Split(), new Bridge(), new Loss(), new Delay(), new Stall(),
        new PowerOff(), new Blackout(), new ClockJump(),
    ];
}
