namespace RaftKit.Node.Reads;

/// <summary>
/// What one user of the cluster has seen, through whichever members: reads with <see cref="ReadConsistency.Session"/> never go back behind
/// it. Carry <see cref="Seen"/> from one process to the next (in a cookie, in a header, with a job); it has a meaning in one cluster only.
/// Any thread may use it.
/// </summary>
/// <param name="seen">What was seen before, as <see cref="Seen"/> of another session; 0 for nothing.</param>
public sealed class ReadSession(long seen = 0)
{
    private long _seen = seen;

    /// <summary>The newest zxid that was seen.</summary>
    public long Seen => Volatile.Read(ref _seen);

    /// <summary>Something was seen or written otherwise: an older zxid than <see cref="Seen"/> changes nothing.</summary>
    /// <param name="zxid">Its zxid, such as a znode's <c>Stat.ModifiedZxid</c>.</param>
    public void Advance(long zxid)
    {
        for (var before = Seen; before < zxid; before = Seen)
            Interlocked.CompareExchange(ref _seen, zxid, before);
    }
}
