using RaftKit.Node.Log;

namespace RaftKit.Node.Tests.Log;

/// <summary>A directory whose disk answers reads of some places with EIO, always or for a number of times.</summary>
internal sealed class BadSectors(ILogDirectory disk) : ILogDirectory
{
    private readonly Dictionary<(string File, long Page), (int After, int Times)> _bad = [];

    private readonly Dictionary<(string File, long Page), int> _flickers = [];

    public string Location => disk.Location;

    /// <summary>How many reads failed.</summary>
    public int Failed { get; private set; }

    /// <summary>A page of 4096 bytes cannot be read, this many times, once it was read so often.</summary>
    public void Spoil(string file, long page, int times = int.MaxValue, int after = 0) => _bad[(file, page)] = (after, times);

    /// <summary>Every other reading of a page gives something else than what was written.</summary>
    public void Flicker(string file, long page) => _flickers[(file, page)] = 0;

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
                if (!owner._bad.TryGetValue((Name, page), out var bad) || bad.Times == 0)
                    continue;
                if (bad.After > 0)
                {
                    owner._bad[(Name, page)] = (bad.After - 1, bad.Times);
                    continue;
                }
                owner._bad[(Name, page)] = (0, bad.Times - 1);
                owner.Failed++;
                throw new LogFailedException($"read of {Name} failed: Input/output error");
            }
            var count = file.Read(offset, into);
            for (var page = offset / 4096; page * 4096 < offset + count; page++)
            {
                if (owner._flickers.TryGetValue((Name, page), out var readings) && (owner._flickers[(Name, page)] = readings + 1) % 2 == 0)
                    into[(int)((page * 4096) - offset + 100)] ^= 1;
            }
            return count;
        }

        public void Sync() => file.Sync();

        public void Dispose() => file.Dispose();
    }
}
