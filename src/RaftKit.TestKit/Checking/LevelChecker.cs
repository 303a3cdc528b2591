using RaftKit.Consensus;
using RaftKit.Node.Levels;

namespace RaftKit.TestKit;

/// <summary>
/// What holds of feature levels, checked after every event on the member that took it: a level is finalised only if every member of then
/// ever ran a build that supports it; it never falls, and is the same on all who applied as far, snapshots or not; nobody applies, or
/// serves, past one that its own build does not support.
/// </summary>
internal sealed class LevelChecker(SimulatedWorld world)
{
    private readonly SortedDictionary<string, List<FinalizedLevel>> _finalized = new(StringComparer.Ordinal);
    private readonly Dictionary<MemberId, List<FeatureRanges>> _builds = [];
    private readonly Dictionary<string, int> _begins = [];
    private readonly Dictionary<MemberId, (SimulatedRun Run, FinalizedLevels Levels)> _seen = [];
    private (string Feature, List<FinalizedLevel> Known)[] _order = [];
    private readonly List<(MemberId Member, FeatureRanges Build)> _unproven = [];

    /// <summary>The highest level that anybody has applied; 1 if none was finalised.</summary>
    public int Newest(string feature) => _finalized.TryGetValue(feature, out var levels) ? levels[^1].Level : 1;

    /// <summary>Whether a process of this build has a reason to end: some level that is, or was, finalised.</summary>
    public bool MayRefuse(SimulatedMember member)
    {
        // What runs; the next start's may be another already.
        var build = member.Run?.Build ?? member.Build;
        // One that went back may have done so after it was asked, and may be the first to apply what was decided then.
        if (_builds.GetValueOrDefault(member.Id)?.Any(ran => ran.All.Any(f => f.Value.Max > build.Of(f.Key).Max)) == true)
            return true;
        return HasReason(build);
    }

    /// <summary>
    /// A process ended because its build does not support a level. Where nobody had applied such a one before, somebody must have in the
    /// end.
    /// </summary>
    public void Refused(SimulatedMember member)
    {
        if (!HasReason(member.Ran))
            _unproven.Add((member.Id, member.Ran));
    }

    /// <summary>At the end: everything that was committed is applied, so whoever refused did so for a level that is there.</summary>
    public void CheckRefusals()
    {
        foreach (var (member, build) in _unproven.Where(refused => !HasReason(refused.Build)))
            world.Violate(
                $"levels: member {member} refused to go on with [{string.Join(", ", build.All.Select(f => $"{f.Key} {f.Value}"))}], and nothing beyond was ever finalised");
    }

    private bool HasReason(FeatureRanges build) =>
        _finalized.Any(f => f.Value.Any(level => !build.Of(f.Key).Contains(level.Level)))
            || build.All.Any(f => f.Value.Min > _begins.GetValueOrDefault(f.Key, 1));

    public void Started(SimulatedMember member)
    {
        if (!_builds.TryGetValue(member.Id, out var builds))
            _builds[member.Id] = builds = [];
        if (!builds.Contains(member.Build))
            builds.Add(member.Build);
    }

    /// <summary>An operator forced a new quorum: what was finalised beyond the survivor's log is given up.</summary>
    public void QuorumForced(LogIndex survivor)
    {
        // Whoever refused may have been the only one who heard of it.
        _unproven.Clear();
        foreach (var levels in _finalized.Values)
            levels.RemoveAll(level => level.At > survivor);
        foreach (var none in _finalized.Where(f => f.Value.Count == 0).Select(f => f.Key).ToArray())
            _finalized.Remove(none);
        _order = [.. _finalized.Select(f => (f.Key, f.Value))];
        _seen.Clear();
    }

    public void AfterTurn(SimulatedMember member, SimulatedRun run)
    {
        // What an old copy, or one that a forced quorum left behind, holds is not the cluster's.
        if (run.Loop.IsStopped || member.Damage == DiskDamage.OldCopy)
            return;
        var (levels, applied) = (run.Loop.Applier.Levels.Current, run.Loop.Applier.Applied);
        // Every event comes here: what has not changed is not looked at again.
        if (!_seen.TryGetValue(member.Id, out var seen) || seen != (run, levels))
        {
            CheckLevels(member, run, levels, applied);
            _seen[member.Id] = (run, levels);
        }
        foreach (var (feature, known) in _order)
        {
            var expected = default(FinalizedLevel);
            for (var i = known.Count - 1; i >= 0 && expected == default; i--)
            {
                if (known[i].At <= applied)
                    expected = known[i];
            }
            var found = levels.All.GetValueOrDefault(feature);
            // A snapshot tells its levels first, and counts as applied at its end.
            if (found != expected && found.At <= applied)
            {
                world.Violate(
                    $"levels: member {member.Id}, which applied up to {applied}, has level {found.Level} of {feature}, finalised by entry {found.At}; others have {expected.Level}, by entry {expected.At}");
            }
        }
    }

    private void CheckLevels(SimulatedMember member, SimulatedRun run, FinalizedLevels levels, LogIndex applied)
    {
        foreach (var (feature, level) in levels.All.OrderBy(l => l.Key, StringComparer.Ordinal))
        {
            if (!run.Build.Of(feature).Contains(level.Level))
                world.Violate(
                    $"levels: member {member.Id} applied up to {applied} at level {level.Level} of {feature}, and its build supports {run.Build.Of(feature)}");
            if (!_finalized.TryGetValue(feature, out var known))
            {
                _finalized[feature] = known = [];
                _order = [.. _finalized.Select(f => (f.Key, f.Value))];
            }
            if (known.Count == 0 || level.At > known[^1].At)
                Finalized(member, run, feature, level, known);
        }
    }

    private void Finalized(SimulatedMember first, SimulatedRun run, string feature, FinalizedLevel level, List<FinalizedLevel> known)
    {
        var before = known.Count == 0 ? 1 : known[^1].Level;
        if (level.Level <= before)
            world.Violate($"levels: entry {level.At} takes {feature} from level {before} to {level.Level}");
        known.Add(level);
        // The level that a cluster begins at is its founders' lowest: nobody is asked.
        if (known.Count == 1 && run.Build.Of(feature).Min == level.Level)
        {
            _begins[feature] = level.Level;
            return;
        }
        world.Faults.LevelFinalized++;
        // One that entered after the level, in the same turn, was not to be asked.
        if (run.Loop.Core is not { } core || core.MembershipIndex > level.At)
            return;
        foreach (var id in core.Membership.All)
        {
            if (!_builds.TryGetValue(id, out var builds) || !builds.Any(build => build.Of(feature).Contains(level.Level)))
            {
                world.Violate($"levels: entry {level.At} finalised level {level.Level} of {feature}, as member {first.Id} applied it, "
                    + $"and member {id} of {core.Membership} never ran a build that supports it");
            }
        }
    }
}
