using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Members;
using RaftKit.Znodes.Sessions;

namespace RaftKit.TestKit;

/// <summary>
/// In a part of the seeds a majority is lost for good, its disks gone, and an operator forces one survivor to be the quorum, as
/// <c>QuorumRecovery.ForceNewQuorum</c> does: what only the others had is lost, and every check is told so; nothing else may be, and no
/// zxid comes again. The others join anew, or try to with what their disks held, and are refused. In half of these seeds some, perhaps a
/// majority, run on beside the new quorum, for a while cut off from it: they may go on with each other, and must do it no harm.
/// </summary>
internal sealed class LostQuorumPlan(
    SimulatedWorld world, SafetyChecker checker, LevelChecker levels, TreeOracle oracle, Workload workload, FaultPlan faults)
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    private readonly SimulatedRandom _random = world.Random.Split("lost quorum");
    private readonly SimulatedRandom _again = world.Random.Split("lost quorum again");
    private readonly SimulatedRandom _beside = world.Random.Split("beside a forced quorum");
    private readonly SimulatedRandom _amid = world.Random.Split("lost quorum amid churn");
    private readonly HashSet<SimulatedMember> _runOn = [];
    private readonly List<long> _breaks = [];
    private readonly Dictionary<LogIndex, Term> _held = [];
    private MemberIncarnation _survivor;
    private bool _isBeside;
    private LogIndex _common;
    private Term _term;

    public void Begin()
    {
        if (world.Members.Count < 2 || !_random.Chance(0.12))
            return;
        Later(_random.Between(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(7)));
    }

    /// <summary>
    /// Where members come and go, the survivor may lead, lag behind, stand amid a change of the members, or name some that are none any
    /// more: whatever it holds is what the cluster goes on with, and changes are asked for again as soon as somebody is up.
    /// </summary>
    public void BeginAmidChurn(ChurnPlan churn)
    {
        if (world.Members.Count < 3 || !_amid.Chance(0.2))
            return;
        if (_amid.Chance(0.5))
            world.Scheduler.After(_amid.Between(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(4)), () => AmidJoint(churn));
        else
            AmidChurnLater(churn, _amid.Between(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(8)));
    }

    /// <summary>A survivor in whose log both halves count: the moment is short.</summary>
    private void AmidJoint(ChurnPlan churn) => world.Scheduler.After(TimeSpan.FromMilliseconds(1), () =>
    {
        if (faults.IsHealed)
            return;
        if (MayBeForced && world.Members.Where(m => Votes(m) && m.Loop!.Core!.Membership.IsJoint).ToList() is { Count: > 0 } joint)
            StrikeAmidChurn(churn, _amid.Pick(joint));
        else
            AmidJoint(churn);
    });

    private void AmidChurnLater(ChurnPlan churn, TimeSpan after) => world.Scheduler.After(after, () =>
    {
        if (faults.IsHealed)
            return;
        var voters = world.Members.Where(Votes).ToList();
        if (voters.Count == 0 || !MayBeForced)
        {
            AmidChurnLater(churn, Poll);
            return;
        }
        var survivor = _amid.Pick(voters);
        if (_amid.Chance(0.5))
            CutOff([survivor]);
        world.Scheduler.After(_amid.Between(TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(1)), () =>
        {
            if (faults.IsHealed)
                return;
            if (Votes(survivor) && MayBeForced)
                StrikeAmidChurn(churn, survivor);
            else
                AmidChurnLater(churn, Poll);
        });
    });

    // Not beside another damage: the survivor's disk must be one that may be forced.
    private bool MayBeForced => !faults.IsHeld && checker.Committed > LogIndex.Zero
        && world.Everybody.All(m => m.Damage == DiskDamage.None && m.Disk.Failing is null);

    private static bool Votes(SimulatedMember member) =>
        IsWhole(member) && member.Loop!.Core!.Membership is var members && new MemberIncarnation(member.Id, member.Loop.Incarnation) is var self
        && (members.IsVoter(self) || members.Outgoing.Contains(self));

    private void StrikeAmidChurn(ChurnPlan churn, SimulatedMember survivor)
    {
        // One that cannot elect itself, whatever of its log was not on its disk yet.
        var left = _amid.Chance(0.4)
            ? world.Members.FirstOrDefault(m => m != survivor && Votes(m) && m.Loop!.Core! is { Membership.Voters.Count: >= 2 } core
                && core.MembershipIndex <= core.Commit && core.MembershipIndex <= core.Durable)
            : null;
        if (survivor.Loop!.Core! is { Membership.IsJoint: true } halves && halves.MembershipIndex <= halves.Durable)
            world.Faults.Coverage.Struck(MenuItem.QuorumForcedAmidJoint);
        foreach (var member in world.Everybody.Where(m => m.IsUp))
            faults.Strike(member, _amid.Chance(0.5), restart: false);
        world.Network.Block([]);
        _isBeside = false;
        foreach (var lost in world.Members.Where(m => m != survivor && m.WasStarted))
        {
            if (lost == left)
            {
                LeaveBehind(lost, aside: false);
                continue;
            }
            Empty(lost);
        }
        survivor.Disk.Mend();
        churn.QuorumForced(Force(survivor));
        // Those that they were configured with may be gone.
        foreach (var lost in world.Members.Where(m => m != survivor && m != left && m.WasStarted))
            lost.Seeds = churn.ToldOf(lost, survivor.Id);
        world.Faults.Coverage.Struck(MenuItem.QuorumForcedAmidChurn);
        foreach (var member in world.Everybody.Where(m => m.WasStarted))
            faults.RestartLater(member);
        if (_amid.Chance(0.4))
            AmidChurnLater(churn, _amid.Between(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(5)));
    }

    /// <summary>A member refused to go on with what was left behind.</summary>
    public void Refused(SimulatedMember member)
    {
        if (member.IsLeftBehind)
            world.Faults.Coverage.Struck(MenuItem.QuorumForcedLeavesBehind);
        if (_runOn.Remove(member))
            world.Faults.Coverage.Struck(MenuItem.QuorumForcedBeside);
    }

    /// <summary>
    /// Looks whether a member is of those who go on beside the quorum that was forced: emptied, it was taken in by them, or, an observer,
    /// fed.
    /// </summary>
    public void Look(SimulatedMember member)
    {
        if (!_isBeside || member is not { Loop: { Core: { } core } loop } || (member.Damage != DiskDamage.None && !member.IsLeftBehind))
            return;
        if (member is { Id.IsObserver: true, IsLeftBehind: true } && core.LastTerm >= _term)
        {
            // A snapshot took the place of all that it held.
            world.Trace.Event(member.Id, "has what the quorum has that was forced");
            member.Damage = DiskDamage.None;
            return;
        }
        if (member.IsAside)
            return;
        if (member.Id.IsObserver ? IsGivenUp(core.LastIndex, core.LastTerm) : IsOfBefore(new(member.Id, loop.Incarnation)))
            LeaveBehind(member, aside: true);
    }

    /// <summary>A member is about to tell what it made of an entry, or of a snapshot.</summary>
    public void Telling(SimulatedMember member, long zxid, ZnodeStateMachine machine)
    {
        Look(member);
        // What a snapshot covers, no log tells the term of.
        if (_isBeside && member is { Id.IsObserver: true, IsAside: false } && (member.Damage == DiskDamage.None || member.IsLeftBehind)
            && zxid < RecoveryEpoch.FirstZxidOfEpochOf(_breaks[^1]) && new LogIndex(IndexOf(zxid)) is var index && index > _common
            && (member.Loop?.Core?.Log.TermAt(index) is { } term ? IsGivenUp(index, term) : !oracle.Knows(zxid, machine)))
            LeaveBehind(member, aside: true);
    }

    /// <summary>Also what the survivor holds, and did not know to be committed, while it has not found that out.</summary>
    private bool IsGivenUp(LogIndex index, Term term) =>
        index > _common && term < _term && (index > checker.Committed || !_held.TryGetValue(index, out var held) || held != term);

    private bool IsOfBefore(MemberIncarnation life) =>
        life.Incarnation > 0 && life != _survivor && life.Incarnation <= (_breaks[^1] >> 48) * RecoveryEpoch.LivesOfEpoch;

    private void LeaveBehind(SimulatedMember member, bool aside)
    {
        if (aside)
            world.Trace.Event(member.Id, "is of those beside the quorum that was forced");
        (member.Damage, member.IsLeftBehind, member.IsAside) = (DiskDamage.OldCopy, true, aside);
        // Until it is told, it may feed observers what is given up.
        _isBeside |= !member.Id.IsObserver;
    }

    private void Later(TimeSpan after) => world.Scheduler.After(after, () =>
    {
        if (faults.IsHealed)
            return;
        var whole = world.Members.Where(IsWhole).ToList();
        if (whole.Count == 0 || !MayBeForced)
        {
            Later(Poll);
            return;
        }
        _random.Shuffle(whole);
        var survivors = whole.Take(_random.Between(1, world.Members.Count / 2)).ToList();
        if (_random.Chance(0.6))
            CutOff(survivors);
        world.Scheduler.After(_random.Between(TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(1)), () => Strike(survivors));
    });

    // One that does not know its cluster's name, QuorumRecovery does not force.
    private static bool IsWhole(SimulatedMember member) =>
        member is { Run.HasStarted: true, Loop: { Core: { RottenEnd: null, LastIndex.Value: > 0 }, Incarnation: > 0 } loop }
        && loop.ClusterId != Guid.Empty;

    // What others acknowledge meanwhile, the survivors never hear of.
    private void CutOff(List<SimulatedMember> survivors)
    {
        var side = survivors.Select(m => m.Id).ToHashSet();
        var all = world.Everybody.Select(m => m.Id).ToList();
        world.Trace.Event(MemberId.None, $"{string.Join(' ', side)} are cut off");
        world.Network.Block(from a in all from b in all where side.Contains(a) != side.Contains(b) select (a, b));
    }

    private void Strike(List<SimulatedMember> survivors)
    {
        if (faults.IsHealed)
            return;
        if (!survivors.All(IsWhole) || !MayBeForced)
        {
            Later(Poll);
            return;
        }
        var whole = world.Members.Where(IsWhole).ToHashSet();
        var beside = DrawBeside(whole.Except(survivors));
        foreach (var member in world.Everybody.Where(m => m.IsUp))
        {
            var power = _random.Chance(0.5);
            if (!beside.Contains(member))
                faults.Strike(member, power, restart: false);
        }
        CutOffFor(beside, survivors);
        // Not so many with their disks that they could go on by themselves.
        var keptDisks = _again.Chance(0.5) ? _again.Between(0, (world.Members.Count - 1) / 2) : 0;
        foreach (var lost in world.Members.Except(survivors))
        {
            if (beside.Contains(lost))
                LeaveBehind(lost, aside: true);
            else if (whole.Contains(lost) && keptDisks-- > survivors.Count - 1)
                LeaveBehind(lost, beside.Count > 0);
            else
                Empty(lost);
        }
        var survivor = Choose(survivors);
        var common = Force(survivor);
        foreach (var other in survivors.Where(m => m != survivor))
        {
            // The manual says to empty these as well; not everybody reads it.
            if (_random.Chance(0.5))
                Empty(other);
            else
                LeaveBehind(other, beside.Count > 0);
        }
        foreach (var member in world.Everybody.Where(m => m.WasStarted && !beside.Contains(m)))
            faults.RestartLater(member);
        if (_again.Chance(0.5))
            Later(_again.Between(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(5)));
    }

    /// <summary>Who runs on, though the operator takes a majority for lost: all others, or some of them.</summary>
    private HashSet<SimulatedMember> DrawBeside(IEnumerable<SimulatedMember> others)
    {
        if (!_beside.Chance(0.5))
            return [];
        var share = _beside.Chance(0.5) ? 1 : 0.6;
        return [.. others.OrderBy(m => m.Id).Where(m => _beside.Chance(share) && !m.IsStopping)];
    }

    /// <summary>For some time the new quorum and those who run on do not hear each other, unless other partitions come.</summary>
    private void CutOffFor(HashSet<SimulatedMember> beside, List<SimulatedMember> survivors)
    {
        _runOn.UnionWith(beside);
        _isBeside = beside.Count > 0;
        if (beside.Count == 0)
        {
            world.Network.Block([]);
            return;
        }
        var side = beside.Select(m => m.Id).ToHashSet();
        // Who comes back empty hears both.
        var all = world.Everybody.Where(m => beside.Contains(m) || survivors.Contains(m) || _beside.Chance(0.7)).Select(m => m.Id).ToList();
        world.Trace.Event(MemberId.None, $"{string.Join(' ', side.Order())} run on beside the quorum that is forced");
        world.Network.Block(from a in all from b in all where side.Contains(a) != side.Contains(b) select (a, b));
        world.Scheduler.After(_beside.Between(TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(3)), () =>
        {
            if (!faults.IsHealed && !faults.IsHeld)
                world.Network.Block([]);
        });
    }

    /// <summary>The one with the newest log, as the manual says.</summary>
    private SimulatedMember Choose(List<SimulatedMember> survivors) => survivors.MaxBy(survivor =>
    {
        survivor.Disk.Mend();
        using var directory = LostQuorum.Open(survivor.Disk, world.Options.Log);
        return (directory.LastTerm, directory.LastIndex);
    })!;

    /// <returns>The last entry that was committed and is kept.</returns>
    private LogIndex Force(SimulatedMember survivor)
    {
        long forced;
        int life;
        using (var directory = LostQuorum.Open(survivor.Disk, world.Options.Log))
        {
            forced = directory.Force();
            life = directory.Identity.Incarnation;
            world.Trace.Event(survivor.Id, $"is forced to be the quorum, at {forced:x}");
            if (forced <= oracle.Zxid)
                world.Violate($"invariant 24: a quorum was forced at {forced:x}, and {oracle.Zxid:x} was applied before");
        }
        world.Faults.Coverage.Struck(MenuItem.QuorumForced);
        if (++world.QuorumsForced > 1)
            world.Faults.Coverage.Struck(MenuItem.QuorumForcedAgain);
        workload.CheckHistory();
        using var copy = SegmentedLog.Open(new UnreadableAsRot(survivor.Disk.DurableCopy()), world.Options.Log, out var held);
        var common = checker.QuorumForced(held.Snapshot?.Index ?? LogIndex.Zero, held.Entries);
        levels.QuorumForced(common);
        (_survivor, _common, _term) = (new(survivor.Id, life), common, held.Entries[^1].Term);
        _held.Clear();
        foreach (var entry in held.Entries)
            _held.Add(entry.Index, entry.Term);
        // Its zxid is of the epoch that the last break before it began.
        _breaks.RemoveAll(known => IndexOf(known) > common.Value);
        var zxid = _breaks.LastOrDefault() - IndexOf(_breaks.LastOrDefault()) + common.Value;
        _breaks.Add(forced);
        oracle.QuorumForced(zxid);
        foreach (var observer in world.Observers.Where(o => checker.MayHoldBeyond(o.Id, common)))
            LeaveBehind(observer, aside: false);
        world.Faults.Coverage.Struck(MenuItem.QuorumForcedLosesWrites, workload.QuorumForced(zxid));
        return common;
    }

    private static long IndexOf(long zxid) => zxid - RecoveryEpoch.FirstZxidOfEpochOf(zxid);

    private void Empty(SimulatedMember member)
    {
        world.Trace.Event(member.Id, "has lost its disk");
        member.Disk.Wipe();
        member.Damage = DiskDamage.None;
        checker.Wiped(member);
    }
}
