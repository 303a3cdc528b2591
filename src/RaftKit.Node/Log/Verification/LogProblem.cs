namespace RaftKit.Node.Log;

/// <summary>One thing that is not as it should be in a data directory.</summary>
/// <param name="Kind">What it is.</param>
/// <param name="File">The file, by its name in the directory; one that is missing has the name that it should have.</param>
/// <param name="Offset">The first byte that it concerns; null when it concerns the file as a whole.</param>
/// <param name="Index">The index of the first entry that cannot be read because of it; null when no entry is known to be concerned.</param>
/// <param name="Description">What was found, with its numbers.</param>
/// <param name="PreventsStart">
/// A member refuses to start here. Otherwise its next start goes on without it: see <see cref="Advice"/>.
/// </param>
public sealed record LogProblem(LogProblemKind Kind, string File, long? Offset, long? Index, string Description, bool PreventsStart)
{
    /// <summary>What to do about it.</summary>
    public string Advice => Kind switch
    {
        LogProblemKind.MissingIdentity when !PreventsStart => "Nothing: a first start was cut short, and the next one begins again.",
        LogProblemKind.MissingIdentity =>
            "Put the file back if you have it. Otherwise, while a majority of the other members is healthy, empty this directory and let the member join anew.",
        LogProblemKind.Rot or LogProblemKind.Misdirected or LogProblemKind.LostWrite or LogProblemKind.MissingSegment or LogProblemKind.Contradiction when !PreventsStart =>
            "Start the member: what it needs of this it fetches from the leader, and it does not lead before. Look after the disk.",
        _ when !PreventsStart => "Nothing: the next start of the member goes on without it, and nothing that was acknowledged is lost.",
        LogProblemKind.UnknownFormat => "Start the version of RaftKit that wrote this directory, or a newer one.",
        LogProblemKind.NotAFile => "Move it away: it is not RaftKit's. Put the file back if it took the place of one, and verify again.",
        LogProblemKind.Unreadable =>
            "Look after the disk. If it stays unreadable, give the member an empty directory on another one: it joins anew.",
        _ => "While a majority of the other members is healthy, empty this directory and let the member join anew. Keep a copy if they are not.",
    };

    /// <inheritdoc/>
    public override string ToString() =>
        $"{Kind} in {File}{(Offset is { } offset ? $" at offset {offset}" : "")}{(Index is { } index ? $", entry {index} and on" : "")}: "
        + $"{Description.TrimEnd('.')}. {Advice}";
}

/// <summary>What a <see cref="LogProblem"/> is.</summary>
public enum LogProblemKind
{
    /// <summary>
    /// The end of the log was being written when the process or the machine stopped. Nobody was told that it is durable; the next start
    /// cuts it.
    /// </summary>
    TornTail,

    /// <summary>Bytes were written and are not what was written: a checksum or a stamp does not match.</summary>
    Rot,

    /// <summary>A whole page, or a whole file, that was written for another place.</summary>
    Misdirected,

    /// <summary>What was known to be durable reads as if it had never been written.</summary>
    LostWrite,

    /// <summary>A file is shorter than it was made.</summary>
    CutFile,

    /// <summary>Entries are missing: neither a segment nor a whole snapshot has them.</summary>
    MissingSegment,

    /// <summary>The directory had a log, and has none: the member's term and vote are lost.</summary>
    MissingLog,

    /// <summary>There are a log or snapshots, and no file says whose: a first start that was cut short, or the file was lost.</summary>
    MissingIdentity,

    /// <summary>Checksums hold, but what the records say does not fit together.</summary>
    Contradiction,

    /// <summary>A newer version of RaftKit wrote it.</summary>
    UnknownFormat,

    /// <summary>The disk or the file system refused to read it.</summary>
    Unreadable,

    /// <summary>Other members found that the directory is an old copy of itself, which has forgotten promises.</summary>
    RolledBack,

    /// <summary>A directory stands where a member has a file, or will make one.</summary>
    NotAFile,
}
