namespace RaftKit.Chaos.Faults;

/// <summary>The process ends without warning.</summary>
internal sealed record Kill() : Fault("kill")
{
    public override async Task<string> StrikeAsync(Strike strike)
    {
        await Command.TryAsync(null, "kill", "-KILL", $"{strike.Victim.Pid}");
        return "SIGKILL";
    }
}

/// <summary>The process stands still for a while, sometimes for longer than a session lasts.</summary>
internal sealed record Freeze() : Fault("freeze")
{
    public override async Task<string> StrikeAsync(Strike strike)
    {
        var lasts = strike.Seconds(0.1, strike.Random.Next(3) == 0 ? 7 : 1);
        await Command.TryAsync(null, "kill", "-STOP", $"{strike.Victim.Pid}");
        await Task.Delay(lasts);
        await Command.TryAsync(null, "kill", "-CONT", $"{strike.Victim.Pid}");
        return $"SIGSTOP for {lasts.TotalSeconds:0.0} s";
    }
}

/// <summary>System calls fail, or take long: strace holds the process by the hand for a while. Where they fail, the member must end by itself.</summary>
internal sealed record Syscall(string Kind, string Calls, string Injection, double From, double To) : Fault(Kind)
{
    public override async Task<string> StrikeAsync(Strike strike)
    {
        var lasts = strike.Seconds(From, To);
        // -KILL would leave the process stopped; strace lets go of it when it is interrupted.
        await Command.TryAsync(
            null, "timeout", "--signal=INT", FormattableString.Invariant($"{lasts.TotalSeconds:0.0}"), "strace", "-f", "-qq", "-o", "/dev/null",
            "-e", $"trace={Calls}", "-e", $"inject={Calls}:{Injection}", "-p", $"{strike.Victim.Pid}");
        return $"{Injection} on {Calls} for at most {lasts.TotalSeconds:0.0} s";
    }
}
