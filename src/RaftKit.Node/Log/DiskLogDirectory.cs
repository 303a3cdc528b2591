using System.Globalization;
using Microsoft.Win32.SafeHandles;

namespace RaftKit.Node.Log;

/// <summary>A real directory. Created if it is missing, its name made durable in its parent.</summary>
internal sealed class DiskLogDirectory : ILogDirectory
{
    public const string LockName = "lock";
    private const int ZeroBlock = 1 << 18;
    private static readonly byte[] Zeros = new byte[ZeroBlock];

    // A killed process keeps its lock until the kernel has torn it down, which can take longer than its restart.
    private static readonly TimeSpan LockGrace = TimeSpan.FromSeconds(2);

    private readonly string _path;

    public DiskLogDirectory(string path)
    {
        _path = Path.GetFullPath(path);
        if (Directory.Exists(_path))
            return;
        // All that are made with it: without their names in their own parents it would be gone as well.
        List<string> parents = [];
        for (var at = Path.GetDirectoryName(_path); at is not null; at = Directory.Exists(at) ? null : Path.GetDirectoryName(at))
            parents.Add(at);
        try
        {
            Directory.CreateDirectory(_path);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // Not as a failure of the log: nothing was ever written here.
            throw new IOException(
                $"There is no directory {_path}, and none can be made there: {WhyNotMade(failure)}. "
                + "Make it, for this process to write to, or name another one on a local disk.", failure);
        }
        foreach (var parent in parents)
            NativeFile.SyncDirectory(parent);
    }

    public string Location => _path;

    public IDisposable Lock()
    {
        var path = PathOf(LockName);
        var file = NativeFile.OpenLockFile(path);
        try
        {
            var waited = System.Diagnostics.Stopwatch.StartNew();
            while (!NativeFile.TryLock(file, path))
            {
                var holder = ReadHolder(file);
                if (waited.Elapsed > LockGrace && NativeFile.TryLock(file, path, shared: true))
                    throw new DirectoryInUseException($"{_path} is being verified. Start this node again when that is done.");
                if (holder == Environment.ProcessId || waited.Elapsed > LockGrace)
                    throw new DirectoryInUseException(
                        $"{_path} is held by another node (process {(holder == 0 ? "unknown" : holder)}). Stop it, or give this node a directory of its own.");
                // flock has no timeout; this runs once, at the start of a node, off the loop.
                Thread.Sleep(1);
            }

            // For whoever is refused: who holds it. The lock is the flock, not this text.
            RandomAccess.SetLength(file, 0);
            RandomAccess.Write(file, System.Text.Encoding.ASCII.GetBytes(Environment.ProcessId.ToString(CultureInfo.InvariantCulture)), 0);
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public IReadOnlyList<string> List() => ListFiles(_path);

    public IReadOnlyList<string> Folders() => ListFolders(_path);

    public static IReadOnlyList<string> ListFiles(string path)
    {
        var names = new List<string>();
        foreach (var file in Directory.EnumerateFiles(path))
        {
            // Not the lock's: whoever clears the directory would remove it, and a second process could then lock a new one.
            if (Path.GetFileName(file) is not LockName and var name)
                names.Add(name);
        }
        names.Sort(StringComparer.Ordinal);
        return names;
    }

    public static IReadOnlyList<string> ListFolders(string path) =>
        [.. Directory.EnumerateDirectories(path).Select(folder => Path.GetFileName(folder)).Order(StringComparer.Ordinal)];

    public bool Exists(string name) => File.Exists(PathOf(name));

    public ILogFile Create(string name, long length)
    {
        var file = Open(name, FileMode.CreateNew);
        try
        {
            // Written zeros, not a hole: overwriting them later changes no metadata, so that an fdatasync is one write.
            for (long at = 0; at < length; at += ZeroBlock)
                file.Write(at, Zeros.AsSpan(0, (int)Math.Min(ZeroBlock, length - at)));
            return file;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    public ILogFile Open(string name) => Open(name, FileMode.Open);

    public void Rename(string from, string to) => Do("rename", from, () => File.Move(PathOf(from), PathOf(to), overwrite: true));

    public void Delete(string name) => Do("delete", name, () => File.Delete(PathOf(name)));

    public void Sync() => NativeFile.SyncDirectory(_path);

    // What the system says of it names only what was asked for, or a number.
    private string WhyNotMade(Exception failure)
    {
        var at = _path;
        while (!Path.Exists(at) && Path.GetDirectoryName(at) is { } parent)
            at = parent;
        return Directory.Exists(at) ? $"this process can make nothing in {at} ({failure.Message.TrimEnd('.')})" : $"{at} is a file";
    }

    public static int ReadHolder(SafeFileHandle file)
    {
        Span<byte> text = stackalloc byte[16];
        var length = RandomAccess.Read(file, text, 0);
        return int.TryParse(text[..length], NumberStyles.None, CultureInfo.InvariantCulture, out var pid) ? pid : 0;
    }

    private DiskLogFile Open(string name, FileMode mode)
    {
        var path = PathOf(name);
        try
        {
            return new DiskLogFile(name, path, File.OpenHandle(path, mode, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete));
        }
        catch (IOException failure)
        {
            throw NativeFile.Failed(mode == FileMode.Open ? "open" : "create", path, failure);
        }
    }

    private void Do(string operation, string name, Action action)
    {
        try
        {
            action();
        }
        catch (IOException failure)
        {
            throw NativeFile.Failed(operation, PathOf(name), failure);
        }
    }

    private string PathOf(string name) => Path.Combine(_path, name);
}

/// <summary>A real file: pwrite, pread and a checked fdatasync.</summary>
internal sealed class DiskLogFile(string name, string path, SafeFileHandle handle) : ILogFile
{
    public string Name => name;

    public long Length => RandomAccess.GetLength(handle);

    public void Write(long offset, ReadOnlySpan<byte> bytes)
    {
        try
        {
            RandomAccess.Write(handle, bytes, offset);
        }
        catch (IOException failure)
        {
            throw NativeFile.Failed("write", path, failure);
        }
    }

    public int Read(long offset, Span<byte> into)
    {
        try
        {
            var total = 0;
            while (total < into.Length)
            {
                var read = RandomAccess.Read(handle, into[total..], offset + total);
                if (read == 0)
                    break;
                total += read;
            }
            return total;
        }
        catch (IOException failure)
        {
            throw NativeFile.Failed("read", path, failure);
        }
    }

    public void Sync() => NativeFile.SyncData(handle, path);

    public void Dispose() => handle.Dispose();
}
