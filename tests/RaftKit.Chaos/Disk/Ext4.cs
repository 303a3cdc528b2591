using System.ComponentModel;
using System.Runtime.InteropServices;

namespace RaftKit.Chaos.Disk;

/// <summary>What becomes of ext4's journal when the power goes.</summary>
internal enum PowerCut
{
    /// <summary>Everything is written first: the gentlest.</summary>
    Synced = 0,

    /// <summary>The journal is written, the data that nobody synced is not.</summary>
    JournalWritten = 1,

    /// <summary>What nobody synced is lost, journal and data: what a plug that is pulled does.</summary>
    NothingWritten = 2,
}

/// <summary>Shuts an ext4 down while it is in use: every later write and sync fails, and what was not durable never becomes so.</summary>
internal static partial class Ext4
{
    private const int ReadOnly = 0;
    private const int CloseOnExec = 0x80000;

    // _IOR('X', 125, __u32), in the kernel's fs/ext4/ext4.h.
    private const nuint Shutdown = 0x8004587D;

    public static void ShutDown(string folder, PowerCut how)
    {
        var descriptor = Open(folder, ReadOnly | CloseOnExec);
        if (descriptor < 0)
            throw new CommandFailedException($"{folder} could not be opened: {new Win32Exception(Marshal.GetLastPInvokeError()).Message}");
        try
        {
            var flags = (uint)how;
            if (Control(descriptor, Shutdown, ref flags) != 0)
                throw new CommandFailedException(
                    $"EXT4_IOC_SHUTDOWN of {folder} failed: {new Win32Exception(Marshal.GetLastPInvokeError()).Message}");
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static partial int Control(int descriptor, nuint request, ref uint argument);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
