namespace RaftKit.Chaos.Faults;

/// <summary>
/// The process ends without warning. The others see its end in the process table: that is proof, and ends the sessions that lived in it
/// without waiting for their timeouts (DESIGN, promise 6).
/// </summary>
internal sealed record Kill() : Fault("kill")
{
    private static readonly TimeSpan ProvenWithin = TimeSpan.FromSeconds(20);

    public override async Task<string> StrikeAsync(Strike strike)
    {
        var (id, heard) = (strike.Id, strike.OthersLogs());
        await Command.TryAsync(null, "kill", "-KILL", $"{strike.Victim.Pid}");
        await strike.UntilAsync(
            () => heard.Contains($"process {strike.Victim.Pid} is gone"), ProvenWithin,
            $"process {strike.Victim.Pid} was killed, and nobody proved that");
        await strike.UntilAsync(
            () => heard.Contains($"of member {id} ended: HostDied"), ProvenWithin,
            $"process {strike.Victim.Pid} was killed, and its sessions did not end by proof");
        return "SIGKILL; proven, and its sessions ended by that";
    }
}

/// <summary>
/// The process stands still for a while, sometimes for longer than a session lasts. That is no death, whatever becomes of its links, and
/// nobody may say that it is.
/// </summary>
internal sealed record Freeze() : Fault("freeze")
{
    public override async Task<string> StrikeAsync(Strike strike)
    {
        var lasts = strike.Seconds(0.1, strike.Random.Next(3) == 0 ? 7 : 1);
        var heard = strike.OthersLogs();
        await Command.TryAsync(null, "kill", "-STOP", $"{strike.Victim.Pid}");
        await Task.Delay(lasts);
        if (heard.Contains($"process {strike.Victim.Pid} is gone"))
            throw new FindingException($"process {strike.Victim.Pid} was paused, and was taken for dead");
        await Command.TryAsync(null, "kill", "-CONT", $"{strike.Victim.Pid}");
        return $"SIGSTOP for {lasts.TotalSeconds:0.0} s";
    }
}

/// <summary>
/// System calls fail, or take long: strace holds the process by the hand for a while. Where they fail, the member must end by itself.
/// </summary>
internal sealed record Syscall(string Kind, string Calls, string Injection, double From, double To) : Fault(Kind)
{
    public override async Task<string> StrikeAsync(Strike strike)
    {
        var lasts = strike.Seconds(From, To);
        await TraceAsync(strike.Victim.Pid, Calls, Injection, lasts);
        return $"{Injection} on {Calls} for at most {lasts.TotalSeconds:0.0} s";
    }

    /// <summary>
    /// -KILL may leave the process stopped, so strace is interrupted, and lets go of it. Once in a CI run it did not do that within 30 s,
    /// of a process that had just ended by what it met: then it is killed, and whoever is left is told to go on.
    /// </summary>
    public static async Task TraceAsync(int pid, string calls, string injection, TimeSpan lasts)
    {
        var (code, _, _) = await Command.TryAsync(
            null, "timeout", "--signal=INT", "--kill-after=10", FormattableString.Invariant($"{lasts.TotalSeconds:0.0}"), "strace", "-f", "-qq",
            "-o", "/dev/null", "-e", $"trace={calls}", "-e", $"inject={calls}:{injection}", "-p", $"{pid}");
        if (code == KilledByTimeout)
            await Command.TryAsync(null, "kill", "-CONT", $"{pid}");
    }

    // 128 and the signal's number (coreutils, timeout).
    private const int KilledByTimeout = 137;
}

/// <summary>
/// A member's disk stands still: each sync takes seconds. The others commit without it; if it leads, it must hand over as soon as it has
/// seen that for two election timeouts (DESIGN, promise 6).
/// </summary>
internal sealed record StalledDisk() : Fault("stalled-disk")
{
    private const string Sync = "fsync,fdatasync";

    public override async Task<string> StrikeAsync(Strike strike)
    {
        var (log, lasts) = (strike.Room.Log(strike.Id), strike.Seconds(4, 6));
        var from = log.Length;
        await Syscall.TraceAsync(strike.Victim.Pid, Sync, "delay_enter=3000000", lasts);
        var what = FormattableString.Invariant($"each sync takes 3 s more for {lasts.TotalSeconds:0.0} s");
        var said = log.Since(from);
        if (said.Contains("its disk stands still", StringComparison.Ordinal))
            return $"{what}; it led, and handed over";
        // Whoever was deposed meanwhile had nothing to hand over.
        if (strike.Victim.Leads && !said.Contains("Became", StringComparison.Ordinal))
            throw new FindingException($"{what}: it led on");
        return what;
    }
}
