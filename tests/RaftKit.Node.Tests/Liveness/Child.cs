using System.Diagnostics;
using RaftKit.Node.Liveness;

namespace RaftKit.Node.Tests.Liveness;

/// <summary>A real process to kill.</summary>
internal sealed class Child : IDisposable
{
    private readonly Process _process;

    private Child(Process process)
    {
        _process = process;
        HostProcess = HostProcess.Current() with { Pid = process.Id, StartTime = ProcessStat.Read(process.Id)!.Value.StartTime };
    }

    public HostProcess HostProcess { get; }

    public static Child Start() => new(Process.Start("/bin/sleep", "600"));

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
