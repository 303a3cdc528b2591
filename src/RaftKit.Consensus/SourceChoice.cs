namespace RaftKit.Consensus;

/// <summary>
/// Which member an observer lets itself be fed by. Members that follow come before the one that leads, so that a hundred observers do not
/// cost the leader a hundred streams; which of them is chance, so that they spread. From time to time it asks another member how far that
/// is: a source that is behind is told from a quorum that is idle only so.
/// </summary>
internal sealed class SourceChoice(RaftCore core)
{
    private readonly SeededRandom _random = new(core.Options.Seed, core.Self, core.Options.Boot);
    private readonly Dictionary<MemberId, int> _failedTicks = [];
    private LogIndex _ahead;
    private MemberId _whoIsAhead;
    private MemberId _relief;
    private bool _sourceIsBehind;
    private bool _probeDue;
    private MemberId _lastProbed;
    private MemberId _answered;
    private int _sinceProbe;
    private int _withoutLeader;

    /// <summary>The commit index that the source told last.</summary>
    public LogIndex SourceCommit { get; private set; }

    public bool HasAnswered(MemberId source) => !source.IsNone && _answered == source;

    public void Tick()
    {
        foreach (var member in _failedTicks.Keys.ToArray())
        {
            if (--_failedTicks[member] <= 0)
                _failedTicks.Remove(member);
        }
        if (core.Leader.IsNone)
            _withoutLeader++;
        else
            _withoutLeader = 0;
        // Longer than a failover takes: the source may be one that was removed, and the others, too (simulator seed 321). All are asked
        // (the first six or so before the next one feeds).
        if (_withoutLeader >= core.Options.ElectionTicks && _withoutLeader % core.Options.HeartbeatTicks == 0)
            _probeDue = true;
        if (++_sinceProbe >= core.Options.ElectionTicks)
        {
            (_sinceProbe, _probeDue) = (0, true);
            // Another member was that far an election timeout ago.
            _sourceIsBehind = SourceCommit < _ahead;
        }
    }

    /// <summary>It did not answer, or its link broke: others come first for a while.</summary>
    public void Failed(MemberId member)
    {
        if (!member.IsNone)
            _failedTicks[member] = 8 * core.Options.ElectionTicks;
    }

    public void Reachable(MemberId member) => _failedTicks.Remove(member);

    /// <summary>Another member feeds from now on.</summary>
    public void Began()
    {
        (SourceCommit, _ahead, _whoIsAhead, _relief) = (LogIndex.Zero, LogIndex.Zero, MemberId.None, MemberId.None);
        (_answered, _sourceIsBehind, _withoutLeader, _sinceProbe) = (MemberId.None, false, 0, 0);
    }

    public void Heard(ObserveReply source)
    {
        _answered = source.From;
        SourceCommit = LogIndex.Max(SourceCommit, source.Commit);
    }

    /// <summary>A member that does not feed said how far it is.</summary>
    public void Probed(ObserveReply reply)
    {
        // Who knows who leads comes before who has more of what was committed before.
        if (reply.Commit > _ahead && (_withoutLeader == 0 || !reply.Leader.IsNone))
            (_ahead, _whoIsAhead) = (reply.Commit, reply.From);
        _relief = !reply.Leader.IsNone && reply.Leader == core.Leader && reply.Term == core.Term && reply.From != reply.Leader ? reply.From : MemberId.None;
        if (_withoutLeader > 0 && !reply.Leader.IsNone && reply.Term >= core.Term)
            _whoIsAhead = reply.From;
    }

    /// <summary>
    /// Somebody who is to feed instead of the source, because that is behind, knows of no leader, or leads while another could feed; nobody
    /// if it may stay.
    /// </summary>
    public MemberId Better(MemberId source)
    {
        if (_sourceIsBehind || _withoutLeader >= 2 * core.Options.ElectionTicks)
        {
            (_sourceIsBehind, _withoutLeader) = (false, 0);
            Failed(source);
            return !_whoIsAhead.IsNone && _whoIsAhead != source ? _whoIsAhead : Next(source);
        }
        return source == core.Leader && !_relief.IsNone && !_failedTicks.ContainsKey(_relief) ? _relief : MemberId.None;
    }

    /// <summary>
    /// Who feeds next: one that did not fail lately, and does not lead, if there is such a one; then whoever's failure is longest ago.
    /// </summary>
    public MemberId Next(MemberId after)
    {
        var candidates = Candidates().ToList();
        foreach (var better in new[] { candidates.Where(m => m != core.Leader && !HasFailed(m)), candidates.Where(m => !HasFailed(m)) })
        {
            var fit = better.ToList();
            if (fit.Count > 0)
                return fit[_random.Below(fit.Count)];
        }
        return candidates.Where(m => m != after).OrderBy(m => _failedTicks[m]).Append(after).First();
    }

    /// <summary>Whom to ask now how far it is; nobody if none.</summary>
    public MemberId TakeProbe(MemberId source)
    {
        if (!_probeDue)
            return MemberId.None;
        _probeDue = false;
        var others = Candidates().Where(m => m != source).Order().ToList();
        if (others.Count == 0)
            return MemberId.None;
        // One after the other.
        var next = others.FirstOrDefault(m => m.CompareTo(_lastProbed) > 0);
        return _lastProbed = next.IsNone ? others[0] : next;
    }

    private bool HasFailed(MemberId member) => _failedTicks.ContainsKey(member);

    // Those configured as well: the membership that it holds may be of long ago.
    private IEnumerable<MemberId> Candidates() => core.Membership.All.Concat(core.Options.Seeds).Where(m => !m.IsObserver).Distinct();
}
