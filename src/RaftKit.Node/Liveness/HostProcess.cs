using System.Globalization;
using System.Runtime.InteropServices;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Liveness;

/// <summary>Which process a member runs in, so that another on the same machine can prove that it is gone.</summary>
/// <param name="MachineBootId">The kernel's boot id; empty where nothing can be proven.</param>
/// <param name="PidNamespace">The pid namespace's inode.</param>
/// <param name="Pid">The process id in it.</param>
/// <param name="StartTime">When the process started, in clock ticks since boot: tells a reused pid.</param>
internal sealed partial record HostProcess(string MachineBootId, long PidNamespace, int Pid, long StartTime)
{
    private const int NoSuchProcess = 3; // ESRCH

    /// <summary>A process of which nobody can prove anything.</summary>
    public static readonly HostProcess Unknown = new("", 0, 0, 0);

    public void WriteTo(ref MessagePackWriter writer)
    {
        writer.WriteArrayHeader(4);
        writer.Write(MachineBootId);
        writer.Write(PidNamespace);
        writer.Write(Pid);
        writer.Write(StartTime);
    }

    public static HostProcess Read(ref MessagePackReader reader)
    {
        reader.ReadArrayHeader(4);
        return new HostProcess(reader.ReadRequiredString(), reader.ReadInt64(), reader.ReadInt32(), reader.ReadInt64());
    }

    /// <summary>
    /// This process. On other systems than Linux, and where /proc is another namespace's, one of which nothing can be proven.
    /// </summary>
    public static HostProcess Current()
    {
        if (!OperatingSystem.IsLinux())
            return Unknown;
        try
        {
            var pid = Environment.ProcessId;
            // A /proc of another pid namespace numbers processes differently: nothing seen there would be about the pids that peers tell.
            if (new FileInfo("/proc/self").LinkTarget != pid.ToString(CultureInfo.InvariantCulture))
                return Unknown;
            var boot = File.ReadAllText("/proc/sys/kernel/random/boot_id").Trim();
            var link = new FileInfo("/proc/self/ns/pid").LinkTarget ?? "";
            var start = ProcessStat.Read(pid)?.StartTime ?? 0;
            return boot.Length > 0 && start > 0 && TryParseNamespace(link, out var space)
                ? new HostProcess(boot, space, pid, start)
                : Unknown;
        }
        catch (Exception hidden) when (hidden is IOException or UnauthorizedAccessException)
        {
            return Unknown;
        }
    }

    /// <summary>
    /// Whether this process surely runs no more, as seen from <paramref name="observer"/>. False whenever that cannot be told: on another
    /// machine, in another namespace, where the system hides it.
    /// </summary>
    public bool IsSurelyGone(HostProcess observer)
    {
        if (MachineBootId.Length == 0 || MachineBootId != observer.MachineBootId || PidNamespace != observer.PidNamespace)
            return false;
        // Pid 0 and negative ones address groups, never a process; a peer that tells such a pid proves nothing.
        if (Pid <= 0 || StartTime <= 0 || PidNamespace == 0)
            return false;
        try
        {
            // A hidden /proc (hidepid) also shows no file: only the kernel's own "no such process" is proof.
            return ProcessStat.Read(Pid) is { } stat ? stat.StartTime != StartTime || stat.IsDead : IsUnknownToKernel(Pid);
        }
        catch (Exception hidden) when (hidden is IOException or UnauthorizedAccessException or FormatException)
        {
            return false;
        }
    }

    /// <summary>
    /// Whether this process is on its way out, as seen from <paramref name="observer"/>: its first thread has ended. Strong evidence beside
    /// a port that refuses, but no proof: a program may end its first thread and go on with others. A killed process with many threads and
    /// much memory stays like that for tens of milliseconds.
    /// </summary>
    public bool IsEnding(HostProcess observer)
    {
        if (MachineBootId.Length == 0 || MachineBootId != observer.MachineBootId || PidNamespace != observer.PidNamespace || Pid <= 0)
            return false;
        try
        {
            return ProcessStat.Read(Pid) is { State: 'Z' or 'X' or 'x' } stat && stat.StartTime == StartTime;
        }
        catch (Exception hidden) when (hidden is IOException or UnauthorizedAccessException or FormatException)
        {
            return false;
        }
    }

    private static bool TryParseNamespace(string link, out long inode)
    {
        inode = 0;
        return link.StartsWith("pid:[", StringComparison.Ordinal) && link.EndsWith(']')
            && long.TryParse(link.AsSpan()[5..^1], NumberStyles.None, CultureInfo.InvariantCulture, out inode);
    }

    private static bool IsUnknownToKernel(int pid) => Kill(pid, 0) != 0 && Marshal.GetLastPInvokeError() == NoSuchProcess;

    // Signal 0 sends nothing; it only asks whether the process exists.
    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Kill(int pid, int signal);
}

/// <summary>The few fields of /proc/PID/stat that tell whether a process still runs.</summary>
/// <param name="State">R, S, D, T, Z, X, ...</param>
/// <param name="Threads">How many threads it still has.</param>
/// <param name="StartTime">In clock ticks since boot.</param>
internal readonly record struct ProcessStat(char State, long Threads, long StartTime)
{
    /// <summary>
    /// Dead or a zombie: nothing of it runs, its sockets are closed, only its parent has not asked yet. A zombie with other threads is
    /// none: its first thread ended before the others, which may still run.
    /// </summary>
    public bool IsDead => State is 'Z' or 'X' or 'x' && Threads <= 1;

    /// <summary>Null when there is no such file.</summary>
    public static ProcessStat? Read(int pid)
    {
        try
        {
            return Parse(File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/stat")));
        }
        catch (Exception gone) when (gone is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    /// <exception cref="FormatException">This is not such a line.</exception>
    public static ProcessStat Parse(string stat)
    {
        // The second field is the program's name in parentheses, and may itself hold spaces and parentheses: count from its end.
        var fields = stat[(stat.LastIndexOf(')') + 1)..].Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        const int first = 3; // the field after the name, as proc(5) numbers them
        if (fields.Length <= 22 - first || fields[0].Length != 1)
            throw new FormatException($"/proc/PID/stat has another shape than proc(5) says: {stat}");
        return new ProcessStat(fields[0][0], Number(fields[20 - first]), Number(fields[22 - first]));
    }

    private static long Number(string field) => long.Parse(field, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture);
}
