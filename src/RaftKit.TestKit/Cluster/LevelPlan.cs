using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;

namespace RaftKit.TestKit;

/// <summary>
/// Builds differ, and roll: in a part of the seeds members begin with an old build, are restarted with newer ones, one after the other, and
/// somebody finalises levels, also while others are not ready. Now and then a member or observer goes back to a build that does not support
/// what is finalised: it must take no part, and lose nothing.
/// </summary>
internal sealed class LevelPlan
{
    private const string Feature = "simulated";
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly SimulatedWorld _world;
    private readonly FaultPlan _faults;
    private readonly LevelChecker _checker;
    private readonly SimulatedRandom _random;
    private readonly int _lowest;
    private readonly bool _goesBack;
    private Task _asked = Task.CompletedTask;
    private readonly HashSet<MemberId> _stopping = [];
    private TimeSpan _askedAt;
    private int _newest;

    public LevelPlan(SimulatedWorld world, FaultPlan faults, LevelChecker checker)
    {
        (_world, _faults, _checker) = (world, faults, checker);
        _random = world.Random.Split("levels");
        // Two in three run one build.
        if (_random.Chance(0.67))
            return;
        IsActive = true;
        // A cluster may also be founded by builds that have forgotten the first level.
        _lowest = _random.Chance(0.15) ? 2 : 1;
        _newest = _lowest;
        _goesBack = _random.Chance(0.6);
        foreach (var member in world.Everybody)
            member.Build = Supporting(_lowest + (_random.Chance(0.2) ? 1 : 0));
    }

    /// <summary>Whether builds differ at all in this seed.</summary>
    public bool IsActive { get; }

    public void Begin()
    {
        if (!IsActive)
            return;
        After(0.3, 1.5, Roll);
        After(0.3, 1.5, AskForOne);
        if (_goesBack)
            After(1.5, 4, GoBack);
    }

    /// <summary>A process ended in order.</summary>
    /// <returns>Whether it was stopped for another build, and is started with it.</returns>
    public bool Stopped(SimulatedMember member)
    {
        if (!_stopping.Remove(member.Id))
            return false;
        StartLater(member);
        return true;
    }

    /// <summary>A process ended because its build does not support a level: its operator reads the message, sooner or later.</summary>
    public void Refused(SimulatedMember member)
    {
        _world.Faults.LevelUnready++;
        _stopping.Remove(member.Id);
        // Sometimes it is only started again: it must say the same once more.
        if (_random.Chance(0.7))
            member.Build = Supporting(_newest);
        StartLater(member);
    }

    /// <summary>All faults end, and so does this: everybody runs the newest build.</summary>
    public void Heal()
    {
        if (!IsActive)
            return;
        foreach (var member in _world.Everybody.Where(m => m.Build.Of(Feature).Max < _newest || m.Run?.Build.Of(Feature).Max < _newest))
        {
            member.Build = Supporting(_newest);
            if (member.Run is not { } run)
                continue;
            if (run.Process.IsPaused)
                run.Process.Resume();
            member.Kill();
        }
    }

    /// <summary>
    /// Everybody is up, whole and runs the newest build: then it can be finalised, whatever happened before.
    /// </summary>
    /// <returns>Whether it is.</returns>
    public bool Finish()
    {
        if (!IsActive || _checker.Newest(Feature) == _newest)
            return true;
        // Who is not connected for the moment is asked again.
        if (_world.Scheduler.Now - _askedAt > (_asked.IsCompleted ? TimeSpan.FromMilliseconds(20) : Patience))
            Ask(_world.Members.FirstOrDefault(m => m is { Run: { HasStarted: true } run } && run.Loop.Core is { Role: RaftRole.Leader }),
                _newest);
        return false;
    }

    private void Roll()
    {
        _newest++;
        var after = TimeSpan.Zero;
        var everybody = _world.Everybody.ToList();
        _random.Shuffle(everybody);
        foreach (var member in everybody)
        {
            after += _random.Between(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(500));
            _world.Scheduler.After(after, () =>
            {
                if (_faults.IsHealed || _faults.IsHeld || member.Build.Of(Feature).Max >= _newest)
                    return;
                Restart(member, _newest);
            });
        }
        After(2, 6, Roll);
    }

    private void AskForOne()
    {
        var up = _world.Everybody.Where(m => m.Run is { HasStarted: true, Process.IsPaused: false }).ToList();
        if (up.Count > 0 && (_asked.IsCompleted || _world.Scheduler.Now - _askedAt > Patience))
        {
            var asker = _random.Pick(up);
            var levels = ((SimulatedZnodes)asker.Run!.Application).Levels;
            // Mostly the next one; also one that nobody has, and one that is finalised long since.
            var level = levels.Finalized(Feature) + _random.Pick([1, 1, 1, 1, 2, 0, -1]);
            if (level >= 1)
                Ask(asker, level);
        }
        After(0.05, 0.6, AskForOne);
    }

    private void Ask(SimulatedMember? asker, int level)
    {
        if (asker?.Run is not { } run)
            return;
        _world.Trace.Event(asker.Id, $"asks for level {level}");
        _askedAt = _world.Scheduler.Now;
        run.Process.Context.Run(() => _asked = Ask(((SimulatedZnodes)run.Application).Levels, level));
    }

    private async Task Ask(IFeatureLevels levels, int level)
    {
        try
        {
            await levels.FinalizeAsync(Feature, level);
            if (levels.Finalized(Feature) < level)
                _world.Violate($"levels: level {level} was acknowledged, and the member that asked is at {levels.Finalized(Feature)}");
        }
        catch (FeatureLevelRefusedException)
        {
            _world.Faults.LevelRefused++;
        }
        catch (Exception e) when (e is NotAppliedException or OutcomeUnknownException)
        {
            // Nobody could tell.
        }
    }

    // Not beside a disk that was put back: those who were told what it forgot must stay.
    private void GoBack()
    {
        var finalized = _checker.Newest(Feature);
        if (finalized > _lowest && !_faults.IsHeld && _world.Everybody.All(m => m.Damage == DiskDamage.None))
        {
            var member = _random.Pick(_world.Everybody.Where(m => m.WasStarted && !m.IsRetired).ToList());
            _world.Trace.Event(member.Id, "goes back to an old build");
            _world.Faults.LevelBack++;
            Restart(member, finalized - 1);
        }
        After(0.5, 3, GoBack);
    }

    private void Restart(SimulatedMember member, int max)
    {
        if (member.IsAsleep)
            return;
        member.Build = Supporting(max);
        if (member.Run is not { } run)
            return;
        if (!run.Process.IsPaused && _random.Chance(0.8))
        {
            // As an operator does it.
            member.IsStopping = true;
            _stopping.Add(member.Id);
            run.Post(new NodeInput.Stop(_ => { }));
            return;
        }
        if (run.Process.IsPaused)
            run.Process.Resume();
        member.Kill();
        StartLater(member);
    }

    private void StartLater(SimulatedMember member) =>
        _world.Scheduler.After(_random.Between(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(400)), () =>
    {
        if (!member.IsUp && !member.IsRetired)
            member.Start();
    });

    private void After(double from, double to, Action what) =>
        _world.Scheduler.After(_random.Between(TimeSpan.FromSeconds(from), TimeSpan.FromSeconds(to)), () =>
    {
        if (!_faults.IsHealed)
            what();
    });

    private FeatureRanges Supporting(int max) => new([new(Feature, new FeatureRange(_lowest, max))]);
}
