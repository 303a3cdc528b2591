using RaftKit.Node.Loop;

namespace RaftKit.Node.Reads;

/// <summary>
/// The clock that leases and bounds of staleness are held against. It is read when it matters, not once a turn: what was read from the
/// state before a pause must not pass for what is true after it. It must count on while the machine sleeps, and run true within <see
/// cref="NodeLoopOptions.ClockDrift"/>. Loop thread only.
/// </summary>
internal interface ILeaseClock
{
    /// <summary>Since an arbitrary moment in the past; more than zero, and never falling.</summary>
    TimeSpan Now { get; }
}

/// <summary>CLOCK_BOOTTIME.</summary>
internal sealed class BootTimeLeaseClock : ILeaseClock
{
    public static BootTimeLeaseClock Instance { get; } = new();

    public TimeSpan Now => BootTimeClock.Now;
}
