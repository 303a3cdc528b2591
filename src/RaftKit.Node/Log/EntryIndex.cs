using RaftKit.Consensus;

namespace RaftKit.Node.Log;

/// <summary>Where an entry's record stands.</summary>
/// <param name="Segment">Its segment.</param>
/// <param name="Offset">Its first payload byte, counted in the segment's payload bytes (page * payload per page + place in it).</param>
/// <param name="Length">Its length in payload bytes.</param>
internal readonly record struct EntryPlace(Segment Segment, int Offset, int Length);

/// <summary>
/// The places of all entries, by index. The log lane changes it while the loop reads: its lock is held for a few array accesses, never
/// over I/O. In chunks, so that it grows at the end and shrinks at the front without moving.
/// </summary>
internal sealed class EntryIndex
{
    private const int ChunkSize = 1024;
    private readonly Lock _lock = new();
    private readonly List<EntryPlace[]> _chunks = [];
    private long _base;
    private long _first;
    private long _next;

    public EntryIndex(LogIndex next) => Restart(next.Value);

    public LogIndex First => Locked(static index => index._first);

    public LogIndex Next => Locked(static index => index._next);

    public void Add(in EntryPlace place)
    {
        lock (_lock)
        {
            var at = _next - _base;
            if (at == (long)_chunks.Count * ChunkSize)
                _chunks.Add(new EntryPlace[ChunkSize]);
            _chunks[(int)(at / ChunkSize)][at % ChunkSize] = place;
            _next++;
        }
    }

    /// <summary>Forgets the entries from this index on; below the first, the log goes on from there.</summary>
    public void Truncate(LogIndex from)
    {
        lock (_lock)
        {
            if (from.Value < _first)
            {
                Restart(from.Value);
                return;
            }
            _next = Math.Min(_next, from.Value);
            var chunks = (int)((_next - _base + ChunkSize - 1) / ChunkSize);
            _chunks.RemoveRange(chunks, _chunks.Count - chunks);
        }
    }

    /// <summary>Forgets everything; the next entry has this index.</summary>
    public void Reset(LogIndex next)
    {
        lock (_lock)
            Restart(next.Value);
    }

    /// <summary>Forgets the entries before this index: their segment is gone.</summary>
    public void DropBefore(LogIndex first)
    {
        lock (_lock)
        {
            _first = Math.Clamp(first.Value, _first, _next);
            var chunks = (int)((_first - _base) / ChunkSize);
            _chunks.RemoveRange(0, chunks);
            _base += (long)chunks * ChunkSize;
        }
    }

    /// <summary>
    /// The places from <paramref name="from"/> to <paramref name="last"/>: at least one, then as many as fit in the bytes.
    /// </summary>
    public void Copy(LogIndex from, LogIndex last, int maxBytes, List<EntryPlace> into)
    {
        lock (_lock)
        {
            Invariant.Holds(from.Value >= _first && from <= last && last.Value < _next,
                $"entries {from} to {last} were asked for, the log holds {_first} to {_next - 1}");
            long bytes = 0;
            for (var index = from.Value; index <= last.Value; index++)
            {
                var at = index - _base;
                ref readonly var place = ref _chunks[(int)(at / ChunkSize)][at % ChunkSize];
                bytes += place.Length;
                if (bytes > maxBytes && into.Count > 0)
                    return;
                into.Add(place);
            }
        }
    }

    private LogIndex Locked(Func<EntryIndex, long> read)
    {
        lock (_lock)
            return new LogIndex(read(this));
    }

    private void Restart(long next)
    {
        _chunks.Clear();
        _base = _first = _next = next;
    }
}
