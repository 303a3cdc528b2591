using Microsoft.Win32.SafeHandles;
using RaftKit.Consensus;

namespace RaftKit.Node.Log;

/// <summary>A real directory that is only read: nothing is created in it, and a node that wants it is kept out by a shared lock.</summary>
internal sealed class ReadOnlyLogDirectory : ILogDirectory
{
    private readonly string _path;

    public ReadOnlyLogDirectory(string path)
    {
        _path = Path.GetFullPath(path);
        if (!Directory.Exists(_path))
            throw new DirectoryNotFoundException($"{_path} does not exist, or is no directory.");
    }

    public string Location => _path;

    public IDisposable Lock()
    {
        var path = Path.Combine(_path, DiskLogDirectory.LockName);
        // Without the file no node ever ran here (it is a copy, say), and none is there to keep out.
        if (!File.Exists(path))
            return new SafeFileHandle();
        var file = NativeFile.OpenLockFile(path, readOnly: true);
        if (NativeFile.TryLock(file, path, shared: true))
            return file;
        var holder = DiskLogDirectory.ReadHolder(file);
        file.Dispose();
        throw new DirectoryInUseException(
            $"{_path} is held by a running node (process {(holder == 0 ? "unknown" : holder)}), which changes it. Stop that, or verify a copy.");
    }

    public IReadOnlyList<string> List() => DiskLogDirectory.ListFiles(_path);

    public IReadOnlyList<string> Folders() => DiskLogDirectory.ListFolders(_path);

    public bool Exists(string name) => File.Exists(Path.Combine(_path, name));

    public ILogFile Open(string name)
    {
        var path = Path.Combine(_path, name);
        try
        {
            return new DiskLogFile(
                name, path, File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete));
        }
        catch (IOException failure)
        {
            throw NativeFile.Failed("open", path, failure);
        }
    }

    public ILogFile Create(string name, long length) => throw Refused();

    public void Rename(string from, string to) => throw Refused();

    public void Delete(string name) => throw Refused();

    public void Sync() => throw Refused();

    private InvariantBrokenException Refused() => new($"{_path} was to be changed while it is verified");
}
