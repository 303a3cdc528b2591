namespace RaftKit.Node.Loop;

/// <summary>
/// How soon after a snapshot that took the place of something rotten the next such one may begin: a disk that rots each one at once would
/// otherwise keep the member writing snapshots of its whole state. On the loop's clock. Loop thread only.
/// </summary>
internal sealed class HealingPace
{
    /// <summary>After the first one; twice as long after each that follows soon.</summary>
    public static readonly TimeSpan ShortestPause = TimeSpan.FromSeconds(1);

    /// <summary>What waits for a snapshot waits this long at the most.</summary>
    public static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(64);

    private TimeSpan? _last;

    /// <summary>How many came soon one after the other.</summary>
    public int InARow { get; private set; }

    /// <summary>From the last one's beginning on.</summary>
    public TimeSpan Pause { get; private set; }

    public bool Allows(TimeSpan now) => _last is not { } last || now - last >= Pause;

    /// <summary>One begins.</summary>
    public void Begin(TimeSpan now)
    {
        // What held for twice the longest pause did not rot at once: a sector went bad, as they do.
        var isSoon = _last is { } last && now - last < 2 * LongestPause;
        (InARow, Pause) = isSoon
            ? (InARow + 1, TimeSpan.FromTicks(Math.Min(2 * Pause.Ticks, LongestPause.Ticks)))
            : (1, ShortestPause);
        _last = now;
    }
}
