using System.ComponentModel;
using System.Runtime.InteropServices;

namespace PartitionLeaders.Supervision;

/// <summary>Signals that <see cref="System.Diagnostics.Process"/> cannot send (Linux's numbers).</summary>
internal static partial class Signals
{
    private const int Continue = 18;
    private const int Stop = 19;

    public static void Freeze(int pid) => Send(pid, Stop);

    public static void Resume(int pid) => Send(pid, Continue);

    private static void Send(int pid, int signal)
    {
        const int NoSuchProcess = 3;
        if (Kill(pid, signal) != 0 && Marshal.GetLastPInvokeError() is var error and not NoSuchProcess)
            throw new Win32Exception(error);
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int pid, int signal);
}
