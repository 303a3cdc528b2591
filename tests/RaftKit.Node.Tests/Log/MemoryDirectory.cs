using RaftKit.Node.Log;

namespace RaftKit.Node.Tests.Log;

/// <summary>
/// A directory in memory that knows what is durable. A power cut keeps, drops or tears every sector that was not synced, and keeps or
/// loses every name that was not; a kill keeps everything. Chosen sync calls fail, and lose what they should have kept.
/// </summary>
internal sealed class MemoryDirectory(Random random) : ILogDirectory
{
    private const int Sector = 512;
    private Dictionary<string, Node> _names = [];
    private Dictionary<string, Node> _durable = [];
    private readonly List<(string Name, Node? Node, string? From)> _changes = [];
    private int _life;
    private bool _locked;

    public string Location => "memory";

    public int Operations { get; private set; }

    public int Syncs { get; private set; }

    /// <summary>Handles that this process has not closed.</summary>
    public int OpenFiles { get; private set; }

    /// <summary>The call with this number, and all after it, find the power gone.</summary>
    public int? PowerGoesAt { get; set; }

    /// <summary>The n-th file sync fails.</summary>
    public int? SyncFailsAt { get; set; }

    public IReadOnlyDictionary<string, Node> Files => _names;

    public IDisposable Lock()
    {
        if (_locked)
            throw new DirectoryInUseException("memory is held");
        _locked = true;
        return new Held(this);
    }

    public IReadOnlyList<string> List()
    {
        Operation();
        return [.. _names.Keys.Order(StringComparer.Ordinal)];
    }

    public bool Exists(string name)
    {
        Operation();
        return _names.ContainsKey(name);
    }

    public ILogFile Create(string name, long length)
    {
        Operation();
        var node = new Node { Bytes = new byte[length] };
        if (!_names.TryAdd(name, node))
            throw new IOException($"{name} exists");
        _changes.Add((name, node, null));
        return new Handle(this, name, node);
    }

    public ILogFile Open(string name)
    {
        Operation();
        return new Handle(this, name, _names.TryGetValue(name, out var node) ? node : throw new FileNotFoundException(name));
    }

    public void Rename(string from, string to)
    {
        Operation();
        var node = _names[from];
        _names.Remove(from);
        _names[to] = node;
        _changes.Add((to, node, from));
    }

    public void Delete(string name)
    {
        Operation();
        if (!_names.Remove(name))
            throw new FileNotFoundException(name);
        _changes.Add((name, null, null));
    }

    public void Sync()
    {
        Operation();
        _durable = new(_names);
        _changes.Clear();
    }

    /// <summary>A copy in which everything is durable.</summary>
    public MemoryDirectory Copy()
    {
        var copy = new MemoryDirectory(new Random(0));
        foreach (var (name, node) in _names)
            copy.Put(name, [.. node.Bytes]);
        return copy;
    }

    /// <summary>Puts a durable file there, behind everybody's back.</summary>
    public void Put(string name, byte[] bytes)
    {
        var node = new Node { Bytes = bytes };
        node.Sync();
        _names[name] = node;
        _durable[name] = node;
    }

    public void Remove(string name)
    {
        _names.Remove(name);
        _durable.Remove(name);
    }

    public void Kill()
    {
        _life++;
        OpenFiles = 0;
        _locked = false;
        PowerGoesAt = null;
        SyncFailsAt = null;
        foreach (var node in _names.Values)
            node.LoseWhatAFailedSyncLost();
    }

    public void CutPower()
    {
        Kill();
        var names = new Dictionary<string, Node>(_durable);
        var lost = new HashSet<string>();
        var keep = random.NextDouble();
        foreach (var (name, node, from) in _changes)
        {
            if (random.NextDouble() > keep || lost.Contains(name) || (from is not null && lost.Contains(from)))
            {
                lost.Add(name);
                if (from is not null)
                    lost.Add(from);
                continue;
            }
            if (from is not null)
                names.Remove(from);
            if (node is null)
                names.Remove(name);
            else
                names[name] = node;
        }
        _changes.Clear();
        _names = names;
        _durable = new(names);
        foreach (var node in names.Values.Distinct())
            node.CutPower(random);
    }

    private void Operation()
    {
        Operations++;
        if (PowerGoesAt is { } at && Operations >= at)
            throw new IOException("the power is gone");
    }

    private sealed class Held(MemoryDirectory directory) : IDisposable
    {
        public void Dispose() => directory._locked = false;
    }

    internal sealed class Node
    {
        private readonly SortedDictionary<long, byte[]> _unsynced = [];
        private readonly Dictionary<long, byte[]> _lost = [];
        private int _durableLength;

        public byte[] Bytes { get; set; } = [];

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            if (offset + bytes.Length > Bytes.Length)
                Bytes = [.. Bytes, .. new byte[offset + bytes.Length - Bytes.Length]];
            for (var at = offset / Sector * Sector; at < offset + bytes.Length; at += Sector)
            {
                if (!_unsynced.ContainsKey(at))
                    _unsynced[at] = _lost.Remove(at, out var old)
                        ? old
                        : Bytes.AsSpan((int)at, Math.Min(Sector, Bytes.Length - (int)at)).ToArray();
            }
            bytes.CopyTo(Bytes.AsSpan((int)offset));
        }

        public void Sync()
        {
            _unsynced.Clear();
            _durableLength = Bytes.Length;
        }

        public void FailSync(Random random)
        {
            foreach (var (at, old) in _unsynced)
            {
                if (random.Next(2) == 0)
                    _lost[at] = old;
            }
            _unsynced.Clear();
            _durableLength = Math.Max(_durableLength, random.Next(2) * Bytes.Length);
        }

        public void LoseWhatAFailedSyncLost()
        {
            // A power cut may have taken the file's end, and such a sector with it.
            foreach (var (at, old) in _lost.Where(lost => lost.Key < Bytes.Length))
                old.AsSpan(0, (int)Math.Min(old.Length, Bytes.Length - at)).CopyTo(Bytes.AsSpan((int)at));
            _lost.Clear();
        }

        public void CutPower(Random random)
        {
            var keep = random.NextDouble();
            foreach (var (at, old) in _unsynced)
            {
                var draw = random.NextDouble();
                if (draw < keep)
                    continue;
                // Dropped, or torn: its head is new, its tail old.
                var head = random.Next(3) == 0 ? random.Next(Math.Min(Sector, old.Length)) : 0;
                old.AsSpan(head).CopyTo(Bytes.AsSpan((int)at + head));
            }
            _unsynced.Clear();
            if (random.Next(2) == 0 && _durableLength < Bytes.Length)
                Bytes = Bytes[.._durableLength];
            _durableLength = Bytes.Length;
        }
    }

    private sealed class Handle : ILogFile
    {
        private readonly MemoryDirectory _directory;
        private readonly string _name;
        private readonly Node _node;
        private readonly int _life;
        private bool _closed;

        public Handle(MemoryDirectory directory, string name, Node node)
        {
            (_directory, _name, _node, _life) = (directory, name, node, directory._life);
            directory.OpenFiles++;
        }

        public string Name => _name;

        public long Length => _node.Bytes.Length;

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            Check();
            _node.Write(offset, bytes);
        }

        public int Read(long offset, Span<byte> into)
        {
            Check();
            var count = (int)Math.Clamp(_node.Bytes.Length - offset, 0, into.Length);
            _node.Bytes.AsSpan((int)Math.Min(offset, _node.Bytes.Length), count).CopyTo(into);
            return count;
        }

        public void Sync()
        {
            Check();
            _directory.Syncs++;
            if (_directory.SyncFailsAt is { } at && --at >= 0)
            {
                _directory.SyncFailsAt = at;
                if (at == 0)
                {
                    _node.FailSync(_directory.RandomSource);
                    throw new IOException("fdatasync failed with errno 5");
                }
            }
            _node.Sync();
        }

        public void Dispose()
        {
            if (!_closed && _life == _directory._life)
                _directory.OpenFiles--;
            _closed = true;
        }

        private void Check()
        {
            ObjectDisposedException.ThrowIf(_closed || _life != _directory._life, this);
            _directory.Operation();
        }
    }

    private Random RandomSource => random;
}
