namespace RaftKit.Consensus;

/// <summary>
/// How long this leader may still count on nobody else leading (thesis 6.4.1). Each voter that answers a heartbeat gives nobody else its
/// vote for <see cref="RaftCoreOptions.VoterPromise"/> from then on; the lease runs from when the heartbeat was <em>sent</em>, and is
/// shorter by what two clocks may part.
/// </summary>
internal sealed class LeaderLease(RaftCore core)
{
    private const int KeptAtLeast = 64;

    // When each round began, from _first on; those that are too old to lease anything go, many at a time.
    private readonly List<TimeSpan> _began = [];
    private ulong _first;
    private bool _hasEnded;

    /// <summary>Where the lease ends on the owner's clock; <see cref="TimeSpan.MinValue"/> if there is none.</summary>
    public TimeSpan EndsAt(Replicator peers)
    {
        if (_hasEnded || core.Options.VoterPromise <= TimeSpan.Zero)
            return TimeSpan.MinValue;
        // Counted anew each time, by the newest membership: a change may have replaced those who promised.
        long since = peers.QuorumPromised();
        return since switch
        {
            0 => TimeSpan.MinValue,
            // It alone is the quorum: nobody can be elected without it.
            long.MaxValue => TimeSpan.MaxValue,
            _ => new TimeSpan(since) + core.Options.LeaseLength,
        };
    }

    /// <summary>
    /// Leadership was offered to another, whose election the voters' promises do not hold up. For the rest of the term: the word to
    /// campaign may be under way for long, and still be obeyed after this leader gave the transfer up (etcd 12704).
    /// </summary>
    public void End() => _hasEnded = true;

    public void RoundBegan(ulong round)
    {
        if (core.Options.VoterPromise <= TimeSpan.Zero)
            return;
        if (_began.Count == 0)
            _first = round;
        else if (_began.Count >= KeptAtLeast && _began[_began.Count / 2] + core.Options.LeaseLength <= core.Time)
            Forget(_began.Count / 2);
        Invariant.Holds(round == _first + (ulong)_began.Count, $"round {round} begins after {_began.Count} rounds from {_first} on");
        _began.Add(core.Time);
    }

    /// <summary>When the round began, on the owner's clock; zero if that is too long ago to matter.</summary>
    public TimeSpan Began(ulong round) =>
        round >= _first && round - _first < (ulong)_began.Count ? _began[(int)(round - _first)] : TimeSpan.Zero;

    private void Forget(int rounds)
    {
        _began.RemoveRange(0, rounds);
        _first += (ulong)rounds;
    }
}

/// <summary>
/// A voter's side of it: while its promise lasts it neither votes nor campaigns, whatever it hears of its leader, evidence of its death
/// included. Only a transfer, whose leader gave its lease up first, goes before it.
/// </summary>
internal sealed class VoterPromise(RaftCore core)
{
    // A former start of this member may have promised as well, and forgot it: the owner says until when.
    private TimeSpan _until = core.Options.PromisedUntil;

    public bool Holds => core.Time < _until;

    /// <returns>
    /// Whether it is given: a member that was not configured for it gives none, nor one for longer than its next start would remember.
    /// </returns>
    public bool Give(TimeSpan promise)
    {
        if (promise <= TimeSpan.Zero || promise > core.Options.VoterPromise)
            return false;
        if (core.Time + promise > _until)
            _until = core.Time + promise;
        return true;
    }
}
