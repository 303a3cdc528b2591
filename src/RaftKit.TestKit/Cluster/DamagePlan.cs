using RaftKit.Consensus;
using RaftKit.Node.Log;

namespace RaftKit.TestKit;

/// <summary>
/// Damage to disks at rest: wiped, an old copy put back, bits flipped, writes that landed elsewhere or nowhere. Drawn so that at most a
/// minority is damaged and every committed entry keeps an intact copy; an old copy moreover so that somebody who was told what it forgot is
/// there when it is put back: no protocol could pass otherwise. It also plays the operator, who does what a member's refusal to go on asks
/// for.
/// </summary>
internal sealed class DamagePlan(SimulatedWorld world, SafetyChecker checker, FaultPlan faults)
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestHold = TimeSpan.FromSeconds(3);

    private const int MostWaits = 100;
    private const double CopyKind = 0.35;
    private const double RotKind = 0.6;

    private readonly SimulatedRandom _random = world.Random.Split("damage");
    private readonly SimulatedRandom _sectors = world.Random.Split("bad sectors");
    private readonly HashSet<MemberId> _isMissing = [];
    private readonly Dictionary<MemberId, SimulatedRun> _unaware = [];
    private readonly Dictionary<MemberId, SimulatedRun> _met = [];
    private readonly HashSet<MemberId> _isReplaced = [];
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

    /// <summary>
    /// Where members come and go, the minority is that of the membership of then, which nobody is changing at that moment: who is damaged
    /// next to a change that counts already, and is not committed, may be needed by both halves of it. What is asked for while a damage is
    /// mended, the quorum has to bring together with it.
    /// </summary>
    public void BeginAmidChurn(ChurnPlan churn)
    {
        _churn = churn;
        if (world.Members.Count < 3 || !_random.Chance(0.7))
            return;
        for (var i = _random.Between(3, 8); i > 0; i--)
            StrikeAmidChurn(_random.Between(TimeSpan.FromMilliseconds(500), TimeSpan.FromSeconds(10)), _random.NextDouble());
    }

    /// <summary>Somebody is damaged, or was emptied and does not vote in its new life yet.</summary>
    public bool IsMending
    {
        get
        {
            if (checker.SettledMembership is { } members)
                _isReplaced.RemoveWhere(
                    id => members.IncarnationOf(id) is not { } life
                    || (members.IsVoter(life) && world[id].Loop?.Incarnation == life.Incarnation));
            return _isReplaced.Count > 0 || world.Members.Any(m => m.Damage != DiskDamage.None);
        }
    }

    private ChurnPlan? _churn;
    private int _waits;

    private void StrikeAmidChurn(TimeSpan at, double kind) => world.Scheduler.After(at, () =>
    {
        if (faults.IsHealed)
            return;
        if (_churn!.Idle is not { Voters.Count: >= 3 } members)
        {
            LetSettle();
            StrikeAmidChurn(Poll, kind);
            return;
        }
        var member = world[_random.Pick(members.Voters).Id];
        if (kind < CopyKind && MayDamage(member))
        {
            world.Faults.Coverage.Struck(MenuItem.WipeAmidChurn);
            _churn.Wait();
            Wipe(member);
        }
        else if (kind is >= CopyKind and < RotKind && member.Damage == DiskDamage.None)
        {
            Copy(member);
        }
        else if (kind >= RotKind && MayRot(member))
        {
            _churn.Wait();
            Rot(member, 0.7 + ((kind - RotKind) * 0.75), _random);
            if (member.Damage == DiskDamage.Rot)
                world.Faults.Coverage.Struck(MenuItem.RotAmidChurn);
        }
        else
        {
            LetSettle();
            StrikeAmidChurn(Poll, kind);
        }
    });

    /// <summary>
    /// For a damage that is due, nothing new is asked for: for a part of the time only, since the changes are what it is to meet.
    /// </summary>
    private void LetSettle()
    {
        if (_waits++ < MostWaits)
            _churn?.Wait();
    }

    /// <summary>
    /// All others whose votes count, if nobody is damaged; null if somebody is, or if a change of the members may be under way.
    /// </summary>
    private List<SimulatedMember>? Others(SimulatedMember victim)
    {
        if (_held is not null || world.Members.Any(m => m.Damage != DiskDamage.None)
            || victim is not { IsAsleep: false, Loop.Incarnation: > 0 and var life })
            return null;
        if (_churn is null)
        {
            var all = world.Members.Where(m => m != victim).ToList();
            return all.All(m => m.Loop?.Core is { } core && core.Membership.Voters.Count == world.Members.Count) ? all : null;
        }
        if (_churn.Idle is not { Voters.Count: >= 3 } members || !members.Voters.Contains(new MemberIncarnation(victim.Id, life)))
            return null;
        var others = members.Voters.Where(v => v.Id != victim.Id).ToList();
        return others.All(
            v => world[v.Id].Loop is { Core: { } core } loop && loop.Incarnation == v.Incarnation && core.Membership.Equals(members))
            ? [.. others.Select(v => world[v.Id])] : null;
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

    /// <summary>
    /// In some seeds disks cannot read some of what they hold, and say so each time: that of one member at a time, and those of all
    /// observers.
    /// </summary>
    public void BeginBadSectors(bool ofMembers)
    {
        if (!_sectors.Chance(0.25))
            return;
        for (var i = world.Members.Count < 3 || !ofMembers ? 0 : _sectors.Between(1, 4); i > 0; i--)
            SpoilLater(_sectors.Between(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(10)), _sectors.Pick(world.Members));
        for (var i = world.Observers.Count == 0 ? 0 : _sectors.Between(1, 3); i > 0; i--)
            SpoilObserverLater(_sectors.Between(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(11)), _sectors.Pick(world.Observers));
    }

    /// <summary>
    /// In some seeds old copies of observers' disks are put back, whoever is there to see it: they promised nothing, so that nobody need
    /// notice, but must not number anything as they did before.
    /// </summary>
    public void BeginOldCopiesOfObservers()
    {
        var random = world.Random.Split("old copies of observers");
        if (world.Observers.Count == 0 || !random.Chance(0.4))
            return;
        for (var i = random.Between(1, 4); i > 0; i--)
        {
            var observer = random.Pick(world.Observers);
            world.Scheduler.After(random.Between(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(9)), () => CopyObserver(observer, random));
        }
    }

    private void CopyObserver(SimulatedMember observer, SimulatedRandom random)
    {
        if (faults.IsHealed)
            return;
        if (!MayRotObserver(observer) || observer.Disk.IsOff)
        {
            world.Scheduler.After(Poll, () => CopyObserver(observer, random));
            return;
        }
        world.Trace.Event(observer.Id, "has its disk copied");
        var (copy, incarnation, quorum) = (observer.Disk.DurableCopy(), observer.Loop!.Incarnation, world.QuorumsForced);
        world.Scheduler.After(
            random.Between(TimeSpan.FromMilliseconds(10), TimeSpan.FromSeconds(3)), () =>
            PutBackObserver(observer, copy, incarnation, quorum, random));
    }

    private void PutBackObserver(SimulatedMember observer, SimulatedDisk copy, int incarnation, int quorum, SimulatedRandom random)
    {
        // What a quorum that was forced meanwhile gave up, LostQuorumPlan leaves behind.
        if (faults.IsHealed || quorum != world.QuorumsForced)
            return;
        if (!MayRotObserver(observer) || observer.Disk.IsOff)
        {
            world.Scheduler.After(Poll, () => PutBackObserver(observer, copy, incarnation, quorum, random));
            return;
        }
        if (observer.Loop!.Incarnation != incarnation)
        {
            // Emptied since, and begun anew: the copy is of a life that is over.
            world.Faults.Coverage.Struck(MenuItem.ObserverOldLife);
            checker.Wiped(observer);
        }
        Kill(observer);
        world.Trace.Event(observer.Id, "has an old copy of its disk put back");
        world.Faults.Coverage.Struck(MenuItem.ObserverOldCopy);
        observer.Disk.Restore(copy);
        observer.IsOldCopy = true;
        checker.RolledBack(observer, incarnation);
        if (random.Chance(0.5))
        {
            world.Scheduler.After(random.Between(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(100)), () =>
            {
                if (!observer.IsUp)
                    observer.Start();
            });
        }
        else
        {
            faults.RestartLater(observer);
        }
    }

    private void SpoilLater(TimeSpan at, SimulatedMember member) => world.Scheduler.After(at, () =>
    {
        if (faults.IsHealed)
            return;
        if (MayRot(member))
            Spoil(member);
        else
            SpoilLater(Poll, member);
    });

    private void SpoilObserverLater(TimeSpan at, SimulatedMember observer) => world.Scheduler.After(at, () =>
    {
        if (faults.IsHealed)
            return;
        if (MayRotObserver(observer))
            Spoil(observer);
        else
            SpoilObserverLater(Poll, observer);
    });

    /// <summary>
    /// What a process has in its memory it need not read; what it reads while it is up, it must not take for what was written.
    /// </summary>
    private void Spoil(SimulatedMember member)
    {
        var findsOut = _sectors.Chance(0.3);
        if (!findsOut)
            Kill(member);
        if (member.Disk.SpoilSomePages(_sectors) is { } what)
        {
            world.Trace.Event(member.Id, what);
            member.Damage = DiskDamage.Rot;
            if (findsOut)
            {
                _unaware[member.Id] = member.Run!;
                world.Faults.Coverage.Struck(MenuItem.BadSectorWhileUp);
            }
            if (member.Id.IsObserver)
                world.Faults.Coverage.Struck(MenuItem.ObserverBadSector);
        }
        if (!findsOut)
            faults.RestartLater(member);
    }

    /// <summary>
    /// In some of the seeds in which old entries are read from the disk, a member is away for a while, and when it comes back whoever leads
    /// cannot read some of what it lacks.
    /// </summary>
    public void BeginRotThatIsMet()
    {
        var random = world.Random.Split("rot that is met");
        if (world.Members.Count < 3 || _churn is not null || world.Options.KeepMemoryBytes > 4096 || !random.Chance(0.8))
            return;
        for (var i = random.Between(2, 4); i > 0; i--)
            SendAwayLater(random.Between(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(7)), random);
    }

    private void SendAwayLater(TimeSpan at, SimulatedRandom random) => world.Scheduler.After(at, () =>
    {
        if (faults.IsHealed)
            return;
        if (world.Members.FirstOrDefault(m => m.Loop?.Core?.Role == RaftRole.Leader) is not { } leader || !MayRot(leader))
        {
            SendAwayLater(Poll, random);
            return;
        }
        var away = random.Pick([.. world.Members.Where(m => m != leader)]);
        Kill(away);
        world.Scheduler.After(random.Between(TimeSpan.FromMilliseconds(500), TimeSpan.FromSeconds(3)), () =>
        {
            if (!faults.IsHealed && leader.Run is { Loop.Core.Role: RaftRole.Leader } run && IsSpared(leader, away)
                && leader.Disk.SpoilRecentLog(random) is { } what)
            {
                world.Trace.Event(leader.Id, what);
                (leader.Damage, _unaware[leader.Id]) = (DiskDamage.Rot, run);
                world.Faults.Coverage.Struck(MenuItem.BadSectorWhileUp);
            }
            faults.RestartLater(away);
        });
    });

    // Nobody is damaged, and of those that are not away all have what was committed on disks that stay whole.
    private bool IsSpared(SimulatedMember victim, SimulatedMember away) =>
        _held is null && world.Members.All(m => m.Damage == DiskDamage.None && !m.IsAsleep)
        && world.Members.Where(m => m != victim && m != away).All(
            m => m.Loop is { Core: { } core, Incarnation: > 0 } && core.Membership.Voters.Count == world.Members.Count)
        && world.Members.Any(m => m != victim && m != away && m.Loop!.Core!.Applied >= checker.Committed);

    private static bool MayRotObserver(SimulatedMember observer) =>
        observer is { Damage: DiskDamage.None, Loop: { Core: not null, Incarnation: > 0 } };

    private void RotObserverLater(TimeSpan at, SimulatedMember observer, SimulatedRandom random) => world.Scheduler.After(at, () =>
    {
        if (faults.IsHealed)
            return;
        if (MayRotObserver(observer))
            Rot(observer, random.Between(0.7, 1), random);
        else
            RotObserverLater(Poll, observer, random);
    });

    /// <summary>
    /// These disks may not give back what they hold, for as long as they fail: nobody else's is damaged, and somebody else has all that was
    /// committed. All others who vote are whole, and make up a majority.
    /// </summary>
    /// <returns>Whether that may be.</returns>
    public bool MayMisread(IReadOnlyCollection<SimulatedMember> victims)
    {
        if (_churn is not null || 2 * victims.Count >= world.Members.Count
            || world.Members.Any(m => m.Damage != DiskDamage.None || m.IsAsleep)
            || world.Members.Any(m => m.Loop is not { Core: { } core, Incarnation: > 0 }
                || core.Membership.Voters.Count != world.Members.Count)
            || !world.Members.Any(m => !victims.Contains(m) && m.Loop!.Core!.Applied >= checker.Committed))
            return false;
        foreach (var victim in victims)
        {
            _isMissing.Remove(victim.Id);
            victim.Damage = DiskDamage.Rot;
        }
        return true;
    }

    /// <summary>As <see cref="MayMisread"/>, for an observer, who holds nothing that others do not.</summary>
    public bool MayMisreadOf(SimulatedMember observer)
    {
        if (!MayRotObserver(observer) || observer.IsOldCopy)
            return false;
        _isMissing.Remove(observer.Id);
        observer.Damage = DiskDamage.Rot;
        return true;
    }

    /// <summary>The member's process is up, or has taken a turn.</summary>
    public void Went(SimulatedMember member)
    {
        // What it could not read it knows; the checker, whether it knows all of that. Whether a copy is an old one, only others can tell.
        if (member is not { Damage: DiskDamage.Rot, Loop.Core: { } core })
            return;
        if (member.Loop.Counters.RotMet > 0 && _met.GetValueOrDefault(member.Id) != member.Run)
        {
            _met[member.Id] = member.Run!;
            world.Faults.Coverage.Struck(MenuItem.RotMetWhileUp);
        }
        if (core.RottenEnd is not null)
        {
            _isMissing.Add(member.Id);
            return;
        }
        // What is not missed yet may not be readable a moment later.
        if (member.Disk.Failing is not null)
            return;
        // Until it is started anew, or what cannot be read is not needed any more, it may not have found out.
        if (member.Disk.HasUnreadable && _unaware.GetValueOrDefault(member.Id) == member.Run)
            return;
        // A crash may still lose what came back.
        if (core.Durable < core.LastIndex)
            return;
        member.Damage = DiskDamage.None;
        var wasMissing = _isMissing.Remove(member.Id);
        Mended?.Invoke(member, wasMissing);
        if (!wasMissing)
            return;
        world.Faults.Repaired++;
        if (member.Disk.HasUnreadable)
            world.Faults.Coverage.Struck(MenuItem.BadSectorRepaired);
        if (member.Id.IsObserver)
            world.Faults.Coverage.Struck(MenuItem.ObserverRepaired);
    }

    /// <summary>A member has all that its disk ever held: it was fetched again, or nothing was missing.</summary>
    public Action<SimulatedMember, bool>? Mended { get; set; }

    /// <summary>A loop ended by itself, or could not start, for a reason that it may have.</summary>
    public void Ended(SimulatedMember member, Exception? failure)
    {
        if (failure is DirectoryRolledBackException or LogCorruptException)
        {
            if (failure is DirectoryRolledBackException && member.IsOldCopy)
                world.Faults.Coverage.Struck(MenuItem.ObserverOldCopyRefused);
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
        {
            strike();
            return;
        }
        LetSettle();
        Later(Poll, member, isPossible, strike);
    });

    // Everybody else is whole, takes part, and has all that was ever committed.
    private bool MayDamage(SimulatedMember victim) => Others(victim)?.All(m => m.Loop!.Core!.Applied >= checker.Committed) == true;

    /// <summary>
    /// Rot takes no promise back, so others need not have all: somebody does. Those who lead are preferred, for they were the first to have
    /// it, and what they acknowledged last not everybody else has.
    /// </summary>
    private void RotLater(TimeSpan at, SimulatedMember member, double kind) => world.Scheduler.After(at, () =>
    {
        if (faults.IsHealed)
            return;
        var victim = kind < 0.85 && _random.Chance(0.5) ? world.Members.FirstOrDefault(m => m.Loop?.Core is { Role: RaftRole.Leader })
            ?? member : member;
        if (MayRot(victim))
            Rot(victim, kind, _random);
        else
            RotLater(Poll, member, kind);
    });

    private bool MayRot(SimulatedMember victim) => Others(victim)?.Any(m => m.Loop!.Core!.Applied >= checker.Committed) == true;

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
        var members = member.Loop.Core.Membership;
        Later(
            _random.Between(TimeSpan.FromMilliseconds(10), TimeSpan.FromSeconds(2)), member,
            () => member.Loop?.Incarnation != incarnation || HasWitness(member, held),
            () =>
            {
                // A copy that names other members looks for them, and those who know what it lacks may be new.
                if (_churn is not null && (member.Loop?.Incarnation != incarnation || !member.Loop.Core!.Membership.Equals(members)))
                {
                    StrikeAmidChurn(Poll, CopyKind);
                    return;
                }
                if (member.Loop?.Incarnation != incarnation)
                    return;
                if (_churn is not null)
                    world.Faults.Coverage.Struck(MenuItem.OldCopyAmidChurn);
                _churn?.Wait();
                PutBack(member, copy);
            });
    }

    private bool HasWitness(SimulatedMember member, DurableLog held) =>
        world.Members.Any(
            m => m != member && m is { IsStopping: false, Run: { Process.IsPaused: false } run } && !world.MayRefuseLevel(m)
            && checker.WasToldMore(run, member, held));

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
        var what = kind < 0.85 ? member.Disk.FlipSomeBit(random) : kind < 0.93
            ? member.Disk.MisdirectSomeWrite(random)
            : member.Disk.LoseSomeWrite(random);
        if (what is not null)
        {
            world.Trace.Event(member.Id, what);
            _isMissing.Remove(member.Id);
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
        (member.Damage, member.IsOldCopy) = (DiskDamage.None, false);
        _isMissing.Remove(member.Id);
        checker.Wiped(member);
        if (_churn is null || member.Id.IsObserver)
            return;
        // The operator says whom to join: those that it was configured with may be gone.
        _isReplaced.Add(member.Id);
        member.Seeds = _churn.OthersThan(member) ?? member.Seeds;
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
