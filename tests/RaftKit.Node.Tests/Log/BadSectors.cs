using RaftKit.Node.Log;

namespace RaftKit.Node.Tests.Log;

/// <summary>A directory whose disk answers reads of some places with EIO, always or for a number of times.</summary>
internal sealed class BadSectors(ILogDirectory disk) : ILogDirectory
{
    private readonly Dictionary<(string File, long Page), int> _bad = [];

    public string Location => disk.Location;

    /// <summary>How many reads failed.</summary>
    public int Failed { get; private set; }

    /// <summary>A page of 4096 bytes cannot be read, this many times.</summary>
    public void Spoil(string file, long page, int times = int.MaxValue) => _bad[(file, page)] = times;

    public IDisposable Lock() => disk.Lock();

    public IReadOnlyList<string> List() => disk.List();

    public bool Exists(string name) => disk.Exists(name);

    public ILogFile Create(string name, long length) => new Handle(this, disk.Create(name, length));

    public ILogFile Open(string name) => new Handle(this, disk.Open(name));

    public void Rename(string from, string to) => disk.Rename(from, to);

    public void Delete(string name) => disk.Delete(name);

    public void Sync() => disk.Sync();

    private sealed class Handle(BadSectors owner, ILogFile file) : ILogFile
    {
        public string Name => file.Name;

        public long Length => file.Length;

        public void Write(long offset, ReadOnlySpan<byte> bytes) => file.Write(offset, bytes);

        public int Read(long offset, Span<byte> into)
        {
            for (var page = offset / 4096; page * 4096 < offset + into.Length; page++)
            {
                if (!owner._bad.TryGetValue((Name, page), out var times) || times == 0)
                    continue;
                owner._bad[(Name, page)] = times - 1;
                owner.Failed++;
                throw new LogFailedException($"read of {Name} failed: Input/output error");
            }
            return file.Read(offset, into);
        }

        public void Sync() => file.Sync();

        public void Dispose() => file.Dispose();
    }
}
