namespace RaftKit.Consensus;

/// <summary>
/// The log as the core sees it: the terms of all of it, the newest entries in memory, the older ones through
/// <see cref="IEntryReader"/>. It also knows what the disk was told already, so that a turn's cuts and appends come out as one.
/// </summary>
internal sealed class LogView
{
    private readonly IEntryReader _reader;
    private readonly TermRuns _terms;
    private readonly EntryRing _recent;
    private LogIndex _toldDisk;
    private LogIndex? _cutFrom;
    private Entry[] _slice = [];

    public LogView(RestoredState restored, IEntryReader reader)
    {
        _reader = reader;
        var (baseIndex, baseTerm) = BaseOf(restored);
        _terms = new TermRuns(baseIndex, baseTerm);
        LastStamp = restored.Snapshot?.Stamp ?? 0;
        LogIndex firstGiven = restored.Entries.Count > 0 ? restored.Entries[0].Index : baseIndex.Next;
        ReadOlder(baseIndex.Next, firstGiven.Previous);
        _recent = new EntryRing(LogIndex.Max(baseIndex, firstGiven.Previous));
        foreach (var entry in restored.Entries)
        {
            if (entry.Index <= baseIndex)
                continue;
            Append(entry);
            NoteMembership(entry);
        }
        _toldDisk = Last;
        RottenEnd = restored.RottenEnd;
        NoteRepair();
    }

    /// <summary>
    /// Where the log ended before some of it rotted; null once this log is at least as up to date again. Until then everything that must
    /// not be forgotten goes by it, and everything that is to be read, acknowledged or applied goes by <see cref="Last"/>.
    /// </summary>
    public LogEnd? RottenEnd { get; private set; }

    /// <summary>The membership entries that restoring found, oldest first.</summary>
    public List<Entry> RestoredMemberships { get; } = [];

    /// <summary>
    /// The position before the first entry that can be read; its term is known. Behind the snapshot only while one is missing
    /// (<see cref="RaftCore.NeedsSnapshot"/>).
    /// </summary>
    public LogIndex Base => _terms.Base;

    public LogIndex Last => _terms.Last;

    public Term LastTerm => _terms.LastTerm;

    public long LastStamp { get; private set; }

    /// <summary>The first entry held in memory.</summary>
    public LogIndex FirstInMemory => _recent.First;

    /// <summary>The entry's term; null when the log does not hold it.</summary>
    public Term? TermAt(LogIndex index) => _terms.TermAt(index);

    /// <summary>Whether the log holds exactly this entry, or starts right after it.</summary>
    public bool Holds(LogIndex index, Term term) => _terms.TermAt(index) == term;

    /// <summary>The last position, not after the index, whose term is at most this one (fast back-off, Raft 5.3).</summary>
    public LogIndex LastAtMost(LogIndex index, Term term) => _terms.LastAtMost(index, term);

    /// <summary>Whether a log that ends there is at least as up to date as this one (Raft 5.4.1), rotten entries included.</summary>
    public bool IsUpToDate(LogIndex lastIndex, Term lastTerm) =>
        new LogEnd(lastIndex, lastTerm).Reaches(RottenEnd ?? new LogEnd(Last, LastTerm));

    /// <summary>The weights of the entries after the index; all of them must be in memory.</summary>
    public long BytesAfter(LogIndex index) => _recent.BytesBetween(index, Last);

    public void Append(in Entry entry)
    {
        _terms.Append(entry.Index, entry.Term);
        _recent.Append(entry);
        LastStamp = Math.Max(LastStamp, entry.Stamp);
        NoteRepair();
    }

    /// <summary>Removes a suffix that conflicts with the leader's log (Raft 5.3).</summary>
    public void CutFrom(LogIndex from, LogIndex commit)
    {
        Invariant.Holds(from > commit, $"entries would be cut from {from} on, but {commit} is committed");
        _terms.CutFrom(from);
        if (from >= _recent.First)
            _recent.CutFrom(from);
        else
            _recent.Reset(from.Previous);
        _slice = [];
        if (from <= _toldDisk)
        {
            _cutFrom = from;
            _toldDisk = from.Previous;
        }
        if (Last >= _recent.First)
            LastStamp = _recent[Last].Stamp;
    }

    /// <summary>Starts over after a snapshot that the log does not reach.</summary>
    public void Reset(SnapshotMark snapshot)
    {
        _terms.Reset(snapshot.Index, snapshot.Term);
        _recent.Reset(snapshot.Index);
        _slice = [];
        _toldDisk = snapshot.Index;
        _cutFrom = null;
        LastStamp = snapshot.Stamp;
        NoteRepair();
    }

    /// <summary>Lets the log start later. Never cuts what is not told to the disk, nor past the end.</summary>
    public void CompactTo(LogIndex index)
    {
        if (index <= Base)
            return;
        _terms.CompactTo(index);
        _recent.DropUpTo(index);
    }

    /// <summary>
    /// Lets go of the oldest entries in memory, while those up to <paramref name="upTo"/> weigh more than <paramref name="keepBytes"/>.
    /// </summary>
    public void TrimMemory(LogIndex upTo, long keepBytes)
    {
        while (_recent.First <= upTo && _recent.BytesBetween(_recent.First.Previous, upTo) > keepBytes)
            _recent.DropUpTo(_recent.First);
    }

    /// <summary>
    /// Entries from there on, for a peer: at least one when there is one, then as many as fit. Never changed afterwards, and shared between
    /// peers. Null if they rotted; what is not applied yet is in no state that could replace it, so that stops this node.
    /// </summary>
    public IReadOnlyList<Entry>? Slice(LogIndex from, int maxBytes, LogIndex applied)
    {
        if (from > Last)
            return [];
        if (from < _recent.First)
        {
            List<Entry> read = [];
            return TryRead(from, Last, maxBytes, applied, read) ? read : null;
        }
        LogIndex to = _recent.LastThatFits(from, maxBytes);
        if (_slice.Length > 0 && _slice[0].Index == from && _slice[^1].Index == to)
            return _slice;
        _slice = new Entry[(to - from) + 1];
        for (int i = 0; i < _slice.Length; i++)
            _slice[i] = _recent[from + i];
        return _slice;
    }

    /// <summary>Reads entries from memory or through the reader: at least one, then as many as fit in the bytes.</summary>
    public void Read(LogIndex from, LogIndex last, int maxBytes, List<Entry> into) => TryRead(from, last, maxBytes, LogIndex.Zero, into);

    /// <summary>As <see cref="Read"/>; false, with nothing read, if the first is applied and rotted.</summary>
    public bool TryRead(LogIndex from, LogIndex last, int maxBytes, LogIndex applied, List<Entry> into)
    {
        Invariant.Holds(from > Base && last <= Last, $"entries {from} to {last} asked for, but the log is {Base.Next} to {Last}");
        int start = into.Count;
        long left = maxBytes;
        if (from < _recent.First)
        {
            LogIndex older = LogIndex.Min(last, _recent.First.Previous);
            if (from > applied)
                _reader.Read(from, older, maxBytes, into);
            else if (!_reader.TryRead(from, LogIndex.Min(older, applied), maxBytes, into))
                return false;
            Invariant.Holds(into.Count > start, $"the log's reader gave nothing for entry {from}");
            for (int i = start; i < into.Count; i++)
            {
                left -= into[i].Weight;
                Invariant.Holds(
                    into[i].Index == from && Holds(from, into[i].Term), $"the log's reader gave {into[i].Index} for entry {from}");
                from = from.Next;
            }
        }
        for (; from <= last && from >= _recent.First; from = from.Next)
        {
            ref readonly Entry entry = ref _recent[from];
            left -= entry.Weight;
            if (left < 0 && into.Count > start)
                break;
            into.Add(entry);
        }
        return true;
    }

    /// <summary>
    /// Moves what the disk has not been told yet into the effects: one cut at the most, then what follows it. Merges with what an
    /// earlier call of the same turn put there.
    /// </summary>
    /// <returns>Whether there was anything.</returns>
    public bool HandOver(Effects effects)
    {
        bool any = false;
        if (_cutFrom is { } cut)
        {
            any = true;
            // Entries of this same turn never reached the disk: taking them back is enough, unless the cut goes below them.
            bool belowThisTurn = effects.Append.Count == 0 || cut < effects.Append[0].Index;
            TakeBack(effects.Append, cut);
            if (belowThisTurn && (effects.TruncateFrom is not { } earlier || cut < earlier))
                effects.TruncateFrom = cut;
            _cutFrom = null;
        }
        for (var index = _toldDisk.Next; index <= Last; index = index.Next)
        {
            effects.Append.Add(_recent[index]);
            any = true;
        }
        _toldDisk = Last;
        return any;
    }

    // Apart from its caller, whose every call would allocate what the lambda captures.
    private static void TakeBack(List<Entry> appended, LogIndex cut) => appended.RemoveAll(entry => entry.Index >= cut);

    // What is here came from a leader that has all that was committed, and ends no earlier: nothing that this member acknowledged, and that
    // counts, is missing any more.
    private void NoteRepair()
    {
        if (RottenEnd is { } rotten && new LogEnd(Last, LastTerm).Reaches(rotten))
            RottenEnd = null;
    }

    private static (LogIndex Index, Term Term) BaseOf(RestoredState restored)
    {
        if (restored.Snapshot is not { } snapshot)
            return (LogIndex.Zero, Term.Zero);
        // Entries kept from before the snapshot, up to it at least. Nothing tells the term before the first, so it becomes the boundary
        // itself.
        if (restored.Entries.Count > 0 && restored.Entries[0].Index <= snapshot.Index && restored.Entries[^1].Index >= snapshot.Index)
            return restored.Entries[0].Index.Value == 1
                ? (LogIndex.Zero, Term.Zero)
                : (restored.Entries[0].Index, restored.Entries[0].Term);
        return (snapshot.Index, snapshot.Term);
    }

    private void ReadOlder(LogIndex from, LogIndex last)
    {
        List<Entry> read = [];
        while (from <= last)
        {
            read.Clear();
            _reader.Read(from, last, 1 << 20, read);
            Invariant.Holds(read.Count > 0, $"the log's reader gave nothing for entry {from}");
            foreach (var entry in read)
            {
                _terms.Append(entry.Index, entry.Term);
                NoteMembership(entry);
                from = entry.Index.Next;
            }
        }
    }

    private void NoteMembership(in Entry entry)
    {
        if (entry.Kind == EntryKind.Membership)
            RestoredMemberships.Add(entry);
    }
}
