using RaftKit.Consensus;

namespace RaftKit.TestKit;

/// <summary>What was done to disks, and what that means for who may say what from then on.</summary>
internal sealed partial class SafetyChecker
{
    // The terms of the breaks, ascending, and what the last forced quorum kept.
    private readonly List<Term> _forcedTerms = [];
    private LogIndex _kept;

    private Term ForcedTerm => _forcedTerms is [.., var last] ? last : new Term(long.MaxValue);

    /// <summary>The member's disk was emptied: its incarnation must never be heard of again if it ever promised anything.</summary>
    public void Wiped(SimulatedMember member)
    {
        var mirror = _mirrors[member.Id];
        var self = new MemberIncarnation(member.Id, mirror.Incarnation);
        // One that promised nobody anything has lost nothing: it may form its cluster once more. An observer numbers its proposals under
        // its life, so never again.
        if (_promised.Contains(self) || (member.Id.IsObserver && mirror.Incarnation > 0))
        {
            _lost.Add(self);
            _beforeDamage.TryAdd(self, mirror.Durable.Copy());
        }
        mirror.Durable.Restart(Term.Zero, MemberId.None, LogIndex.Zero, []);
    }

    /// <summary>An old copy of the member's disk was put back: it may start, and must neither vote nor acknowledge.</summary>
    public void RolledBack(SimulatedMember member, int incarnation)
    {
        var self = new MemberIncarnation(member.Id, incarnation);
        _rolledBack.Add(self);
        // An observer's life may be over already, and the copy of before that.
        _lost.Remove(self);
        _beforeDamage.TryAdd(self, _mirrors[member.Id].Durable.Copy());
        _mirrors[member.Id].Durable.Restart(Term.Zero, MemberId.None, LogIndex.Zero, []);
    }

    /// <summary>An operator forced a new quorum: what was committed beyond the survivor's log is given up.</summary>
    public void QuorumForced(LogIndex survivor, Term term)
    {
        _kept = survivor;
        _forcedTerms.Add(term);
        // Those of members that are up, the next turn tells.
        foreach (var mirror in _mirrors.Values)
            mirror.GiveUpMembershipBehind(survivor);
        foreach (var lost in _committed.Keys.Where(index => index > survivor).ToArray())
            _committed.Remove(lost);
        foreach (var before in _committedIn.Where(c => c.Value > survivor).Select(c => c.Key).ToArray())
            _committedIn.Remove(before);
        Committed = LogIndex.Min(Committed, survivor);
    }

    /// <summary>
    /// The same, where the survivor's log may hold what others overwrote: from where it parts from what was committed, that is given up.
    /// </summary>
    /// <returns>The last entry that is kept.</returns>
    public LogIndex QuorumForced(LogIndex snapshot, IReadOnlyList<Entry> entries)
    {
        var common = snapshot;
        foreach (var entry in entries)
        {
            if (_committed.TryGetValue(entry.Index, out var term) && term == entry.Term)
                common = LogIndex.Max(common, entry.Index);
        }
        QuorumForced(common, entries[^1].Term);
        return common;
    }

    /// <summary>Whether the member, when it was up last, had entries behind this one.</summary>
    public bool MayHoldBeyond(MemberId member, LogIndex index) =>
        LogIndex.Max(_mirrors[member].Last, _mirrors[member].Durable.Last) > index;

    /// <summary>What the member's disk surely holds now. What others are told is gathered from here on.</summary>
    public DurableLog CopyDurable(SimulatedMember member)
    {
        foreach (var key in _told.Keys.Where(k => k.From == member.Id).ToArray())
            _told.Remove(key);
        return _mirrors[member.Id].Durable.Copy();
    }

    /// <summary>
    /// Whether this process was told, since the copy, of something that the other member's disk holds now, and did not then.
    /// </summary>
    public bool WasToldMore(SimulatedRun witness, SimulatedMember member, DurableLog then)
    {
        if (!_told.TryGetValue((witness.Process.Number, member.Id), out var told))
            return false;
        var now = _mirrors[member.Id].Durable;
        // What was acknowledged may have been overwritten since: then the disk need not hold it any more.
        return told.Term > then.Term || (told.Vote == then.Term && then.Vote.IsNone)
            || (told.Index > then.Last && told.Index <= now.Last) || (now.TermAt(told.Index) is { } term && !then.Holds(told.Index, term));
    }
}
