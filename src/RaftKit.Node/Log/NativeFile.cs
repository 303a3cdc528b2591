using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace RaftKit.Node.Log;

/// <summary>
/// fsync, fdatasync and flock of the C library, with their results checked. On Linux .NET's own <c>RandomAccess.FlushToDisk</c> and
/// <c>FileStream.Flush(true)</c> do not report a failed fsync (its native shim turns the error into 1, and only negative results
/// throw), so they are banned here.
/// </summary>
internal static partial class NativeFile
{
    private const int Interrupted = 4;
    private const int WouldBlock = 11;
    private const int NoSpace = 28;
    private const int QuotaExceeded = 122;
    private const int LockShared = 1;
    private const int LockExclusive = 2;
    private const int LockNonBlocking = 4;
    private const int CloseOnExec = 0x80000;
    private const int ReadWriteCreate = 0x2 | 0x40;

    /// <summary>
    /// fdatasync. Never retried after a failure: the kernel may have marked the lost pages clean, and the next call would lie.
    /// </summary>
    public static void SyncData(SafeFileHandle file, string path)
    {
        RequireLinux();
        int result;
        do
        {
            result = FDataSync(file);
        }
        while (result != 0 && Marshal.GetLastPInvokeError() == Interrupted);
        if (result != 0)
            throw Failed("fdatasync", path, Marshal.GetLastPInvokeError());
    }

    /// <summary>fsync of a directory: makes created, renamed and deleted names durable.</summary>
    public static void SyncDirectory(string path)
    {
        RequireLinux();
        using var directory = OpenChecked(path, CloseOnExec);
        int result;
        do
        {
            result = FSync(directory);
        }
        while (result != 0 && Marshal.GetLastPInvokeError() == Interrupted);
        if (result != 0)
            throw Failed("fsync", path, Marshal.GetLastPInvokeError());
    }

    /// <summary>
    /// Opens a file to lock. Not through .NET, which puts a shared flock of its own on everything it opens. Closed on exec, so that no
    /// child process inherits the lock.
    /// </summary>
    public static SafeFileHandle OpenLockFile(string path, bool readOnly = false)
    {
        RequireLinux();
        return OpenChecked(path, readOnly ? CloseOnExec : CloseOnExec | ReadWriteCreate);
    }

    /// <summary>
    /// Takes a flock, exclusive or shared; the kernel frees it when the process ends, however it ends. False: somebody has it.
    /// </summary>
    public static bool TryLock(SafeFileHandle file, string path, bool shared = false)
    {
        RequireLinux();
        if (FLock(file, (shared ? LockShared : LockExclusive) | LockNonBlocking) == 0)
            return true;
        var error = Marshal.GetLastPInvokeError();
        return error is WouldBlock or Interrupted ? false : throw Failed("flock", path, error);
    }

    /// <summary>What a failed .NET file operation means for the log.</summary>
    public static LogFailedException Failed(string operation, string path, IOException failure)
    {
        // On Unix an IOException's HResult is the errno.
        var error = failure.HResult;
        return error is NoSpace or QuotaExceeded
            ? new LogFailedException(Describe(operation, path, error), failure)
            : new LogFailedException($"{operation} of {path} failed: {failure.Message}", failure);
    }

    private static SafeFileHandle OpenChecked(string path, int flags)
    {
        var descriptor = Open(path, flags, 0b110_100_100);
        return descriptor >= 0 ? new SafeFileHandle(descriptor, ownsHandle: true)
            : throw Failed("open", path, Marshal.GetLastPInvokeError());
    }

    private static LogFailedException Failed(string operation, string path, int error) => new(Describe(operation, path, error));

    private static string Describe(string operation, string path, int error)
    {
        var text = $"{operation} of {path} failed with errno {error} ({Marshal.GetPInvokeErrorMessage(error)}).";
        return error switch
        {
            NoSpace or QuotaExceeded => text + " The disk is full: free space, then restart this node. What it acknowledged is safe.",
            _ => text + " What was written since the last success may be lost: this node stops and acknowledges nothing of it.",
        };
    }

    private static void RequireLinux()
    {
        if (!OperatingSystem.IsLinux())
            throw new PlatformNotSupportedException(
                "RaftKit's disk log runs on Linux: elsewhere nobody has checked how a failed fsync is reported.");
    }

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int FDataSync(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int FSync(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    private static partial int FLock(SafeFileHandle file, int operation);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags, int mode);
}
