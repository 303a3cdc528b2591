using RaftKit.Node.Log;

namespace RaftKit.Node.Rehearsal;

/// <summary>A directory in memory, for a rehearsal: nothing of it is durable, nothing of it touches a disk. One thread.</summary>
internal sealed class MemoryLogDirectory(string location) : ILogDirectory
{
    private readonly Dictionary<string, MemoryFile> _files = new(StringComparer.Ordinal);

    public string Location => location;

    public IDisposable Lock() => new Unlocked();

    public IReadOnlyList<string> List() => [.. _files.Keys];

    public bool Exists(string name) => _files.ContainsKey(name);

    public ILogFile Create(string name, long length)
    {
        var file = new MemoryFile(name, new byte[length]);
        _files.Add(name, file);
        return file;
    }

    public ILogFile Open(string name) => _files[name];

    public void Rename(string from, string to)
    {
        _files.Remove(from, out var file);
        file!.Name = to;
        _files[to] = file;
    }

    public void Delete(string name) => _files.Remove(name);

    public void Sync()
    {
        // There is nothing below this that could lose it.
    }

    private sealed class Unlocked : IDisposable
    {
        public void Dispose()
        {
            // Nobody else knows of this directory.
        }
    }

    private sealed class MemoryFile(string name, byte[] bytes) : ILogFile
    {
        private byte[] _bytes = bytes;

        public string Name { get; set; } = name;

        public long Length => _bytes.Length;

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            if (offset + bytes.Length > _bytes.Length)
                Array.Resize(ref _bytes, (int)offset + bytes.Length);
            bytes.CopyTo(_bytes.AsSpan((int)offset));
        }

        public int Read(long offset, Span<byte> into)
        {
            var count = (int)Math.Clamp(_bytes.Length - offset, 0, into.Length);
            _bytes.AsSpan((int)offset, count).CopyTo(into);
            return count;
        }

        public void Sync()
        {
            // As for the directory.
        }

        public void Dispose()
        {
            // Opened again by whoever needs it.
        }
    }
}
