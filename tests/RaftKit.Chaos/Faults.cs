using System.Diagnostics;

namespace RaftKit.Chaos;

/// <summary>Something that happens to a process.</summary>
internal abstract record Fault(string Name)
{
    /// <summary>What this machine lacks for it; null if nothing.</summary>
    public virtual string? Missing => null;

    /// <summary>Strikes, and takes its hand off when the time is up.</summary>
    /// <returns>What was done, in words.</returns>
    public abstract Task<string> StrikeAsync(int pid, Random random);

    public static IReadOnlyList<Fault> All { get; } =
    [
        new Kill(), new Freeze(),
        new Syscall("fsync-error", "fsync,fdatasync", "error=EIO", 1, 4),
        new Syscall("disk-full", "pwrite64", "error=ENOSPC", 1, 4),
        new Syscall("slow-disk", "fsync,fdatasync", "delay_exit=80000", 1, 5),
        new Reset(),
    ];

    protected static TimeSpan Seconds(Random random, double from, double to) => TimeSpan.FromSeconds(from + ((to - from) * random.NextDouble()));

    protected static async Task<string> RunAsync(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        var said = Task.WhenAll(process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
        await process.WaitForExitAsync();
        return (await said)[0];
    }

    protected static string? Lacks(string program, string package) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => File.Exists(Path.Combine(folder, program)))
            ? null : $"{program} (apt-get install {package})";
}

/// <summary>The process ends without warning.</summary>
internal sealed record Kill() : Fault("kill")
{
    public override async Task<string> StrikeAsync(int pid, Random random)
    {
        await RunAsync("kill", "-KILL", $"{pid}");
        return "SIGKILL";
    }
}

/// <summary>The process stands still for a while, sometimes for longer than a session lasts.</summary>
internal sealed record Freeze() : Fault("freeze")
{
    public override async Task<string> StrikeAsync(int pid, Random random)
    {
        var lasts = Seconds(random, 0.1, random.Next(3) == 0 ? 5 : 1);
        await RunAsync("kill", "-STOP", $"{pid}");
        await Task.Delay(lasts);
        await RunAsync("kill", "-CONT", $"{pid}");
        return $"SIGSTOP for {lasts.TotalSeconds:0.0} s";
    }
}

/// <summary>System calls fail, or take long: strace holds the process by the hand for a while. Where they fail, the member must end by itself.</summary>
internal sealed record Syscall(string Kind, string Calls, string Injection, double From, double To) : Fault(Kind)
{
    public override string? Missing => Lacks("strace", "strace");

    public override async Task<string> StrikeAsync(int pid, Random random)
    {
        var lasts = Seconds(random, From, To);
        // -KILL would leave the process stopped; strace lets go of it when it is interrupted.
        await RunAsync(
            "timeout", "--signal=INT", FormattableString.Invariant($"{lasts.TotalSeconds:0.0}"), "strace", "-f", "-qq", "-o", "/dev/null", "-e", $"trace={Calls}", "-e",
            $"inject={Calls}:{Injection}", "-p", $"{pid}");
        return $"{Injection} on {Calls} for at most {lasts.TotalSeconds:0.0} s";
    }
}

/// <summary>All of the process's connections are reset, on both sides, as by a middlebox.</summary>
internal sealed record Reset() : Fault("reset")
{
    public override string? Missing => Lacks("ss", "iproute2") ?? (Environment.UserName == "root" ? null : "the rights of root, without which connections cannot be reset");

    public override async Task<string> StrikeAsync(int pid, Random random)
    {
        var reset = 0;
        foreach (var port in await PortsAsync(pid))
            reset += Lines(await RunAsync("ss", "-KtnH", $"( sport = :{port} or dport = :{port} )")).Count();
        return $"{reset} ends of connections reset";
    }

    private static async Task<IReadOnlyList<string>> PortsAsync(int pid)
    {
        var own = Lines(await RunAsync("ss", "-tnpH", "state", "established")).Where(l => l.Contains($"pid={pid},", StringComparison.Ordinal));
        return [.. own.Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries)[2]).Select(local => local[(local.LastIndexOf(':') + 1)..]).Distinct()];
    }

    private static IEnumerable<string> Lines(string output) => output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
}
