using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace RaftKit.Load.Parent;

/// <summary>A member's process as the parent sees it.</summary>
internal sealed partial class MemberProcess : IDisposable
{
    private const int Continue = 18;
    private const int Stop = 19;

    private readonly Process _process;

    public MemberProcess(MemberSettings settings, string log, Action<MemberProcess, MemberReport> onReport)
    {
        Settings = settings;
        var self = Environment.ProcessPath!;
        var info = new ProcessStartInfo(self) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        if (Path.GetFileNameWithoutExtension(self) == "dotnet")
            info.ArgumentList.Add(typeof(MemberProcess).Assembly.Location);
        info.ArgumentList.Add(Members.Member.Verb);
        info.ArgumentList.Add(settings.ToArgument());
        _process = Process.Start(info)!;
        Ended = ListenAsync(log, onReport);
    }

    public MemberSettings Settings { get; }

    public MemberReport.Status Status { get; set; } = new(Leader: false, Ready: false, Term: 0);

    /// <summary>Completes when the process has ended and all it said was heard.</summary>
    public Task Ended { get; }

    /// <summary>User and system time so far.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    public void Order(MemberOrder order)
    {
        _process.StandardInput.WriteLine(JsonSerializer.Serialize(order, LoadJson.Default.MemberOrder));
        _process.StandardInput.Flush();
    }

    public void Kill() => _process.Kill();

    public void Freeze() => Signal(Stop);

    public void Resume() => Signal(Continue);

    /// <summary>Lets it stop in order.</summary>
    public void Release() => _process.StandardInput.Close();

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill();
        _process.Dispose();
    }

    private async Task ListenAsync(string log, Action<MemberProcess, MemberReport> onReport)
    {
        await using var file = new FileStream(log, FileMode.Append, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        var errors = _process.StandardError.BaseStream.CopyToAsync(file);
        while (await _process.StandardOutput.ReadLineAsync() is { } line)
        {
            if (JsonSerializer.Deserialize(line, LoadJson.Default.MemberReport) is { } report)
                onReport(this, report);
        }

        await errors;
        await _process.WaitForExitAsync();
    }

    private void Signal(int signal)
    {
        if (Kill(_process.Id, signal) != 0)
            throw new Win32Exception(Marshal.GetLastPInvokeError());
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int pid, int signal);
}
