using RaftKit.Node.Log;

namespace RaftKit.Fuzz;

/// <summary>Files as they were left, to be read. Whatever is changed in one of them is changed in a copy.</summary>
internal sealed class FrozenDirectory : ILogDirectory
{
    private readonly SortedDictionary<string, byte[]> _files = new(StringComparer.Ordinal);

    public string Location => "memory";

    public IReadOnlyCollection<string> Names => _files.Keys;

    public long Bytes => _files.Values.Sum(bytes => (long)bytes.Length);

    /// <summary>Takes all that another directory has.</summary>
    public static FrozenDirectory Of(ILogDirectory directory)
    {
        var frozen = new FrozenDirectory();
        foreach (var name in directory.List())
        {
            using var file = directory.Open(name);
            var bytes = new byte[file.Length];
            file.Read(0, bytes);
            frozen._files.Add(name, bytes);
        }
        return frozen;
    }

    public byte[] this[string name] => _files[name];

    /// <summary>The same, but for one file; null leaves it out.</summary>
    public FrozenDirectory With(string name, byte[]? bytes)
    {
        var other = new FrozenDirectory();
        foreach (var (known, content) in _files)
            other._files.Add(known, content);
        if (bytes is null)
            other._files.Remove(name);
        else
            other._files[name] = bytes;
        return other;
    }

    public IDisposable Lock() => new FrozenFile("", []);

    public IReadOnlyList<string> List() => [.. _files.Keys];

    public bool Exists(string name) => _files.ContainsKey(name);

    public ILogFile Open(string name) => new FrozenFile(name, _files[name]);

    public ILogFile Create(string name, long length) => throw Changed();

    public void Rename(string from, string to) => throw Changed();

    public void Delete(string name) => throw Changed();

    public void Sync() => throw Changed();

    private static InvalidOperationException Changed() => new("What only reads changed the directory.");

    private sealed class FrozenFile(string name, byte[] bytes) : ILogFile
    {
        public string Name => name;

        public long Length => bytes.Length;

        public void Write(long offset, ReadOnlySpan<byte> data) => throw Changed();

        public int Read(long offset, Span<byte> into)
        {
            var count = (int)Math.Clamp(bytes.Length - offset, 0, into.Length);
            bytes.AsSpan((int)Math.Min(offset, bytes.Length), count).CopyTo(into);
            return count;
        }

        public void Sync() => throw Changed();

        public void Dispose()
        {
            // Nothing is held.
        }
    }
}
