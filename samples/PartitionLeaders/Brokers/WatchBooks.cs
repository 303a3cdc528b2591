using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>
/// What one session was told of the children of one znode, in three ways: a stream of every change, watches that are told once, and reads.
/// Each is held against the others: nothing may be missing in any, and nothing may be told that did not happen.
/// </summary>
internal sealed class WatchBooks(string root, long from, IReadOnlyList<string> names)
{
    private readonly Lock _lock = new();
    private readonly List<WatchEvent> _stream = [];
    private readonly List<(long Zxid, IReadOnlyList<string> Names)> _reads = [];
    private readonly List<Watch> _watches = [];

    /// <summary>The stream told of a change. Changes of data are no changes of children.</summary>
    public void Streamed(WatchEvent change)
    {
        lock (_lock)
        {
            if (change.Type is WatchEventType.Created or WatchEventType.Deleted && change.Path != root)
                _stream.Add(change);
        }
    }

    public void Read(long zxid, IReadOnlyList<string> read)
    {
        lock (_lock)
            _reads.Add((zxid, read));
    }

    /// <summary>A watch that a read of the children sets, told once by their next change.</summary>
    public Watch NewWatch() => new(_lock);

    /// <summary>The read that set it saw this state.</summary>
    public void Set(Watch watch, long zxid)
    {
        lock (_lock)
        {
            watch.SetAt = zxid;
            _watches.Add(watch);
        }
    }

    /// <summary>Holds all of it together, up to a zxid up to which everything must have been told by now.</summary>
    /// <returns>What is wrong; null if nothing.</returns>
    public string? Check(long until)
    {
        lock (_lock)
            return CheckOrder() ?? CheckReads(until) ?? CheckWatches(until);
    }

    private string? CheckOrder()
    {
        var last = from;
        foreach (var change in _stream)
        {
            if (change.Zxid < last || change.Zxid <= from)
                return $"the stream told {change} after zxid {last:x}";
            last = change.Zxid;
        }

        return null;
    }

    private string? CheckReads(long until)
    {
        foreach (var (zxid, read) in _reads.Where(read => read.Zxid <= until))
        {
            var there = new SortedSet<string>(names, StringComparer.Ordinal);
            foreach (var change in _stream.TakeWhile(change => change.Zxid <= zxid))
            {
                var name = change.Path[(root.Length + 1)..];
                if (!(change.Type == WatchEventType.Created ? there.Add(name) : there.Remove(name)))
                    return $"the stream told {change}, and that was so before";
            }

            if (!there.SequenceEqual(read, StringComparer.Ordinal))
                return $"at zxid {zxid:x} a read found {string.Join(' ', read)}, and the stream makes it {string.Join(' ', there)}";
        }

        return null;
    }

    private string? CheckWatches(long until)
    {
        foreach (var watch in _watches.Where(watch => watch.SetAt <= until))
        {
            var first = _stream.FirstOrDefault(change => change.Zxid > watch.SetAt);
            var due = first.Zxid > watch.SetAt && first.Zxid <= until;
            if (watch.Told.Count > 1)
                return $"a watch of zxid {watch.SetAt:x} was told {watch.Told.Count} times: {string.Join(", ", watch.Told)}";
            // Of the last change another watch was told, which need not be the last that is.
            if (due && first.Zxid < until && watch.Told.Count == 0)
                return $"a watch of zxid {watch.SetAt:x} was not told of {first}";
            if (watch.Told.Count == 1 && watch.Told[0].Zxid <= until && !(due && watch.Told[0].Zxid == first.Zxid))
                return $"a watch of zxid {watch.SetAt:x} was told {watch.Told[0]}, and what happened first was {(due ? first : "nothing")}";
        }

        return null;
    }

    /// <summary>One watch.</summary>
    internal sealed class Watch(Lock gate)
    {
        public long SetAt { get; set; }

        public List<WatchEvent> Told { get; } = [];

        public void Tell(WatchEvent told)
        {
            lock (gate)
                Told.Add(told);
        }
    }
}
