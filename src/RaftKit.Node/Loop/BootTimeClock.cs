using System.Diagnostics;
using System.Runtime.InteropServices;

namespace RaftKit.Node.Loop;

/// <summary>
/// CLOCK_BOOTTIME: monotonic, and counts on while the machine is suspended, which a Stopwatch does not; a lease measured by anything else
/// could outlive its end. Elsewhere than on Linux it is the Stopwatch.
/// </summary>
internal static partial class BootTimeClock
{
    private const int ClockBootTime = 7;

    /// <summary>Since an arbitrary start.</summary>
    public static TimeSpan Now
    {
        get
        {
            if (OperatingSystem.IsLinux() && GetTime(ClockBootTime, out var time) == 0)
                return new TimeSpan((time.Seconds * TimeSpan.TicksPerSecond) + (time.Nanoseconds / 100));
            return Stopwatch.GetElapsedTime(0);
        }
    }

    [LibraryImport("libc", EntryPoint = "clock_gettime")]
    private static partial int GetTime(int clock, out TimeSpec time);

    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }
}
