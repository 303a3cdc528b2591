using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Members;

namespace RaftKit.TestKit;

/// <summary>
/// In a part of the seeds a majority is lost for good, its disks gone, and an operator forces one survivor to be the quorum, as
/// <c>QuorumRecovery.ForceNewQuorum</c> does: what only the others had is lost, and every check is told so; nothing else may be, and no
/// zxid comes again. The others join anew, or try to with what their disks held, and are refused.
/// </summary>
internal sealed class LostQuorumPlan(
    SimulatedWorld world, SafetyChecker checker, LevelChecker levels, TreeOracle oracle, Workload workload, FaultPlan faults)
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);

    private readonly SimulatedRandom _random = world.Random.Split("lost quorum");
    private readonly SimulatedRandom _again = world.Random.Split("lost quorum again");
    private readonly List<long> _breaks = [];

    public void Begin()
    {
        if (world.Members.Count < 2 || !_random.Chance(0.12))
            return;
        Later(_random.Between(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(7)));
    }

    /// <summary>A member refused to go on with what was left behind.</summary>
    public void Refused(SimulatedMember member)
    {
        if (member.IsLeftBehind)
            world.Faults.Coverage.Struck(MenuItem.QuorumForcedLeavesBehind);
    }

    private void Later(TimeSpan after) => world.Scheduler.After(after, () =>
    {
        if (faults.IsHealed)
            return;
        // Not beside another damage: the survivor's disk must be one that may be forced.
        var whole = world.Members.Where(IsWhole).ToList();
        if (faults.IsHeld || whole.Count == 0 || checker.Committed == LogIndex.Zero
            || world.Everybody.Any(m => m.Damage != DiskDamage.None))
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

    private static bool IsWhole(SimulatedMember member) =>
        member is { Run.HasStarted: true, Loop: { Core: { RottenEnd: null, LastIndex.Value: > 0 }, Incarnation: > 0 } };

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
        if (faults.IsHeld || !survivors.All(IsWhole) || world.Everybody.Any(m => m.Damage != DiskDamage.None))
        {
            Later(Poll);
            return;
        }
        var whole = world.Members.Where(IsWhole).ToHashSet();
        foreach (var member in world.Everybody.Where(m => m.IsUp))
            faults.Strike(member, _random.Chance(0.5), restart: false);
        world.Network.Block([]);
        // Not so many with their disks that they could go on by themselves.
        var keptDisks = _again.Chance(0.5) ? _again.Between(0, (world.Members.Count - 1) / 2) : 0;
        foreach (var lost in world.Members.Except(survivors))
        {
            if (whole.Contains(lost) && keptDisks-- > survivors.Count - 1)
                (lost.Damage, lost.IsLeftBehind) = (DiskDamage.OldCopy, true);
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
                (other.Damage, other.IsLeftBehind) = (DiskDamage.OldCopy, true);
        }
        foreach (var observer in world.Observers.Where(o => checker.MayHoldBeyond(o.Id, common)))
            (observer.Damage, observer.IsLeftBehind) = (DiskDamage.OldCopy, true);
        foreach (var member in world.Everybody.Where(m => m.WasStarted))
            faults.RestartLater(member);
        if (world.QuorumsForced > 1)
            world.Faults.Coverage.Struck(MenuItem.QuorumForcedAgain);
        if (_again.Chance(0.5))
            Later(_again.Between(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(5)));
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
        using (var directory = LostQuorum.Open(survivor.Disk, world.Options.Log))
        {
            forced = directory.Force();
            world.Trace.Event(survivor.Id, $"is forced to be the quorum, at {forced:x}");
            if (forced <= oracle.Zxid)
                world.Violate($"invariant 24: a quorum was forced at {forced:x}, and {oracle.Zxid:x} was applied before");
        }
        world.Faults.Coverage.Struck(MenuItem.QuorumForced);
        world.QuorumsForced++;
        workload.CheckHistory();
        using var copy = SegmentedLog.Open(new UnreadableAsRot(survivor.Disk.DurableCopy()), world.Options.Log, out var held);
        var common = checker.QuorumForced(held.Snapshot?.Index ?? LogIndex.Zero, held.Entries);
        levels.QuorumForced(common);
        // Its zxid is of the epoch that the last break before it began.
        _breaks.RemoveAll(known => IndexOf(known) > common.Value);
        var zxid = _breaks.LastOrDefault() - IndexOf(_breaks.LastOrDefault()) + common.Value;
        _breaks.Add(forced);
        oracle.QuorumForced(zxid);
        world.Faults.Coverage.Struck(MenuItem.QuorumForcedLosesWrites, workload.QuorumForced(zxid));
        return common;

        static long IndexOf(long broken) => broken - RecoveryEpoch.FirstZxidOfEpochOf(broken);
    }

    private void Empty(SimulatedMember member)
    {
        world.Trace.Event(member.Id, "has lost its disk");
        member.Disk.Wipe();
        member.Damage = DiskDamage.None;
        checker.Wiped(member);
    }
}
