using System.Diagnostics;
using System.Globalization;

namespace RaftKit.Chaos.Clock;

/// <summary>
/// Tries on this machine, with a process like the members', whether the wall clock moves and nothing else does. Without that, clocks might
/// jump in words only, or break what has nothing to do with the wall clock.
/// </summary>
internal static class ClockTrial
{
    public const string Verb = "tell-time";

    private static readonly TimeSpan Off = TimeSpan.FromDays(1);
    private static readonly TimeSpan Wait = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan Tolerance = TimeSpan.FromMinutes(1);

    /// <summary>The process: tells the wall clock, the monotonic clock, and how long a wait took.</summary>
    public static async Task<int> TellAsync()
    {
        var began = Stopwatch.GetTimestamp();
        using var never = new ManualResetEventSlim();
        never.Wait(Wait);
        await Console.Out.WriteLineAsync(
            string.Create(
                CultureInfo.InvariantCulture,
                $"{TimeProvider.System.GetUtcNow().Ticks} {began} {Stopwatch.GetElapsedTime(began).TotalMilliseconds}"));
        return 0;
    }

    public static async Task RunAsync(string file)
    {
        new MemberClock(file).Set(Off);
        var before = Stopwatch.GetTimestamp();
        string[] told = (await Command.RunAsync(
            "env", [.. FakeTime.Environment(file), "dotnet", typeof(ClockTrial).Assembly.Location, Verb])).Trim().Split(' ');
        var after = Stopwatch.GetTimestamp();
        var off = new DateTimeOffset(long.Parse(told[0], CultureInfo.InvariantCulture), TimeSpan.Zero) - TimeProvider.System.GetUtcNow();
        var monotonic = long.Parse(told[1], CultureInfo.InvariantCulture);
        var waited = TimeSpan.FromMilliseconds(double.Parse(told[2], CultureInfo.InvariantCulture));
        if ((off - Off).Duration() > Tolerance || monotonic < before || monotonic > after || waited < Wait * 0.9)
        {
            throw new CommandFailedException(
                $"libfaketime was to move the wall clock by {Off} and nothing else: it moved it by {off}; the monotonic clock showed {monotonic}, which was to be from "
                + $"{before} to {after}; a wait of {Wait.TotalMilliseconds} ms took {waited.TotalMilliseconds} ms.");
        }
    }
}
