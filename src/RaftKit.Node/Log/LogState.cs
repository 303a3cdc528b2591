using RaftKit.Consensus;

namespace RaftKit.Node.Log;

/// <summary>
/// What the log says so far, while its records are read at recovery: term and vote, peers' boots, and the entries that still count. Where
/// entries rotted it goes on behind them, and keeps what stood before them apart: <see cref="Settle"/> says at the end what is left.
/// </summary>
internal sealed class LogState
{
    private readonly SortedDictionary<MemberId, PeerBoot> _boots = [];
    private Readable? _before;
    private bool _isNextExact = true;
    private Term? _baseTerm;
    private bool _mayHaveJumped;

    public Term Term { get; private set; }

    public MemberId Vote { get; private set; }

    /// <summary>Whether no change of term or vote was among what cannot be read, or a later one followed.</summary>
    public bool IsTermKnown { get; private set; } = true;

    /// <summary>
    /// Whether no word of where an earlier log ended was among what cannot be read, or a later segment, which would repeat it, followed.
    /// </summary>
    public bool IsEarlierEndKnown { get; private set; } = true;

    /// <summary>
    /// Whether the log did surely not end behind <see cref="Next"/>: a start behind a snapshot may be among what cannot be read.
    /// </summary>
    public bool IsBounded(SnapshotMark? snapshot) => !_mayHaveJumped || First <= (snapshot?.Index ?? LogIndex.Zero).Next;

    /// <summary>The entries that still count, contiguous, from <see cref="First"/> on.</summary>
    public List<Entry> Entries { get; private set; } = [];

    /// <summary>Where each stands; of those in the durable part only.</summary>
    public List<EntryPlace> Places { get; private set; } = [];

    public LogIndex First { get; private set; } = new(1);

    public LogIndex Next => First + Entries.Count;

    /// <summary>The index of the next entry; null where it is only known to be <see cref="Next"/> at the most.</summary>
    public LogIndex? KnownNext => _isNextExact ? Next : null;

    public IReadOnlyList<PeerBoot> Boots => [.. _boots.Values];

    /// <summary>Where the log ended before some of it rotted; null when it is at least as up to date again.</summary>
    public LogEnd? RottenEnd { get; private set; }

    public Term LastTerm => Entries.Count > 0 ? Entries[^1].Term : _baseTerm ?? Term;

    public void Remember(PeerBoot boot) => _boots[boot.Member] = boot;

    public void Vow(Term term, MemberId vote)
    {
        (Term, Vote) = (term, vote);
        IsTermKnown = true;
    }

    /// <summary>Starts from the oldest segment's header: what was before it is gone.</summary>
    public void Start(SegmentHeader header)
    {
        Restart(header.NextIndex);
        Take(header);
    }

    /// <summary>A later segment's header.</summary>
    /// <returns>Whether it goes on where the log before it ends.</returns>
    public bool GoOn(SegmentHeader header)
    {
        if (!_isNextExact && Entries.Count == 0 && header.NextIndex <= First)
            (First, _isNextExact) = (header.NextIndex, true);
        if (header.NextIndex != Next)
            return false;
        _mayHaveJumped = false;
        IsEarlierEndKnown = true;
        Take(header);
        return true;
    }

    /// <returns>Whether it is the next one.</returns>
    public bool Add(in Entry entry)
    {
        if (!_isNextExact && Entries.Count == 0 && entry.Index <= First)
            (First, _isNextExact) = (entry.Index, true);
        if (entry.Index != Next)
            return false;
        _mayHaveJumped = false;
        Entries.Add(entry);
        NoteRepair();
        return true;
    }

    public void Truncate(LogIndex from)
    {
        // Into what cannot be read, or before it: the log ends there now, and what stood before is all that there is, if the rest of it is
        // known.
        if (_before is { } before && from <= First)
        {
            if ((before.IsCertain && from <= before.Next) || from <= before.First)
                TakeBack(before);
            else
            {
                Clear(from);
                return;
            }
        }
        if (from < First)
        {
            Clear(from);
            return;
        }
        var kept = (int)Math.Min(from - First, Entries.Count);
        Entries.RemoveRange(kept, Entries.Count - kept);
        if (kept < Places.Count)
            Places.RemoveRange(kept, Places.Count - kept);
    }

    /// <summary>The log starts anew behind a snapshot.</summary>
    public void Reset(SnapshotMark mark)
    {
        Restart(mark.Index.Next);
        _mayHaveJumped = false;
        _baseTerm = mark.Term;
        NoteRepair();
    }

    /// <summary>Lets go of the entries that the snapshot covers; of the others, none is in the durable part.</summary>
    public void BeginBehind(SnapshotMark mark)
    {
        Entries = Entries[(int)(mark.Index.Next - First)..];
        (First, Places, _baseTerm) = (mark.Index.Next, [], mark.Term);
    }

    public void Restart(LogIndex next)
    {
        _before = null;
        Clear(next);
    }

    /// <summary>An earlier start could not read what was there.</summary>
    public void Remember(LogEnd rottenEnd)
    {
        if (RottenEnd is not { } known || !known.Reaches(rottenEnd))
            RottenEnd = rottenEnd;
    }

    /// <summary>Entries before <paramref name="next"/> cannot be read.</summary>
    /// <param name="next">The index of the next entry...</param>
    /// <param name="isExact">...or one that is not below it.</param>
    public void Lose(LogIndex next, bool isExact)
    {
        _before ??= new Readable(First, Entries, Places, true);
        Clear(next);
        _isNextExact = isExact;
    }

    /// <summary>Nothing is known of what was written there.</summary>
    /// <param name="bytes">How much it was.</param>
    /// <param name="mayBeVow">Perhaps a change of term or vote, or a cut, which takes along what seems to be there still.</param>
    /// <param name="isBeginning">A segment begins there.</param>
    public void LoseAll(int bytes, bool mayBeVow, bool isBeginning)
    {
        Lose(Next + ((bytes / LogSalvage.ShortestEntry) + 1), isExact: false);
        if (!mayBeVow)
            return;
        _before = _before! with { IsCertain = false };
        IsTermKnown = false;
        _mayHaveJumped = true;
        IsEarlierEndKnown &= !isBeginning;
    }

    /// <summary>
    /// Everything was read: what is left is what reaches back to the snapshot without a gap. If something else was there, the log counts as
    /// ending where that ended.
    /// </summary>
    /// <param name="snapshot">The newest whole snapshot; null if none.</param>
    public LogRemainder Settle(SnapshotMark? snapshot)
    {
        var covered = snapshot?.Index ?? LogIndex.Zero;
        var remainder = LogRemainder.All;
        if (First > covered.Next)
        {
            Remember(new LogEnd(Next.Previous, LastTerm));
            if (_before is { IsCertain: true } before && before.First <= covered.Next && before.Next > covered)
            {
                TakeBack(before);
                remainder = LogRemainder.Beginning;
            }
            else
            {
                Restart(covered.Next);
                remainder = LogRemainder.Snapshot;
            }
        }
        _before = null;
        if (remainder == LogRemainder.All)
            NoteRepair();
        if (snapshot is not null && RottenEnd is { } rotten && new LogEnd(snapshot.Index, snapshot.Term).Reaches(rotten))
            RottenEnd = null;
        return remainder;
    }

    private void Take(SegmentHeader header)
    {
        Vow(header.Term, header.Vote);
        foreach (var boot in header.PeerBoots)
            Remember(boot);
    }

    private void TakeBack(Readable before)
    {
        (First, Entries, Places, _isNextExact, _before) = (before.First, before.Entries, before.Places, true, null);
    }

    private void Clear(LogIndex next)
    {
        // Not emptied: what stood before a gap is kept.
        (First, Entries, Places, _isNextExact, _baseTerm) = (next, [], [], true, null);
    }

    private void NoteRepair()
    {
        var hasEnd = _before is null && (Entries.Count > 0 || _baseTerm is not null);
        if (hasEnd && RottenEnd is { } rotten && new LogEnd(Next.Previous, LastTerm).Reaches(rotten))
            RottenEnd = null;
    }

    /// <param name="First">The first entry.</param>
    /// <param name="Entries">What stood before the first gap.</param>
    /// <param name="Places">Where.</param>
    /// <param name="IsCertain">No cut into it was among what cannot be read.</param>
    private sealed record Readable(LogIndex First, List<Entry> Entries, List<EntryPlace> Places, bool IsCertain)
    {
        public LogIndex Next => First + Entries.Count;
    }
}

/// <summary>What is left of a log.</summary>
internal enum LogRemainder
{
    /// <summary>All that matters.</summary>
    All,

    /// <summary>What stood before the first entry that cannot be read.</summary>
    Beginning,

    /// <summary>Nothing behind the snapshot; nothing at all, without one.</summary>
    Snapshot,
}
