using System.Diagnostics;
using System.Globalization;
using RaftKit.Node.Liveness;

namespace RaftKit.Node.Tests.Liveness;

/// <summary>A real process to kill.</summary>
internal sealed class Child : IDisposable
{
    private readonly Process _process;

    private Child(Process process, HostProcess host) => (_process, HostProcess) = (process, host);

    private Child(Process process)
    {
        _process = process;
        HostProcess = HostProcess.Current() with { Pid = process.Id, StartTime = ProcessStat.Read(process.Id)!.Value.StartTime };
    }

    public HostProcess HostProcess { get; }

    public static Child Start() => new(Process.Start("/bin/sleep", "600"));

    /// <summary>
    /// One that is the first of a pid namespace of its own, as in a container: there its number is 1, which is somebody else's here.
    /// </summary>
    public static async Task<Child> StartInAnotherNamespaceAsync()
    {
        string[] rights = Environment.IsPrivilegedProcess ? [] : ["--user", "--map-root-user"];
        var process = Process.Start(
            new ProcessStartInfo(
                "unshare", [.. rights, "--pid", "--fork", "--kill-child", "sh", "-c",
                "echo runs; exec sleep 600"]) { RedirectStandardOutput = true })!;
        if (await process.StandardOutput.ReadLineAsync() != "runs")
            throw new InvalidOperationException(
                $"'unshare' ended with {process.ExitCode}: is this process in a sandbox that allows no pid namespaces?");
        var inside = int.Parse(
            (await File.ReadAllTextAsync($"/proc/{process.Id}/task/{process.Id}/children")).Trim(), CultureInfo.InvariantCulture);
        var space = long.Parse(new FileInfo($"/proc/{inside}/ns/pid").LinkTarget!["pid:[".Length..^1], CultureInfo.InvariantCulture);
        return new(process,
            HostProcess.Current() with { PidNamespace = space, Pid = 1, StartTime = ProcessStat.Read(inside)!.Value.StartTime });
    }

    /// <summary>SIGKILL; returns once the kernel has ended it.</summary>
    public void Kill()
    {
        _process.Kill();
        _process.WaitForExit();
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            Kill();
        _process.Dispose();
    }
}
