using RaftKit.Consensus;
using RaftKit.Node.Log;

namespace RaftKit.TestKit;

/// <summary>
/// Damage to disks at rest: wiped, an old copy put back, bits flipped, writes that landed elsewhere or nowhere. Drawn so that at most a minority is
/// damaged and every committed entry keeps an intact copy; an old copy moreover so that somebody who was told what it forgot is there when it is put
/// back: no protocol could pass otherwise. It also plays the operator, who does what a member's refusal to go on asks for.
/// </summary>
internal sealed class DamagePlan(SimulatedWorld world, SafetyChecker checker, FaultPlan faults)
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestHold = TimeSpan.FromSeconds(3);

    private readonly SimulatedRandom _random = world.Random.Split("damage");
    private readonly HashSet<MemberId> _isMissing = [];
    private SimulatedMember? _held;

    public void Begin()
    {
        if (world.Members.Count < 3 || !_random.Chance(0.9))
            return;
        for (var i = _random.Between(2, 6); i > 0; i--)
        {
            var member = _random.Pick(world.Members);
            var at = _random.Between(TimeSpan.FromMilliseconds(500), TimeSpan.FromSeconds(10));
            var kind = _random.NextDouble();
            if (kind < 0.25)
                Later(at, member, () => true, () => Wipe(member));
            else if (kind < 0.7)
                world.Scheduler.After(at, () => Copy(member));
            else
                RotLater(at, member, kind);
        }
    }

    /// <summary>Observers hold nothing that others do not: all of their disks may rot, at any time.</summary>
    public void BeginObservers()
    {
        var random = world.Random.Split("damage of observers");
        if (world.Observers.Count == 0 || !random.Chance(0.4))
            return;
        for (var i = random.Between(1, 4); i > 0; i--)
            RotObserverLater(random.Between(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(11)), random.Pick(world.Observers), random);
    }

    private void RotObserverLater(TimeSpan at, SimulatedMember observer, SimulatedRandom random) => world.Scheduler.After(at, () =>
    {
        if (faults.IsHealed)
            return;
        if (observer is { Damage: DiskDamage.None, Loop: { Core: not null, Incarnation: > 0 } })
            Rot(observer, random.Between(0.7, 1), random);
        else
            RotObserverLater(Poll, observer, random);
    });

    /// <summary>The member's process is up, or has taken a turn.</summary>
    public void Went(SimulatedMember member)
    {
        // What it could not read it knows; the checker, whether it knows all of that. Whether a copy is an old one, only others can tell.
        if (member is not { Damage: DiskDamage.Rot, Loop.Core: { } core })
            return;
        if (core.RottenEnd is not null)
        {
            _isMissing.Add(member.Id);
            return;
        }
        // A crash may still lose what came back.
        if (core.Durable < core.LastIndex)
            return;
        member.Damage = DiskDamage.None;
        if (!_isMissing.Remove(member.Id))
            return;
        world.Faults.Repaired++;
        if (member.Id.IsObserver)
            world.Faults.Coverage.Struck(MenuItem.ObserverRepaired);
    }

    /// <summary>A loop ended by itself, or could not start, for a reason that it may have.</summary>
    public void Ended(SimulatedMember member, Exception? failure)
    {
        if (failure is DirectoryRolledBackException or LogCorruptException)
        {
            Release(member);
            // Sometimes the operator does not read the message, and only starts it again: it must say the same once more.
            if (_random.Chance(0.6))
                Empty(member);
        }
        faults.RestartLater(member);
    }

    private void Later(TimeSpan at, SimulatedMember member, Func<bool> isPossible, Action strike) => world.Scheduler.After(at, () =>
    {
        if (faults.IsHealed)
            return;
        if (MayDamage(member) && isPossible())
            strike();
        else
            Later(Poll, member, isPossible, strike);
    });

    // Everybody else is whole, takes part, and has all that was ever committed.
    private bool MayDamage(SimulatedMember victim) =>
        _held is null && victim is { Damage: DiskDamage.None, IsAsleep: false, Loop.Incarnation: > 0 } && world.Members.All(m => m == victim
            || (m is { Damage: DiskDamage.None, Loop.Core: { } core } && core.Membership.Voters.Count == world.Members.Count && core.Applied >= checker.Committed));

    /// <summary>
    /// Rot takes no promise back, so others need not have all: somebody does. Those who lead are preferred, for they were the first to have it, and what they acknowledged last not everybody
    /// else has.
    /// </summary>
    private void RotLater(TimeSpan at, SimulatedMember member, double kind) => world.Scheduler.After(at, () =>
    {
        if (faults.IsHealed)
            return;
        var victim = kind < 0.85 && _random.Chance(0.5) ? world.Members.FirstOrDefault(m => m.Loop?.Core is { Role: RaftRole.Leader }) ?? member : member;
        if (_held is null && victim is { Damage: DiskDamage.None, IsAsleep: false, Loop.Incarnation: > 0 } && world.Members.All(m => m == victim
                || (m is { Damage: DiskDamage.None, Loop.Core: { } core } && core.Membership.Voters.Count == world.Members.Count))
            && world.Members.Any(m => m != victim && m.Loop!.Core!.Applied >= checker.Committed))
            Rot(victim, kind, _random);
        else
            RotLater(Poll, member, kind);
    });

    private void Wipe(SimulatedMember member)
    {
        world.Faults.Wipe++;
        Kill(member);
        Empty(member);
        faults.RestartLater(member);
    }

    /// <summary>Copies the disk as it is now; puts the copy back as soon as it lacks something that matters.</summary>
    private void Copy(SimulatedMember member)
    {
        if (faults.IsHealed)
            return;
        if (member is not { Damage: DiskDamage.None, Loop: { Core: not null, Incarnation: var incarnation } } || member.Disk.IsOff)
        {
            world.Scheduler.After(Poll, () => Copy(member));
            return;
        }
        world.Trace.Event(member.Id, "has its disk copied");
        var copy = member.Disk.DurableCopy();
        var held = checker.CopyDurable(member);
        Later(
            _random.Between(TimeSpan.FromMilliseconds(10), TimeSpan.FromSeconds(2)), member,
            () => member.Loop?.Incarnation != incarnation || HasWitness(member, held),
            () =>
            {
                if (member.Loop?.Incarnation == incarnation)
                    PutBack(member, copy);
            });
    }

    private bool HasWitness(SimulatedMember member, DurableLog held) =>
        world.Members.Any(m => m != member && m is { IsStopping: false, Run: { Process.IsPaused: false } run } && !world.MayRefuseLevel(m) && checker.WasToldMore(run, member, held));

    private void PutBack(SimulatedMember member, SimulatedDisk copy)
    {
        var incarnation = member.Loop!.Incarnation;
        world.Faults.OldCopy++;
        Kill(member);
        world.Trace.Event(member.Id, "has an old copy of its disk put back");
        member.Disk.Restore(copy);
        member.Damage = DiskDamage.OldCopy;
        checker.RolledBack(member, incarnation);
        // Those who know must stay, and get to it: whoever hears of an old copy only from those who were told nothing cannot notice.
        _held = member;
        faults.Hold();
        world.Scheduler.After(_random.Between(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(500)), () =>
        {
            if (!member.IsUp)
                member.Start();
        });
        world.Scheduler.After(LongestHold, () => Release(member));
    }

    private void Rot(SimulatedMember member, double kind, SimulatedRandom random)
    {
        Kill(member);
        var what = kind < 0.85 ? member.Disk.FlipSomeBit(random) : kind < 0.93 ? member.Disk.MisdirectSomeWrite(random) : member.Disk.LoseSomeWrite(random);
        if (what is not null)
        {
            world.Trace.Event(member.Id, what);
            member.Damage = DiskDamage.Rot;
            if (member.Id.IsObserver)
                world.Faults.Coverage.Struck(MenuItem.ObserverRot);
        }
        faults.RestartLater(member);
    }

    private void Empty(SimulatedMember member)
    {
        world.Trace.Event(member.Id, "is wiped");
        member.Disk.Wipe();
        member.Damage = DiskDamage.None;
        _isMissing.Remove(member.Id);
        checker.Wiped(member);
    }

    private void Kill(SimulatedMember member)
    {
        world.Faults.Kill++;
        member.Kill();
    }

    private void Release(SimulatedMember member)
    {
        if (_held != member)
            return;
        _held = null;
        faults.Release();
    }
}
