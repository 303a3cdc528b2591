using RaftKit.Consensus;
using RaftKit.Node.Loop;

namespace RaftKit.TestKit;

/// <summary>
/// What goes wrong in one run, drawn from its seed: first which faults there are at all (a run with everything tests less than many runs
/// with a few each), then when they strike. Faults end with <see cref="Heal"/>, after which the cluster must converge.
/// </summary>
internal sealed class FaultPlan
{
    private readonly SimulatedWorld _world;
    private readonly SimulatedRandom _random;
    private readonly List<(double Weight, Action Strike)> _menu = [];
    private readonly TimeSpan _pace;
    private readonly SimulatedRandom _ofObservers;
    private bool _healed;

    public FaultPlan(SimulatedWorld world)
    {
        _world = world;
        _random = world.Random.Split("faults");
        _ofObservers = world.Random.Split("faults of observers");
        _pace = _random.Between(TimeSpan.FromMilliseconds(50), TimeSpan.FromMilliseconds(800));
        Offer(0.7, 3, Storm);
        Offer(0.6, 2, Partition);
        Offer(0.5, 1, () => _world.Network.Reset(_random.Pick(_world.Ids), _random.Pick(_world.Ids)));
        Offer(0.6, 2, () => Strike(m => m.Kill()));
        Offer(0.5, 2, () => Strike(m => m.PowerCut(), power: true));
        Offer(0.5, 1, () => StrikeAtIo(power: false));
        Offer(0.5, 1.5, () => StrikeAtIo(power: true));
        Offer(0.5, 1.5, Pause);
        Offer(0.4, 1, FailSync);
        Offer(0.2, 0.5, FillDisk);
        Offer(0.3, 0.5, () => StrikeAll(power: false));
        Offer(0.3, 0.5, () => StrikeAll(power: true));
        Offer(0.3, 0.5, StopInOrder);
        foreach (var member in world.Members)
        {
            member.TickSkew = _random.Chance(0.4) ? _random.Between(0.5, 2.0) : 1;
            member.StallChance = _random.Chance(0.3) ? 0.02 * _random.NextDouble() : 0;
        }
        world.Faults.Coverage.Struck(MenuItem.TicksSlow, world.Members.Count(m => m.TickSkew > 1.5));
        world.Faults.Coverage.Struck(MenuItem.TicksFast, world.Members.Count(m => m.TickSkew < 0.67));
        foreach (var observer in world.Observers)
        {
            observer.TickSkew = _ofObservers.Chance(0.4) ? _ofObservers.Between(0.5, 2.0) : 1;
            observer.StallChance = _ofObservers.Chance(0.3) ? 0.02 * _ofObservers.NextDouble() : 0;
            observer.ClockRate = 1 + (world.Options.ClockDrift * _ofObservers.Pick([-1.0, 1.0, (2 * _ofObservers.NextDouble()) - 1]));
        }
        // Disks that are slow all the time, some so slow that a vote takes longer than an election timeout.
        var disks = world.Random.Split("slow disks");
        var areSlow = disks.Chance(0.15);
        foreach (var member in world.Members.Where(_ => areSlow && disks.Chance(0.6)))
        {
            member.Slowness = disks.Between(TimeSpan.FromMilliseconds(2), TimeSpan.FromMilliseconds(300));
            world.Faults.Slow++;
        }
        // The clocks keep to the declared drift, some of them barely.
        var clocks = world.Random.Split("clocks");
        foreach (var member in world.Members)
            member.ClockRate = 1 + (world.Options.ClockDrift * clocks.Pick([-1.0, 1.0, (2 * clocks.NextDouble()) - 1]));
        world.Faults.Coverage.Struck(MenuItem.ClockFast, world.Members.Count(m => m.ClockRate > 1));
        world.Faults.Coverage.Struck(MenuItem.ClockSlow, world.Members.Count(m => m.ClockRate < 1));
    }

    /// <summary>
    /// Nothing else goes wrong: somebody starts whose disk only others can tell to be an old copy, and they must get to it.
    /// </summary>
    public bool IsHeld { get; private set; }

    /// <summary>All faults have ended.</summary>
    public bool IsHealed => _healed;

    public void Begin()
    {
        Next();
        if (_world.Observers.Count > 0)
            NextOfObservers();
        var io = _world.Random.Split("io");
        if (io.Chance(0.3))
            FailIoLater(io);
        if (_world.Options.VoterPromise > TimeSpan.Zero)
            TransferLater(_world.Random.Split("transfers"));
    }

    /// <summary>All faults end: the weather is calm, nobody is cut off or stopped, everybody is up.</summary>
    public void Heal()
    {
        _healed = true;
        _world.Trace.Event(MemberId.None, "all faults end");
        _world.Network.Weather = NetworkWeather.Calm;
        _world.Network.Block([]);
        foreach (var member in _world.Everybody)
        {
            (member.StallChance, member.Slowness) = (0, TimeSpan.Zero);
            member.Disk.Mend();
            if (member.Run is { } run)
            {
                run.LogLane.StallChance = 0;
                if (run.Process.IsPaused)
                    run.Process.Resume();
            }
            else if (member.WasStarted)
            {
                member.Start();
            }
        }
    }

    /// <summary>
    /// What is under way ends, and nothing new begins until <see cref="Release"/>. Weather goes on; those that are down come back.
    /// </summary>
    public void Hold()
    {
        IsHeld = true;
        _world.Network.Block([]);
        foreach (var member in _world.Members)
            member.Disk.Mend();
    }

    public void Release() => IsHeld = false;

    /// <summary>A member that is down comes back after a while.</summary>
    public void RestartLater(SimulatedMember member)
    {
        var after = _random.Chance(0.3)
            ? _random.Between(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(30))
            : _random.Between(TimeSpan.FromMilliseconds(30), TimeSpan.FromSeconds(3));
        _world.Scheduler.After(after, () =>
        {
            if (!member.IsUp && !member.IsRetired)
                member.Start();
        });
    }

    private void Offer(double chance, double weight, Action strike)
    {
        if (_random.Chance(chance))
            _menu.Add((weight, strike));
    }

    private void Next() => _world.Scheduler.After(_pace * (2 * _random.NextDouble()), () =>
    {
        if (_healed)
            return;
        if (IsHeld)
        {
            Next();
            return;
        }
        var left = _random.NextDouble() * _menu.Sum(m => m.Weight);
        foreach (var (weight, strike) in _menu)
        {
            left -= weight;
            if (left < 0)
            {
                strike();
                break;
            }
        }
        Next();
    });

    /// <summary>What happens to observers beside what happens to members: they may all be gone, or lose their disks, at any time.</summary>
    private void NextOfObservers() =>
        _world.Scheduler.After(_ofObservers.Between(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(2)), () =>
    {
        if (_healed)
            return;
        StrikeObserver(_ofObservers.Pick(_world.Observers), _ofObservers.NextDouble());
        NextOfObservers();
    });

    private void StrikeObserver(SimulatedMember observer, double kind)
    {
        if (observer.Run is not { } run)
            return;
        if (kind < 0.25)
        {
            var (a, b) = (observer.Id, _ofObservers.Pick(_world.Ids));
            _world.Network.Reset(a, b);
        }
        else if (kind < 0.5)
        {
            Pause(run, _ofObservers);
        }
        else if (kind < 0.6)
        {
            observer.IsStopping = true;
            if (!run.Process.IsPaused)
                run.Post(new NodeInput.Stop(_ => { }));
        }
        else
        {
            var power = kind < 0.8;
            Count(power);
            if (power)
                observer.PowerCut();
            else
                observer.Kill();
            if (kind > 0.93)
            {
                _world.Trace.Event(observer.Id, "is wiped");
                observer.Disk.Wipe();
                (observer.Damage, observer.IsOldCopy) = (DiskDamage.None, false);
                ObserverWiped?.Invoke(observer);
            }
            RestartLater(observer);
        }
    }

    /// <summary>An observer's disk was emptied.</summary>
    public Action<SimulatedMember>? ObserverWiped { get; set; }

    private List<(MemberId, MemberId)> CutsOfObservers() =>
    [
        .. from observer in _world.Observers
           from id in _world.Ids
           where _ofObservers.Chance(0.3)
           from cut in new[] { (observer.Id, id), (id, observer.Id) }
           select cut,
    ];

    private void Storm()
    {
        _world.Network.Weather = _random.Chance(0.3) ? NetworkWeather.Calm : NetworkWeather.Storm(_random, _world.Ids);
        _world.Trace.Event(MemberId.None, _world.Network.Weather == NetworkWeather.Calm ? "the weather calms" : "the weather changes");
    }

    private void Partition()
    {
        var shape = _random.Next(8);
        var ids = _world.Ids.ToList();
        _random.Shuffle(ids);
        var blocked = Shape(shape, ids, out var item);
        if (blocked.Count > 0)
        {
            if (item is { } struck)
                _world.Faults.Coverage.Struck(struck);
            blocked.AddRange(CutsOfObservers());
        }
        _world.Trace.Event(
            MemberId.None,
            blocked.Count == 0 ? "partitions heal" : $"partition: {string.Join(' ', blocked.Select(b => $"{b.From}>{b.To}"))}");
        _world.Network.Block(blocked);
        if (blocked.Count > 0)
        {
            var lasts = _random.Between(TimeSpan.FromMilliseconds(50), TimeSpan.FromSeconds(4));
            _world.Scheduler.After(lasts, () =>
            {
                if (!_healed)
                    _world.Network.Block([]);
            });
        }
    }

    private List<(MemberId From, MemberId To)> Shape(int shape, List<MemberId> ids, out MenuItem? item)
    {
        item = null;
        var blocked = new List<(MemberId, MemberId)>();
        switch (shape)
        {
            case 0:
                break;
            case 1: // a majority and a minority
            case 2: // one alone
                var split = shape == 2 ? 1 : _random.Between(1, Math.Max(1, ids.Count / 2));
                item = shape == 2 ? MenuItem.PartitionIsolatesOne : SideOfLeader(ids, split);
                Cut((a, b) => ids.IndexOf(a) < split != ids.IndexOf(b) < split);
                break;
            case 3: // one hears nobody, or nobody hears one
                var deaf = _random.Chance(0.5);
                item = deaf ? MenuItem.PartitionDeaf : MenuItem.PartitionMute;
                Cut((a, b) => (deaf ? b : a) == ids[0]);
                break;
            case 4: // two halves that only one member bridges
                item = MenuItem.PartitionBridge;
                Cut((a, b) => a != ids[0] && b != ids[0] && (ids.IndexOf(a) * 2 < ids.Count) != (ids.IndexOf(b) * 2 < ids.Count));
                break;
            case 5: // a ring: everybody hears only their neighbours
                item = MenuItem.PartitionRing;
                Cut((a, b) => Math.Abs(ids.IndexOf(a) - ids.IndexOf(b)) is not 1 and var apart && apart != ids.Count - 1);
                break;
            case 6: // single directions
                item = MenuItem.PartitionOneWay;
                Cut((_, _) => _random.Chance(0.3));
                break;
            case 7: // flapping
                item = MenuItem.PartitionFlapping;
                Cut((a, b) => a == ids[0] || b == ids[0]);
                Flap(blocked, _random.Between(2, 8));
                break;
        }
        return blocked;

        void Cut(Func<MemberId, MemberId, bool> isCut)
        {
            foreach (var a in ids)
            {
                foreach (var b in ids)
                {
                    if (a != b && isCut(a, b))
                        blocked.Add((a, b));
                }
            }
        }
    }

    private MenuItem? SideOfLeader(List<MemberId> ids, int split)
    {
        var leader = ids.FindIndex(id => _world[id].Loop?.Core is { Role: RaftRole.Leader });
        var side = leader < split ? split : ids.Count - split;
        return leader < 0 ? null : side > ids.Count / 2 ? MenuItem.PartitionLeaderInMajority : MenuItem.PartitionLeaderInMinority;
    }

    private void Flap(List<(MemberId, MemberId)> blocked, int times) =>
        _world.Scheduler.After(_random.Between(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(400)), () =>
        {
            if (_healed || IsHeld)
                return;
            _world.Network.Block(times % 2 == 0 ? [] : blocked);
            if (times > 0)
                Flap(blocked, times - 1);
        });

    private void Strike(Action<SimulatedMember> how, bool power = false)
    {
        if (AnyUp() is not { } member)
            return;
        Count(power);
        _world.Faults.Coverage.Struck(power ? MenuItem.PowerCutOne : MenuItem.KillOne);
        how(member);
        RestartLater(member);
    }

    /// <summary>Ends this member's process, or takes its power.</summary>
    public void Strike(SimulatedMember member, bool power, bool restart = true)
    {
        Count(power);
        if (power)
            member.PowerCut();
        else
            member.Kill();
        if (restart)
            RestartLater(member);
    }

    private void StrikeAll(bool power)
    {
        _world.Faults.Coverage.Struck(power ? MenuItem.PowerCutAll : MenuItem.KillAll);
        foreach (var member in _world.Members)
        {
            if (member.WasStarted && !member.IsAsleep && (member.IsUp || power))
                Strike(member, power);
        }
    }

    private void StrikeAtIo(bool power)
    {
        if (AnyUp() is not { } member || member.Disk.IsOff)
            return;
        member.PowerGoesAtStop = power;
        member.Disk.StopIn(_random.Between(1, 12));
    }

    /// <summary>A member ended at an I/O that was chosen before.</summary>
    public void StoppedAtIo(SimulatedMember member)
    {
        Count(member.PowerGoesAtStop);
        RestartLater(member);
    }

    private void Pause()
    {
        if (AnyUp() is { Run: { } run })
            Pause(run, _random);
    }

    private void Pause(SimulatedRun run, SimulatedRandom random)
    {
        if (run.Process.IsPaused)
            return;
        _world.Faults.Pause++;
        run.Process.Pause();
        var lasts = random.Chance(0.2)
            ? random.Between(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(8))
            : random.Between(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(1.5));
        _world.Faults.Coverage.Struck(lasts < TimeSpan.FromSeconds(1) ? MenuItem.PauseBelowSecond : MenuItem.PauseOfSeconds);
        _world.Scheduler.After(lasts, () =>
        {
            if (run.Process.IsAlive && run.Process.IsPaused)
                run.Process.Resume();
        });
    }

    /// <summary>
    /// A process is stopped for so long, and nothing else ends it: everybody else must go on, and it must find out.
    /// </summary>
    public void PauseForLong(TimeSpan lasts, MenuItem item, SimulatedRandom random)
    {
        if (_healed)
            return;
        if (AnyUp(random) is not { Run: { Process.IsPaused: false } run } member)
        {
            _world.Scheduler.After(TimeSpan.FromMilliseconds(100), () => PauseForLong(lasts, item, random));
            return;
        }
        _world.Trace.Event(member.Id, "is stopped for long");
        _world.Faults.Pause++;
        member.IsAsleep = true;
        run.Process.Pause();
        _world.Scheduler.After(lasts, () =>
        {
            member.IsAsleep = false;
            if (!run.Process.IsAlive || !run.Process.IsPaused)
                return;
            _world.Faults.Coverage.Struck(item);
            run.Process.Resume();
        });
    }

    private void FailSync()
    {
        if (AnyUp() is not { } member)
            return;
        member.Injected = "fsync";
        member.Disk.FailSyncIn(_random.Between(1, 6));
    }

    private void FillDisk()
    {
        if (AnyUp() is not { } member)
            return;
        member.Injected = "disk full";
        member.Disk.IsFull = true;
        _world.Scheduler.After(_random.Between(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(3)), () => member.Disk.IsFull = false);
    }

    private void StopInOrder()
    {
        if (AnyUp() is not { Run: { } run } member || run.Process.IsPaused)
            return;
        member.IsStopping = true;
        _world.Faults.Coverage.Struck(MenuItem.StopInOrder);
        run.Post(new NodeInput.Stop(_ => { }));
    }

    /// <summary>From time to time a call to some disk fails, whatever it asks; also that of a member that is about to start.</summary>
    private void FailIoLater(SimulatedRandom random) =>
        _world.Scheduler.After(random.Between(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(2)), () =>
        {
            if (_healed)
                return;
            if (!IsHeld && _world.Members.Where(m => m.WasStarted && !m.IsRetired).ToList() is { Count: > 0 } members)
            {
                var member = random.Pick(members);
                member.Injected = "i/o";
                // Also the first calls of a start.
                member.Disk.FailIn(random.Chance(0.3) ? random.Between(1, 4) : random.Between(1, 60));
            }
            FailIoLater(random);
        });

    /// <summary>Whoever leads is asked, from time to time, to hand over.</summary>
    private void TransferLater(SimulatedRandom random) =>
        _world.Scheduler.After(random.Between(TimeSpan.FromMilliseconds(200), TimeSpan.FromSeconds(3)), () =>
        {
            if (_healed)
                return;
            foreach (var member in _world.Members)
            {
                if (!IsHeld && member.Run is { } run && run.Loop.Core is { Role: RaftRole.Leader })
                {
                    _world.Faults.Transfer++;
                    run.Post(new NodeInput.Call(new Transfer(run.Loop)));
                }
            }
            TransferLater(random);
        });

    private sealed class Transfer(NodeLoop loop) : ILoopCall
    {
        public void Run() => loop.Core?.TransferLeadership(MemberId.None);

        public void Stopped()
        {
        }
    }

    private void Count(bool power)
    {
        if (power)
            _world.Faults.PowerCut++;
        else
            _world.Faults.Kill++;
    }

    private SimulatedMember? AnyUp(SimulatedRandom? random = null)
    {
        var up = _world.Members.Where(m => m.IsUp && !m.IsAsleep).ToList();
        return up.Count == 0 ? null : (random ?? _random).Pick(up);
    }
}
