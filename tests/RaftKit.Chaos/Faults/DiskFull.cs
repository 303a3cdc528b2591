using System.Diagnostics;

namespace RaftKit.Chaos.Faults;

/// <summary>
/// Somebody fills the member's file system to its last block. What it has allotted it may still write; when it needs more it must end by
/// itself, and must find everything when there is room again.
/// </summary>
internal sealed record DiskFull() : Fault("disk-full")
{
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LastsAtMost = TimeSpan.FromSeconds(15);

    public override async Task<string> StrikeAsync(Strike strike)
    {
        var (room, id) = (strike.Room, strike.Id);
        var began = Stopwatch.GetTimestamp();
        long bytes;
        using (room.HoldOff(id))
        {
            bytes = room.Disk(id).Fill();
            while (strike.Subject.Find(id)?.Pid == strike.Victim.Pid && Stopwatch.GetElapsedTime(began) < LastsAtMost)
                await Task.Delay(LookEvery);
            room.Disk(id).Drain();
        }

        return FormattableString.Invariant(
            $"{bytes >> 20} MiB were free, and then nothing, for {Stopwatch.GetElapsedTime(began).TotalSeconds:0.0} s");
    }
}
