namespace RaftKit.Node.Log;

/// <summary>How the log lays out its files.</summary>
internal sealed record SegmentedLogOptions
{
    /// <summary>A segment's size once the log has grown; a larger batch gets a segment of its own size.</summary>
    public long SegmentBytes { get; init; } = 16 << 20;

    /// <summary>
    /// The first segment of every start, which is waited for; each next one is four times as large, up to <see cref="SegmentBytes"/>.
    /// </summary>
    public long FirstSegmentBytes { get; init; } = 1 << 20;

    /// <summary>The next segment is filled with zeros in pieces of this size while this one is being written.</summary>
    public int PrepareBytes { get; init; } = 256 << 10;

    /// <summary>This member has had a life: a directory without a log lost it, and its vote with it.</summary>
    public bool MustExist { get; init; }
}
