namespace RaftKit.Node.Reads;

/// <summary>
/// What a read must see, and what it may cost. From the strongest to the cheapest: <see cref="Linearizable"/>, <see
/// cref="LinearizableByLease"/>, <see cref="AtMostBehind"/>, <see cref="Session"/>, <see cref="Local"/>. Every answer says what it got
/// (<see cref="ReadResult{T}"/>).
/// </summary>
public sealed class ReadConsistency
{
    private ReadConsistency(ReadGuarantee guarantee, TimeSpan bound = default, ReadSession? session = null) =>
        (Guarantee, Bound, Seen) = (guarantee, bound, session);

    /// <summary>
    /// Every change that was acknowledged to anybody before the call is seen. The leader asks a quorum whether it still leads (read index,
    /// thesis 6.4): one round of heartbeats, shared by all reads that were made meanwhile, and one message more from a follower. Waits for
    /// a leader where there is none. No clock is trusted.
    /// </summary>
    public static ReadConsistency Linearizable { get; } = new(ReadGuarantee.ReadIndex);

    /// <summary>
    /// As <see cref="Linearizable"/>, but by the leader's lease where it holds one (thesis 6.4.1): no message from the leader's own
    /// process, one to the leader and back from a follower's. It is as strong only while every member's clock runs true within
    /// <c>RaftKitOptions.ClockDrift</c>. Where no lease holds (they are off by default; or the leader is new, cut off, was paused, or is
    /// handing over) a quorum is asked instead, and the answer says so.
    /// </summary>
    public static ReadConsistency LinearizableByLease { get; } = new(ReadGuarantee.Lease);

    /// <summary>
    /// This member's copy as it is, without asking anybody. Changes that others were told of may be missing, for as long as this member is
    /// cut off.
    /// </summary>
    public static ReadConsistency Local { get; } = new(ReadGuarantee.Local);

    /// <summary>
    /// Never older than what the session has seen or written, through whichever member it asked before (monotonic reads, and its own
    /// writes). A member that is behind waits until it has caught up, or until the call is cancelled.
    /// </summary>
    /// <param name="session">What has been seen; each answer adds to it.</param>
    public static ReadConsistency Session(ReadSession session)
    {
        ArgumentNullException.ThrowIfNull(session);
        return new(ReadGuarantee.Session, session: session);
    }

    /// <summary>
    /// Every change that was acknowledged to anybody longer ago than the bound is seen. Served from this member's copy at once, as long as
    /// a leader has confirmed within the bound that it was current; reads that come often keep it so. Otherwise the read asks, and waits as
    /// long again as the bound (at least 20 ms), then fails with a <see cref="StaleReadException"/>, which says how far behind the copy may
    /// be. Counted on this member's clock, with its declared drift.
    /// </summary>
    /// <param name="bound">How far behind the answer may be; more than zero, at most a day.</param>
    /// <exception cref="ArgumentOutOfRangeException">It is not.</exception>
    public static ReadConsistency AtMostBehind(TimeSpan bound)
    {
        if (bound <= TimeSpan.Zero || bound > TimeSpan.FromDays(1))
            throw new ArgumentOutOfRangeException(
                nameof(bound), bound, "Give more than zero and at most a day. What must not be behind at all is a linearizable read.");
        return new(ReadGuarantee.BoundedStaleness, bound);
    }

    internal ReadGuarantee Guarantee { get; }

    internal TimeSpan Bound { get; }

    internal ReadSession? Seen { get; }

    /// <inheritdoc/>
    public override string ToString() => Guarantee switch
    {
        ReadGuarantee.BoundedStaleness => $"at most {Bound.TotalMilliseconds} ms behind",
        ReadGuarantee.Session => $"not before zxid {Seen!.Seen:x}",
        ReadGuarantee.Lease => "linearizable by lease",
        ReadGuarantee.ReadIndex => "linearizable",
        _ => "local",
    };
}

/// <summary>What an answer can be relied on for.</summary>
public enum ReadGuarantee
{
    /// <summary>It is what this member's copy held, no more.</summary>
    Local,

    /// <summary>It is no older than anything that its session had seen.</summary>
    Session,

    /// <summary>It is behind by the bound at most.</summary>
    BoundedStaleness,

    /// <summary>
    /// It is linearizable, if all clocks run true within the declared drift: the leader's lease held after the answer was read.
    /// </summary>
    Lease,

    /// <summary>It is linearizable: a quorum confirmed the leader after the call was made.</summary>
    ReadIndex,
}

/// <summary>An answer, and what it is worth.</summary>
/// <param name="Value">What the query returned.</param>
/// <param name="Guarantee">What it can be relied on for.</param>
/// <param name="Zxid">The last entry of the log that the state held: recovery epoch in the upper 16 bits, index in the lower 48.</param>
/// <param name="Behind">
/// By how much the state may have been behind the quorum's when it was read, at most: zero for a linearizable answer; null where that is
/// not known, because no leader has confirmed this member's copy since it started.
/// </param>
public readonly record struct ReadResult<T>(T Value, ReadGuarantee Guarantee, long Zxid, TimeSpan? Behind);
