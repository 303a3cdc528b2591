using RaftKit.Chaos.Clock;

namespace RaftKit.Chaos.Faults;

/// <summary>
/// A member's wall clock jumps, far or a little, forward or back, and later back again. Nothing that matters may go by it.
/// </summary>
internal sealed record ClockJump() : Fault("clock-jump")
{
    private static readonly TimeSpan[] Jumps =
    [
        TimeSpan.FromDays(-400), TimeSpan.FromDays(-1), TimeSpan.FromHours(-1), TimeSpan.FromSeconds(-10),
        TimeSpan.FromSeconds(10), TimeSpan.FromHours(1), TimeSpan.FromDays(1), TimeSpan.FromDays(400),
    ];

    public override async Task<string> StrikeAsync(Strike strike)
    {
        var (jump, lasts) = (Jumps[strike.Random.Next(Jumps.Length)], strike.Seconds(1.2, 5));
        var clock = strike.Room.Clock(strike.Victim.Id);
        // Before it: who ends of the jump is a finding, and no reason to blame the machine.
        if (!FakeTime.IsIn(strike.Victim.Pid))
            throw new CommandFailedException($"libfaketime is not in process {strike.Victim.Pid}: its clock would not jump.");
        clock.Set(jump);
        await Task.Delay(lasts);
        clock.Set(TimeSpan.Zero);
        return $"wall clock off by {jump} for {lasts.TotalSeconds:0.0} s";
    }
}
