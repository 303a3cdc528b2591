using RaftKit.Consensus;

namespace RaftKit.TestKit;

/// <summary>
/// Which snapshots are on their way from whom to whom, as far as coverage asks: two at once, and one that takes another's place.
/// </summary>
internal sealed class SnapshotFlights(Coverage coverage)
{
    // Chunks of two streams that are fed in turn follow each other faster than this.
    private static readonly TimeSpan AtOnce = TimeSpan.FromMilliseconds(20);

    private readonly Dictionary<(MemberId From, MemberId To), (SnapshotMark Mark, bool IsWhole, TimeSpan At)> _last = [];

    public void Sent(SnapshotChunk chunk, TimeSpan now)
    {
        var key = (chunk.From, chunk.To);
        if (_last.TryGetValue(key, out var before) && !before.IsWhole && before.Mark != chunk.Snapshot
            && chunk.Snapshot.Index > before.Mark.Index)
            coverage.Struck(MenuItem.SnapshotSuperseded);
        foreach (var (other, flight) in _last)
        {
            if (other.From == chunk.From && other.To != chunk.To && now - flight.At < AtOnce)
                coverage.Struck(MenuItem.SnapshotsInParallel);
        }
        _last[key] = (chunk.Snapshot, chunk.IsLast, now);
    }
}
