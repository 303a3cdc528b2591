namespace RaftKit.Consensus;

/// <summary>
/// The term of every entry, from the one just before the log's first (a snapshot's boundary) to its last, as runs: terms change only
/// with elections, so millions of entries take a few lines. That lets the core compare logs without reading a disk.
/// </summary>
internal sealed class TermRuns
{
    private readonly List<(LogIndex First, Term Term)> _runs = [];

    public TermRuns(LogIndex baseIndex, Term baseTerm) => Reset(baseIndex, baseTerm);

    /// <summary>The position before the first entry that can be read; its term is known.</summary>
    public LogIndex Base => _runs[0].First;

    public LogIndex Last { get; private set; }

    public Term LastTerm => _runs[^1].Term;

    public void Append(LogIndex index, Term term)
    {
        Invariant.Holds(index == Last.Next, $"the term of entry {index} appended after {Last}");
        Invariant.Holds(term >= LastTerm, $"entry {index} has term {term}, the one before it {LastTerm}");
        if (term > LastTerm)
            _runs.Add((index, term));
        Last = index;
    }

    /// <summary>The term of the entry; null when the log does not reach there, at either end.</summary>
    public Term? TermAt(LogIndex index) => index < Base || index > Last ? null : _runs[RunOf(index)].Term;

    /// <summary>
    /// The last position, not after <paramref name="index"/>, whose term is at most <paramref name="term"/>; the base at the least.
    /// </summary>
    public LogIndex LastAtMost(LogIndex index, Term term)
    {
        if (index < Base)
            return Base;
        index = LogIndex.Min(index, Last);
        int run = RunOf(index);
        if (_runs[run].Term <= term)
            return index;
        while (run > 0 && _runs[run].Term > term)
            run--;
        return _runs[run].Term > term ? Base : _runs[run + 1].First.Previous;
    }

    public void CutFrom(LogIndex from)
    {
        Invariant.Holds(from > Base, $"entries cut from {from}, but the log starts after {Base}");
        while (_runs[^1].First >= from)
            _runs.RemoveAt(_runs.Count - 1);
        Last = LogIndex.Min(Last, from.Previous);
    }

    /// <summary>Moves the base up: what lies before it can no longer be read.</summary>
    public void CompactTo(LogIndex index)
    {
        Invariant.Holds(index >= Base && index <= Last, $"compaction to {index}, but the log is {Base} to {Last}");
        int run = RunOf(index);
        Term term = _runs[run].Term;
        _runs.RemoveRange(0, run);
        _runs[0] = (index, term);
    }

    public void Reset(LogIndex baseIndex, Term baseTerm)
    {
        _runs.Clear();
        _runs.Add((baseIndex, baseTerm));
        Last = baseIndex;
    }

    private int RunOf(LogIndex index)
    {
        int low = 0, high = _runs.Count - 1;
        if (_runs[high].First <= index)
            return high;
        while (low < high)
        {
            int middle = (low + high + 1) / 2;
            if (_runs[middle].First <= index)
                low = middle;
            else
                high = middle - 1;
        }
        return low;
    }
}
