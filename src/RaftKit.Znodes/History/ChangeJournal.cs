using RaftKit.Consensus;
using RaftKit.Node.Members;
using RaftKit.Znodes.Tree;

namespace RaftKit.Znodes.History;

/// <summary>
/// The latest changes of the tree by zxid, from which streams begin and resume. Bounded in changes and bytes; the oldest entries go first,
/// whole. Each member keeps its own: it is neither replicated nor in snapshots, so two members may reach back differently far. Belongs to
/// the loop's thread.
/// </summary>
internal sealed class ChangeJournal
{
    public const int DefaultMaxChanges = 100_000;
    public const long DefaultMaxBytes = 32L << 20;

    /// <summary>What a change costs besides its path.</summary>
    private const int ChangeBytes = 64;

    private readonly int _maxChanges;
    private readonly long _maxBytes;

    // A ring of a power of two.
    private TreeChange[] _ring = new TreeChange[64];
    private int _first;

    public ChangeJournal(int maxChanges = DefaultMaxChanges, long maxBytes = DefaultMaxBytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(maxChanges);
        ArgumentOutOfRangeException.ThrowIfNegative(maxBytes);
        (_maxChanges, _maxBytes) = (maxChanges, maxBytes);
    }

    /// <summary>The oldest zxid that a stream can begin after: what changed at or before it may be forgotten.</summary>
    public long OldestZxid { get; private set; }

    /// <summary>The zxid of the last entry that changed something.</summary>
    public long LastZxid { get; private set; }

    public int Count { get; private set; }

    public long Bytes { get; private set; }

    /// <summary>Takes what one entry changed; an entry that changed nothing need not be told.</summary>
    public void Append(long zxid, IReadOnlyList<TreeChange> changes)
    {
        Invariant.Holds(zxid > LastZxid, $"changes of zxid {zxid} were journaled after those of {LastZxid}");
        if (changes.Count == 0)
            return;
        EnterEpoch(zxid);

        // The close of a session with very many ephemerals may be more than the journal holds: then it reaches back to right after it.
        long bytes = 0;
        for (var i = 0; i < changes.Count; i++)
            bytes += CostOf(changes[i]);
        if (changes.Count > _maxChanges || bytes > _maxBytes)
        {
            Reset(zxid);
            return;
        }

        LastZxid = zxid;
        for (var i = 0; i < changes.Count; i++)
        {
            Invariant.Holds(changes[i].Zxid == zxid, $"a change of zxid {changes[i].Zxid} was journaled with the entry {zxid}");
            Push(changes[i]);
        }
        while (Count > _maxChanges || Bytes > _maxBytes)
            ForgetOldestEntry();
    }

    /// <summary>
    /// The state is of this zxid. Where that is of another recovery epoch than what is here, nobody reads on: who did may have read what a
    /// forced quorum gave up, and nothing of this epoch follows that.
    /// </summary>
    /// <returns>Whether it is of another.</returns>
    public bool EnterEpoch(long zxid)
    {
        var first = RecoveryEpoch.FirstZxidOfEpochOf(zxid);
        if (first <= LastZxid)
            return false;
        Reset(first);
        return true;
    }

    /// <summary>A snapshot replaced the tree: what happened up to its zxid is not known here.</summary>
    public void Reset(long zxid)
    {
        Array.Clear(_ring);
        (_first, Count, Bytes) = (0, 0, 0);
        OldestZxid = LastZxid = zxid;
    }

    /// <summary>
    /// Adds to <paramref name="into"/> the changes after <paramref name="zxid"/>, in order: whole entries only, so the next read begins
    /// after <paramref name="readThrough"/>.
    /// </summary>
    /// <param name="zxid">What the reader has seen.</param>
    /// <param name="prefix">Only changes of this path and all below it; null: all.</param>
    /// <param name="max">Stops after the entry that reaches so many changes looked at.</param>
    /// <param name="into">Takes the changes.</param>
    /// <param name="readThrough">The last entry looked at; if not all were, more follow. If compacted: <see cref="OldestZxid"/>.</param>
    public JournalRead TryReadAfter(long zxid, string? prefix, int max, List<TreeChange> into, out long readThrough)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(max, 1);
        if (zxid < OldestZxid)
        {
            readThrough = OldestZxid;
            return JournalRead.Compacted;
        }

        readThrough = zxid;
        var at = FirstAfter(zxid);
        for (var seen = 0; at < Count; at++, seen++)
        {
            var change = this[at];
            if (seen >= max && change.Zxid != readThrough)
                return JournalRead.MoreFollow;
            readThrough = change.Zxid;
            if (prefix is null || ZnodePath.IsAtOrBelow(change.Path, prefix))
                into.Add(change);
        }
        return JournalRead.UpToDate;
    }

    private ref TreeChange this[int at] => ref _ring[(_first + at) & (_ring.Length - 1)];

    private int FirstAfter(long zxid)
    {
        int low = 0, high = Count;
        while (low < high)
        {
            var middle = (low + high) >>> 1;
            if (this[middle].Zxid <= zxid)
                low = middle + 1;
            else
                high = middle;
        }
        return low;
    }

    private void Push(in TreeChange change)
    {
        if (Count == _ring.Length)
        {
            var grown = new TreeChange[_ring.Length * 2];
            for (var i = 0; i < Count; i++)
                grown[i] = this[i];
            (_ring, _first) = (grown, 0);
        }
        Count++;
        this[Count - 1] = change;
        Bytes += CostOf(change);
    }

    private void ForgetOldestEntry()
    {
        OldestZxid = this[0].Zxid;
        while (Count > 0 && this[0].Zxid == OldestZxid)
        {
            Bytes -= CostOf(this[0]);
            this[0] = default;
            _first = (_first + 1) & (_ring.Length - 1);
            Count--;
        }
    }

    private static long CostOf(in TreeChange change) => ChangeBytes + 2L * change.Path.Length;
}

/// <summary>What a read of the journal came to.</summary>
internal enum JournalRead
{
    /// <summary>Everything up to now was given.</summary>
    UpToDate,

    /// <summary>Read again after what was read through.</summary>
    MoreFollow,

    /// <summary>The journal does not reach back that far.</summary>
    Compacted,
}
