using RaftKit.Consensus;

namespace RaftKit.Node.Log;

/// <summary>What a record of the log says. The numbers are the format's: never renumber.</summary>
internal enum RecordKind : byte
{
    /// <summary>Opens a segment: everything needed to go on without the segments before it.</summary>
    SegmentHeader = 1,

    /// <summary>Term and vote changed.</summary>
    HardState = 2,

    Entry = 3,

    /// <summary>The entries from this index on are void: their conflicting suffix was overwritten.</summary>
    Truncate = 4,

    /// <summary>The log starts anew after a snapshot; every entry before this record is void.</summary>
    Reset = 5,

    /// <summary>A newer start of another member was seen.</summary>
    PeerBoot = 6,

    /// <summary>Entries rotted: the log counts as ending there, at the least, until it is at least as up to date again.</summary>
    RottenEnd = 7,
}

/// <summary>A segment's first record.</summary>
/// <param name="Segment">Its own number.</param>
/// <param name="Pages">How long its file is; a shorter file was cut.</param>
/// <param name="Previous">Where the log before it ends.</param>
/// <param name="NextIndex">The index of the next entry, as the log stood when the segment was opened.</param>
/// <param name="Term">The term then.</param>
/// <param name="Vote">The vote then.</param>
/// <param name="PeerBoots">The starts of other members known then.</param>
internal sealed record SegmentHeader(
    long Segment, int Pages, LogPosition Previous, LogIndex NextIndex, Term Term, MemberId Vote, IReadOnlyList<PeerBoot> PeerBoots);

/// <summary>
/// An end of the log: after this batch, before this page of this segment. What lies behind it in that segment was cut at recovery and
/// never counts again.
/// </summary>
/// <param name="Segment">The segment; 0 at the very beginning.</param>
/// <param name="EndPage">The first page that does not count.</param>
/// <param name="Batch">The last batch that counts.</param>
internal readonly record struct LogPosition(long Segment, int EndPage, long Batch);
