namespace RaftKit.Chaos.Clock;

/// <summary>
/// libfaketime, which stands between a process and the wall clock. The monotonic clocks go on as they are: they do not jump on real
/// machines. Its settings are what a .NET process needs; without the third, waits with a timeout end at once.
/// </summary>
internal static class FakeTime
{
    private static readonly string? Library = Directory.Exists("/usr/lib")
        ? Directory.EnumerateDirectories("/usr/lib", "*-linux-gnu*").Select(
            folder => Path.Combine(folder, "faketime", "libfaketimeMT.so.1")).FirstOrDefault(File.Exists)
        : null;

    public static bool Exists => Library is not null;

    /// <summary>The environment that a process needs whose clock a file moves. The file is read at most once a second.</summary>
    public static IReadOnlyList<string> Environment(string file) =>
    [
        $"LD_PRELOAD={Library}", $"FAKETIME_TIMESTAMP_FILE={file}", "FAKETIME_FORCE_MONOTONIC_FIX=0", "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "FAKETIME_DONT_RESET=1",
        "FAKETIME_CACHE_DURATION=1", "NO_FAKE_STAT=1",
    ];

    /// <summary>Whether it stands between a process and its clock now.</summary>
    public static bool IsIn(int pid)
    {
        try
        {
            return File.ReadLines($"/proc/{pid}/maps").Any(line => line.EndsWith(Library!, StringComparison.Ordinal));
        }
        catch (IOException)
        {
            return false; // It is gone.
        }
    }

    /// <summary>It shares memory with the children of its process, and leaves that if the process is killed.</summary>
    public static void RemoveLeftMemory()
    {
        foreach (var file in Directory.EnumerateFiles("/dev/shm", "*faketime_*"))
        {
            if (int.TryParse(file[(file.LastIndexOf('_') + 1)..], out var pid) && !Directory.Exists($"/proc/{pid}"))
                File.Delete(file);
        }
    }
}
