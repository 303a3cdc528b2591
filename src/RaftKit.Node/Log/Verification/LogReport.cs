using System.Globalization;
using System.Text;
using RaftKit.Consensus;

namespace RaftKit.Node.Log;

/// <summary>What <see cref="LogVerifier"/> found in a member's data directory.</summary>
public sealed record LogReport
{
    internal LogReport()
    {
    }

    /// <summary>The directory.</summary>
    public required string Directory { get; init; }

    /// <summary>Whose it is; null when it belongs to nobody yet, or that cannot be read.</summary>
    public MemberId? Member { get; init; }

    /// <summary>The member's life; 0 while it has none.</summary>
    public int Incarnation { get; init; }

    /// <summary>How often the member was started in this life.</summary>
    public long Boot { get; init; }

    /// <summary>The cluster; empty until its first committed entry named it.</summary>
    public Guid ClusterId { get; init; }

    /// <summary>The term that the member is in, as far as the log can be read.</summary>
    public Term Term { get; init; }

    /// <summary>Whom it voted for in that term.</summary>
    public MemberId Vote { get; init; }

    /// <summary>The first entry that the log's files still have; the one after <see cref="LastIndex"/> when they have none.</summary>
    public LogIndex FirstIndex { get; init; }

    /// <summary>
    /// The last entry that the log or the newest whole snapshot has. Entries behind the last fsync count, if they are whole.
    /// </summary>
    public LogIndex LastIndex { get; init; }

    /// <summary>The term of that entry.</summary>
    public Term LastTerm { get; init; }

    /// <summary>
    /// Where the log ended before entries of it rotted; null when nothing is missing. The member starts, counts as one whose log ends
    /// there, does not campaign, and fetches from the leader what is behind <see cref="LastIndex"/>.
    /// </summary>
    public LogIndex? RottenEnd { get; init; }

    /// <summary>How many entries the log has that count, from <see cref="FirstIndex"/> on.</summary>
    public long Entries { get; init; }

    /// <summary>How many records of any kind were read, those of overwritten entries included.</summary>
    public long Records { get; init; }

    /// <summary>The log's files, oldest first.</summary>
    public required IReadOnlyList<SegmentReport> Segments { get; init; }

    /// <summary>The snapshots, oldest first; only the newest whole one counts.</summary>
    public required IReadOnlyList<SnapshotReport> Snapshots { get; init; }

    /// <summary>Everything that is not as it should be, worst first.</summary>
    public required IReadOnlyList<LogProblem> Problems { get; init; }

    /// <summary>Nothing is wrong, not even what the next start would repair.</summary>
    public bool IsSound => Problems.Count == 0;

    /// <summary>Nothing found here keeps the member from starting.</summary>
    public bool CanStart => Problems.All(problem => !problem.PreventsStart);

    /// <summary>The report as lines of text, for a person.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"{Directory}: ");
        text.AppendLine(Member is { } member
            ? string.Create(CultureInfo.InvariantCulture, $"member {member}, incarnation {Incarnation}, boot {Boot}, cluster {ClusterId}")
            : "no identity");
        text.AppendLine(CultureInfo.InvariantCulture,
            $"term {Term}, vote {Vote}; entries {FirstIndex} to {LastIndex} (term {LastTerm}); {Segments.Count} segments, {Records} records, {Snapshots.Count} snapshots");
        foreach (var problem in Problems)
            text.AppendLine(problem.ToString());
        text.Append(IsSound ? "sound" : !CanStart ? "a member refuses to start here" : RottenEnd is null ? "a member starts here"
            : string.Create(
                CultureInfo.InvariantCulture, $"a member starts here, and fetches entries {LastIndex.Next} to {RottenEnd} again"));
        return text.ToString();
    }
}

/// <summary>One file of the log.</summary>
/// <param name="File">Its name.</param>
/// <param name="Number">The segment's number.</param>
/// <param name="Bytes">The file's length.</param>
/// <param name="Use">Whether its records count.</param>
/// <param name="Batches">How many whole batches were read.</param>
/// <param name="Records">How many records were read.</param>
/// <param name="NextIndex">The index of the first entry that was to be written to it; null when it was not read.</param>
public sealed record SegmentReport(string File, long Number, long Bytes, SegmentUse Use, int Batches, long Records, LogIndex? NextIndex);

/// <summary>Whether a segment's records count.</summary>
public enum SegmentUse
{
    /// <summary>They do.</summary>
    Live,

    /// <summary>It is prepared, and nothing was written to it.</summary>
    Prepared,

    /// <summary>It no longer counts, or never did: the next start deletes it.</summary>
    Leftover,

    /// <summary>Damage elsewhere hides whether it counts: it was not read.</summary>
    Unknown,
}

/// <summary>One snapshot.</summary>
/// <param name="File">Its name.</param>
/// <param name="Bytes">The file's length.</param>
/// <param name="IsWhole">Every byte of it reads back as it was written.</param>
/// <param name="Index">The last entry that it covers; zero unless it is whole.</param>
/// <param name="Term">That entry's term.</param>
public sealed record SnapshotReport(string File, long Bytes, bool IsWhole, LogIndex Index, Term Term);
