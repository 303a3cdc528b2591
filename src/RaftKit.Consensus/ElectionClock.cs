namespace RaftKit.Consensus;

/// <summary>
/// When to campaign, and how long ago the leader was heard. Two different things: granting a vote puts the campaign off (Raft 5.2), but
/// only the leader's own messages are contact with the leader. A pre-vote touches neither (hashicorp/raft 606).
/// </summary>
internal sealed class ElectionClock(RaftCoreOptions options, SeededRandom random)
{
    private const int MostFailuresCounted = 8;

    // The first two terms are for collisions. Whoever elects nobody in them either may have disks that are slower than an election timeout.
    private const int TermsInHaste = 2;
    private const int MostPatience = 4;

    private int _elapsed;
    private int _due = options.ElectionTicks + random.Below(options.ElectionTicks);
    private int _sinceContact = int.MaxValue;
    private int _evidenceLeft;
    private int _failures;
    private int _terms;
    private bool _gaveWay;

    /// <summary>It is time to campaign, or to ask again.</summary>
    public bool IsDue => _elapsed >= _due;

    /// <summary>The leader was heard within an election timeout: no vote may disturb it (thesis 4.2.3).</summary>
    public bool HeardLeader => _sinceContact < options.ElectionTicks;

    /// <summary>The leader died, by this member's evidence, less than an election timeout ago.</summary>
    public bool HasEvidence => _evidenceLeft > 0;

    public void Tick()
    {
        _elapsed++;
        if (_sinceContact < int.MaxValue)
            _sinceContact++;
        if (_evidenceLeft > 0)
            _evidenceLeft--;
    }

    /// <summary>A message of the current leader came.</summary>
    public void LeaderSpoke()
    {
        _sinceContact = 0;
        _evidenceLeft = 0;
        Elected();
        _gaveWay = false;
        Restart();
    }

    /// <summary>There is a leader: the next election begins in haste again.</summary>
    public void Elected() => (_failures, _terms) = (0, 0);

    /// <summary>A term began, as far as this member knows without a leader.</summary>
    public void TermBegan() => _terms = Math.Min(_terms + 1, TermsInHaste + MostPatience);

    /// <summary>There is no leader that this member could be loyal to.</summary>
    public void ForgetLeader() => _sinceContact = int.MaxValue;

    /// <summary>
    /// A full election timeout from now: chosen from one to two times the configured one, so that members rarely collide (Raft 5.2). A vote
    /// costs two fsyncs, one after the other, the candidate's and the voter's: where those take longer, candidates would give up, or be
    /// overtaken, for ever. So it grows with terms that elected nobody.
    /// </summary>
    public void Restart()
    {
        var timeout = options.ElectionTicks * Math.Clamp(_terms - TermsInHaste + 1, 1, MostPatience);
        DueIn(timeout + random.Below(timeout));
    }

    /// <summary>
    /// The leader's process died: a campaign within the jitter, and quick repeats for an election timeout, because others may not know yet.
    /// Survivors notice within a millisecond of each other, so the jitter is drawn from a share of its own for each: a draw from the whole
    /// would collide often.
    /// </summary>
    /// <param name="rank">This member's place among the surviving voters, from 0.</param>
    /// <param name="survivors">How many voters survive.</param>
    public void LeaderDied(int rank, int survivors)
    {
        ForgetLeader();
        _evidenceLeft = options.ElectionTicks;
        _gaveWay = false;
        var slots = options.EvidenceJitterTicks + 1;
        var first = rank * slots / Math.Max(1, survivors);
        var next = Math.Max(first + 1, (rank + 1) * slots / Math.Max(1, survivors));
        DueIn(first + random.Below(next - first));
    }

    /// <summary>
    /// Whether this member may still let another try first. Once for each death: one that asks and cannot win must not hold up those who
    /// can.
    /// </summary>
    public bool MayGiveWay => !_gaveWay;

    /// <summary>
    /// Another one campaigns because of the same death, with this member's consent: it gets a jitter's time. That is no contact with a
    /// leader: nothing else of this clock changes (hashicorp/raft 606).
    /// </summary>
    public void GiveWay()
    {
        _gaveWay = true;
        DueIn(options.EvidenceJitterTicks + 1);
    }

    /// <summary>When to repeat a pre-vote: soon, since asking disturbs nobody.</summary>
    public void AskAgainSoon() => DueIn(HasEvidence
        ? 1 + random.Below(options.EvidenceJitterTicks)
        : 1 + (options.HeartbeatTicks / 2) + random.Below(options.HeartbeatTicks));

    /// <summary>A vote was split or refused: soon again, but over a range that grows, so that two who collide part ways.</summary>
    public void CampaignAgainAfterLoss()
    {
        int range = Math.Max(1, HasEvidence ? options.EvidenceJitterTicks : options.HeartbeatTicks);
        range = Math.Min(options.ElectionTicks, range << _failures);
        _failures = Math.Min(_failures + 1, MostFailuresCounted);
        DueIn(1 + random.Below(range));
    }

    /// <summary>Due with the next tick.</summary>
    public void DueAtOnce() => DueIn(0);

    private void DueIn(int ticks) => (_elapsed, _due) = (0, ticks);
}
