using System.Numerics;

namespace RaftKit.Consensus;

/// <summary>
/// The newest entries of the log, in memory, contiguous. Beside each entry stands the running total of weights, so that the bytes of
/// any range are one subtraction.
/// </summary>
internal sealed class EntryRing
{
    private Entry[] _entries = new Entry[64];
    private long[] _totals = new long[64];
    private int _head;
    private int _count;
    private long _totalBefore;

    public EntryRing(LogIndex before) => First = before.Next;

    /// <summary>The first entry held; one past <see cref="Last"/> when nothing is held.</summary>
    public LogIndex First { get; private set; }

    public LogIndex Last => First + (_count - 1);

    public ref readonly Entry this[LogIndex index] => ref _entries[Slot(index)];

    public void Append(in Entry entry)
    {
        Invariant.Holds(entry.Index == Last.Next, $"entry {entry.Index} appended after {Last}");
        if (_count == _entries.Length)
            Grow();
        long total = TotalUpTo(Last) + entry.Weight;
        int slot = (_head + _count) & (_entries.Length - 1);
        _entries[slot] = entry;
        _totals[slot] = total;
        _count++;
    }

    /// <summary>Removes the entry and everything after it.</summary>
    public void CutFrom(LogIndex from)
    {
        while (_count > 0 && Last >= from)
        {
            _entries[Slot(Last)] = default;
            _count--;
        }
    }

    /// <summary>Lets go of everything up to and including the entry.</summary>
    public void DropUpTo(LogIndex index)
    {
        while (_count > 0 && First <= index)
        {
            _totalBefore = _totals[_head];
            _entries[_head] = default;
            _head = (_head + 1) & (_entries.Length - 1);
            _count--;
            First = First.Next;
        }
    }

    /// <summary>Empties the ring; the next entry is the one after <paramref name="before"/>.</summary>
    public void Reset(LogIndex before)
    {
        DropUpTo(Last);
        First = before.Next;
    }

    /// <summary>The weights of the entries after the first index, up to and including the second.</summary>
    public long BytesBetween(LogIndex after, LogIndex upTo) => upTo <= after ? 0 : TotalUpTo(upTo) - TotalUpTo(after);

    /// <summary>
    /// The last entry such that all from <paramref name="from"/> to it fit in the bytes; <paramref name="from"/> itself always fits.
    /// </summary>
    public LogIndex LastThatFits(LogIndex from, long maxBytes)
    {
        long limit = TotalUpTo(from.Previous) + maxBytes;
        LogIndex low = from, high = Last;
        while (low < high)
        {
            LogIndex middle = low + (((high - low) + 1) / 2);
            if (TotalUpTo(middle) <= limit)
                low = middle;
            else
                high = middle.Previous;
        }
        return low;
    }

    private long TotalUpTo(LogIndex index) => index < First ? _totalBefore : _totals[Slot(index)];

    private int Slot(LogIndex index)
    {
        long offset = index - First;
        Invariant.Holds(offset >= 0 && offset < _count, $"entry {index} is not among those in memory, {First} to {Last}");
        return (_head + (int)offset) & (_entries.Length - 1);
    }

    private void Grow()
    {
        int capacity = (int)BitOperations.RoundUpToPowerOf2((uint)_entries.Length + 1);
        var entries = new Entry[capacity];
        var totals = new long[capacity];
        for (int i = 0; i < _count; i++)
        {
            int slot = (_head + i) & (_entries.Length - 1);
            entries[i] = _entries[slot];
            totals[i] = _totals[slot];
        }
        (_entries, _totals, _head) = (entries, totals, 0);
    }
}
