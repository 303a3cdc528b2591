using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;

namespace RaftKit.TestKit;

/// <summary>
/// Members come and go while everything else happens: added, by an operator or by their own wish, as learners first or only, removed, the leader too, replaced, any set changed
/// for any other. It asks whoever is up, as an operator would, gives up on what takes too long, and sets a new machine up for whoever comes
/// back.
/// </summary>
internal sealed partial class ChurnPlan(SimulatedWorld world, SafetyChecker checker, FaultPlan faults)
{
    private const int Most = 7;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan Notice = TimeSpan.FromMilliseconds(300);

    private readonly SimulatedRandom _random = world.Random.Split("churn");
    private readonly SimulatedRandom _crashes = world.Random.Split("crashes amid changes");
    private readonly SimulatedRandom _seeds = world.Random.Split("whom those who join are told of");
    private readonly SimulatedRandom _cycles = world.Random.Split("from one to seven and back");
    private readonly SimulatedRandom _joints = world.Random.Split("crashes amid joint memberships");
    private readonly SimulatedRandom _wishes = world.Random.Split("who asks to be added");
    private readonly SimulatedRandom _outdated = world.Random.Split("configurations that are out of date");

    /// <summary>Who asked to be added, and was named by no operator since.</summary>
    private readonly HashSet<int> _alone = [];

    /// <summary>
    /// Whom an operator removed, by which entry at the latest, and none may have asked for since, or before without being told what came of it.
    /// </summary>
    private readonly Dictionary<int, LogIndex> _dismissed = [];
    private readonly Dictionary<int, int> _openWishes = [];
    private readonly HashSet<int> _seen = [];
    private readonly HashSet<int> _left = [];
    private Task<QuorumMembers>? _asked;
    private TimeSpan _askedAt;
    private TimeSpan _waitsUntil;

    public void Begin()
    {
        // Where there are machines for it, one grows to seven and shrinks to one again, by whatever changes: the aim is what else changes
        // it meanwhile.
        if (world.Members.Count == Most && _cycles.Chance(0.6))
            Resize(1, 0);
        else
            Next();
        if (_outdated.Chance(0.25))
            OutdateLater(_outdated.Between(TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(9)));
        if (_moves.Chance(0.5))
            MoveLater(_moves.Between(TimeSpan.FromSeconds(0.3), TimeSpan.FromSeconds(4)));
    }

    /// <summary>
    /// Whoever is no member any more is switched off, as its operator would do: it serves nobody, and what it knew last is old.
    /// </summary>
    public void SwitchOffStrangers()
    {
        var members = Newest()?.Members.Select(m => m.Id).ToHashSet();
        foreach (var member in world.Members.Where(m => m.IsUp && members?.Contains(m.Id.Value) == false))
        {
            if (member.Run!.Process.IsPaused)
                member.Run.Process.Resume();
            member.Kill();
            member.IsRetired = true;
        }
    }

    /// <summary>The members are those that are wanted.</summary>
    public bool IsSettled => Newest() is { IsChanging: false };

    /// <summary>The members, if nobody is changing them or is about to; null otherwise.</summary>
    public Membership? Idle => IsSettled && _asked is not { IsCompleted: false } ? checker.SettledMembership : null;

    /// <summary>
    /// Somebody's disk is about to be lost: until that may have been noticed, nothing new is asked for. A change that counted upon it, and
    /// upon few others, nobody could commit.
    /// </summary>
    public void Wait() => _waitsUntil = world.Scheduler.Now + Notice;

    /// <summary>All members but one; null if nobody knows of any.</summary>
    public IReadOnlyList<MemberId>? OthersThan(SimulatedMember member) =>
        Newest()?.Members.Select(m => new MemberId(m.Id)).Where(id => id != member.Id).ToList() is { Count: > 0 } others ? others : null;

    /// <summary>A quorum was forced that kept what is up to this entry: whoever was removed behind it may be a member again.</summary>
    public void QuorumForced(LogIndex kept)
    {
        if (_changed > kept)
            _changed = new LogIndex(long.MaxValue);
        foreach (var id in _dismissed.Where(d => d.Value > kept).Select(d => d.Key).ToArray())
            _dismissed.Remove(id);
    }

    /// <summary>Hears of a change that came to its end.</summary>
    public Action? Changed { get; set; }

    /// <summary>
    /// All members end at once, and whom each was configured with is gone by then: they find each other by what their logs hold. Only once
    /// somebody asked for a change, of whom they all know: until then, who listens where stands in no log.
    /// </summary>
    private void OutdateLater(TimeSpan after) => world.Scheduler.After(after, () =>
    {
        if (faults.IsHealed)
            return;
        var members = Idle?.Voters.Select(v => world[v.Id]).ToList() ?? [];
        if (members.Count < 2 || IsHeld || !members.All(
            m => m is { Damage: DiskDamage.None, Disk.Failing: null, Run.HasStarted: true, Loop.Core: not null } && m.Loop!.Core!.Durable >= _changed
                && Door(m).Current?.Members.All(known => known.Endpoint.Length > 0) == true))
        {
            OutdateLater(TimeSpan.FromMilliseconds(20));
            return;
        }
        world.Faults.Coverage.Struck(MenuItem.MembersFoundByTheirLogs);
        foreach (var member in members)
        {
            faults.Strike(member, _outdated.Chance(0.5));
            member.Seeds = [];
        }
    });

    /// <summary>
    /// Whom one is configured with that comes empty to a cluster: any one member, once the log says where each listens. Before the first
    /// change that stands in the founders' configurations alone.
    /// </summary>
    public IReadOnlyList<MemberId> ToldOf(SimulatedMember member, MemberId one) => _changed.Value < long.MaxValue ? [one]
        : [.. world.Ids.Where(id => id != member.Id && (id == one || id.Value <= world.Options.Founders))];

    // Behind the first change.
    private LogIndex _changed = new(long.MaxValue);

    /// <summary>Nothing new is asked for; what was, comes to its end.</summary>
    public void Settle() => world.Scheduler.After(TimeSpan.FromMilliseconds(100), () =>
    {
        ReplaceOutdated();
        Settle();
    });

    /// <summary>
    /// Sets up anew whoever was removed and added again while its old disk was in it: the quorum waits for its next incarnation, and
    /// refuses the old one for good.
    /// </summary>
    private void ReplaceOutdated()
    {
        if (NewestMember() is not { } newest)
            return;
        foreach (var known in Door(newest).Current?.Members ?? [])
        {
            if (_dismissed.TryGetValue(known.Id, out var since) && newest.Loop!.Core!.Applied >= since)
                world.Violate($"members: {known.Id}, which an operator removed, is a member again, as {known.Incarnation}, and no operator added it");
            if (known.IsVoter && _alone.Remove(known.Id))
                world.Faults.Coverage.Struck(MenuItem.MemberJoinedByItself);
            if (_seen.Add(known.Id))
                continue;
            if (_left.Remove(known.Id))
                world.Faults.Coverage.Struck(MenuItem.MemberReadded);
        }
        _left.UnionWith(_seen.Except(Door(newest).Current?.Members.Select(m => m.Id) ?? _seen));
        foreach (var known in Door(newest).Current?.Members ?? [])
        {
            var member = world[new MemberId(known.Id)];
            // Told of any member, perhaps of one whose disk is new as well and who is told of this one: they join, and must not begin a
            // cluster of their own.
            if (member != newest && member.Loop is { Incarnation: > 0 and var incarnation } && incarnation < known.Incarnation)
                SetUp(member, ToldOf(member, _seeds.Pick(Door(newest).Current!.Members.Select(m => new MemberId(m.Id)).Where(
                    id => id != member.Id).Append(newest.Id).ToList())));
        }
        SayWhereTheyAre(newest);
    }

    private void Next() => world.Scheduler.After(_random.Between(TimeSpan.FromMilliseconds(50), TimeSpan.FromSeconds(1.5)), () =>
    {
        if (faults.IsHealed)
            return;
        ReplaceOutdated();
        // Now and then a second change is asked for while the first is under way.
        if (!IsHeld && (_asked is not { IsCompleted: false } || world.Scheduler.Now - _askedAt > Patience || _random.Chance(0.1)))
            Change();
        Next();
    });

    private bool IsHeld => faults.IsHeld || world.Scheduler.Now < _waitsUntil;

    private void Change()
    {
        var up = world.Members.Where(
            m => m.Run is { HasStarted: true, Process.IsPaused: false } && Door(m).Current is { } known
            && known.Members.Any(k => k.Id == m.Id.Value)).ToList();
        if (up.Count == 0)
            return;
        var asker = _random.Pick(up);
        var door = Door(asker);
        var members = door.Current!.Members.Select(m => world[new MemberId(m.Id)]).ToList();
        var outside = world.Members.Except(members).ToList();
        var kind = _random.NextDouble();
        if (kind < 0.4 && outside.Count > 0)
        {
            var joining = _random.Pick(outside);
            var voter = _random.Chance(0.8);
            if (ComesByItself(joining, asker))
                return;
            Enter(joining, asker);
            Ask(asker, voter ? "add" : "addlearner", $"asks to add {joining.Id}{(voter ? "" : " as a learner")}", () =>
                door.AddAsync(joining.Id.Value, Endpoint(joining), voter), wanted: [joining]);
        }
        else if (kind < 0.7 && members.Count > 1)
        {
            var leaving = _random.Pick(members);
            var leads = leaving.Loop?.Core?.Role == RaftRole.Leader;
            Ask(asker, leads ? "removeleader" : "remove", $"asks to remove {leaving.Id}", () => door.RemoveAsync(leaving.Id.Value),
                unwanted: leaving);
        }
        else if (kind < 0.85 && outside.Count > 0)
        {
            var (leaving, joining) = (_random.Pick(members), Enter(_random.Pick(outside), asker));
            Ask(asker, "replace", $"asks to replace {leaving.Id} by {joining.Id}", () =>
                door.ReplaceAsync(leaving.Id.Value, joining.Id.Value, Endpoint(joining)), wanted: [joining]);
        }
        else
        {
            var wanted = world.Members.Where(_ => _random.Chance(0.5)).ToList();
            if (wanted.Count == 0)
                return;
            foreach (var joining in wanted.Except(members))
                Enter(joining, asker);
            Ask(asker, "set", $"asks for the members {string.Join(' ', wanted.Select(m => m.Id))}", () =>
                door.SetAsync(wanted.ToDictionary(m => m.Id.Value, Endpoint)), wanted: wanted);
        }
    }

    /// <summary>Changes the members until there are so many of them, then goes on to the next size: one, seven, one.</summary>
    private void Resize(int wanted, int done) =>
        world.Scheduler.After(_cycles.Between(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(300)), () =>
    {
        if (faults.IsHealed)
            return;
        ReplaceOutdated();
        if (Newest() is { IsChanging: false } now && now.Members.Count == wanted && now.Members.All(m => m.IsVoter))
        {
            if (done > 0)
                world.Faults.Coverage.Struck(wanted == Most ? MenuItem.MembersOneToSeven : MenuItem.MembersSevenToOne);
            (wanted, done) = (wanted == 1 ? Most : 1, done + 1);
        }
        if (!IsHeld && (_asked is not { IsCompleted: false } || world.Scheduler.Now - _askedAt > Patience))
            Step(wanted);
        Resize(wanted, done);
    });

    private void Step(int wanted)
    {
        var up = world.Members.Where(
            m => m.Run is { HasStarted: true, Process.IsPaused: false } && Door(m).Current is { } known
            && known.Members.Any(k => k.Id == m.Id.Value)).ToList();
        if (up.Count == 0)
            return;
        var asker = _cycles.Pick(up);
        var door = Door(asker);
        var members = door.Current!.Members.Select(m => world[new MemberId(m.Id)]).ToList();
        var outside = world.Members.Except(members).ToList();
        if (_cycles.Chance(0.3))
        {
            foreach (var joining in wanted == Most ? outside : [])
                Enter(joining, asker);
            var all = wanted == Most ? [.. world.Members] : new[] { _cycles.Pick(members) };
            Ask(asker, "set", $"asks for the members {string.Join(' ', all.Select(m => m.Id))}", () =>
                door.SetAsync(all.ToDictionary(m => m.Id.Value, Endpoint)), wanted: all);
        }
        else if (wanted == Most && outside.Count > 0)
        {
            var joining = _cycles.Pick(outside);
            // Who was a member once would wait for an operator.
            if (!_seen.Contains(joining.Id.Value) && ComesByItself(joining, asker))
                return;
            Enter(joining, asker);
            Ask(asker, "add", $"asks to add {joining.Id}", () => door.AddAsync(joining.Id.Value, Endpoint(joining)), wanted: [joining]);
        }
        else if (wanted == 1 && members.Count > 1)
        {
            var leaving = _cycles.Pick(members);
            Ask(asker, leaving.Loop?.Core?.Role == RaftRole.Leader ? "removeleader" : "remove", $"asks to remove {leaving.Id}", () =>
                door.RemoveAsync(leaving.Id.Value), unwanted: leaving);
        }
    }

    /// <summary>
    /// A machine is set up that asks to be added, of which no operator knows. While it does, one may ask for it all the same.
    /// </summary>
    private bool ComesByItself(SimulatedMember machine, SimulatedMember seed)
    {
        if (!_wishes.Chance(0.4) || checker.MayCount(machine.Id) || IsAsking(machine))
            return false;
        world.Trace.Event(machine.Id, $"asks {seed.Id} to be added");
        if (_dismissed.ContainsKey(machine.Id.Value))
            world.Faults.Coverage.Struck(MenuItem.MemberRemovedAsks);
        else
            _alone.Add(machine.Id.Value);
        SetUp(machine, [seed.Id], asksToBeAdded: true);
        return true;
    }

    private static bool IsAsking(SimulatedMember machine) => machine is { AsksToBeAdded: true, Loop: { Core: null } };

    private void Ask(
        SimulatedMember asker, string kind, string what, Func<Task<QuorumMembers>> change, IReadOnlyList<SimulatedMember>? wanted = null,
        SimulatedMember? unwanted = null, Action? then = null)
    {
        world.Trace.Event(asker.Id, what);
        foreach (var id in (wanted ?? []).Select(m => m.Id.Value))
        {
            _alone.Remove(id);
            _dismissed.Remove(id);
            _openWishes[id] = _openWishes.GetValueOrDefault(id) + 1;
        }
        asker.Run!.Process.Context.Run(() => Watch(asker, change(), kind, wanted ?? [], unwanted, then));
        if (_crashes.Chance(0.3))
            world.Scheduler.After(_crashes.Between(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(400)), CrashLeader);
        if (_joints.Chance(0.15))
            CrashAmidJoint(tries: 800);
    }

    /// <summary>Whoever leads a change may be gone amid it: the next leader has to go on with it.</summary>
    private void CrashLeader()
    {
        if (faults.IsHealed || faults.IsHeld || world.Members.FirstOrDefault(m => m.Loop?.Core?.Role == RaftRole.Leader) is not { } leader)
            return;
        world.Faults.Kill++;
        leader.Kill();
        faults.RestartLater(leader);
        ChangeAtOnce(tries: 500);
    }

    /// <summary>Both halves count at this moment: whoever leads, or some other one, is gone.</summary>
    private void CrashAmidJoint(int tries) => world.Scheduler.After(TimeSpan.FromMilliseconds(1), () =>
    {
        if (faults.IsHealed || faults.IsHeld || tries == 0)
            return;
        if (world.Members.Where(m => m.Loop?.Core is { Membership.IsJoint: true }).ToList() is { Count: > 0 } joint)
            faults.Strike(
                joint.FirstOrDefault(m => m.Loop!.Core!.Role == RaftRole.Leader && _joints.Chance(0.6)) ?? _joints.Pick(joint),
                _joints.Chance(0.5));
        else
            CrashAmidJoint(tries - 1);
    });

    /// <summary>
    /// Whoever leads next is asked for a change before an entry of its own term is committed: the moment is short, and must be met for its
    /// danger to be seen.
    /// </summary>
    private void ChangeAtOnce(int tries) => world.Scheduler.After(TimeSpan.FromMilliseconds(1), () =>
    {
        if (faults.IsHealed || tries == 0)
            return;
        if (world.Members.FirstOrDefault(m => m.Loop?.Core is { Role: RaftRole.Leader, HasCommittedInTerm: false }) is { Run: { } run })
            run.Post(new NodeInput.Call(new EarlyChange(run.Loop)));
        else
            ChangeAtOnce(tries - 1);
    });

    private sealed class EarlyChange(NodeLoop loop) : ILoopCall
    {
        public void Run()
        {
            if (loop.Core is not { Role: RaftRole.Leader, HasCommittedInTerm: false,
                Membership: { IsJoint: false, Voters.Count: > 1 } now } core)
                return;
            var leaving = now.Voters.First(v => v.Id != core.Self);
            core.ProposeMembership(new Membership(now.Voters.Where(v => v != leaving), now.Learners.Append(leaving), []), 0, out _);
        }

        public void Stopped()
        {
        }
    }

    private void Watch(
        SimulatedMember asker, Task<QuorumMembers> asked, string kind, IReadOnlyList<SimulatedMember> wanted, SimulatedMember? unwanted,
        Action? then)
    {
        (_asked, _askedAt) = (asked, world.Scheduler.Now);
        _ = CountAsync();

        void Close()
        {
            foreach (var id in wanted.Select(m => m.Id.Value))
                _openWishes[id]--;
        }

        async Task CountAsync()
        {
            try
            {
                await asked;
                if (_changed.Value == long.MaxValue && asker.Loop?.Core is { } told)
                    _changed = told.Applied;
                world.Faults.Changed(kind);
                Changed?.Invoke();
                Close();
                then?.Invoke();
                if (unwanted is not null && _openWishes.GetValueOrDefault(unwanted.Id.Value) == 0 && asker.Loop?.Core is { } core)
                    _dismissed[unwanted.Id.Value] = core.Applied;
            }
            catch (Exception e) when (e is MembershipChangeRefusedException or NotAppliedException)
            {
                // Refused, or taken back by a later one.
                Close();
            }
            catch (OutcomeUnknownException)
            {
                // Nobody could tell: it may be in the log at any later time, so it stays open.
            }
        }
    }

    // A machine that served before is set up anew: what its disk holds is of a member that was removed.
    private SimulatedMember Enter(SimulatedMember member, SimulatedMember seed)
    {
        // One that asks by itself goes on: its own word and the operator's may come in either order.
        if (checker.MayCount(member.Id) || IsAsking(member))
            return member;
        SetUp(member, [seed.Id]);
        return member;
    }

    private void SetUp(SimulatedMember member, IReadOnlyList<MemberId>? seeds, bool asksToBeAdded = false)
    {
        if (member.IsUp)
            member.Kill();
        if (member.WasStarted)
        {
            world.Trace.Event(member.Id, "is set up anew");
            member.Disk.Wipe();
            member.Damage = DiskDamage.None;
            checker.Wiped(member);
        }
        (member.Seeds, member.AsksToBeAdded) = (seeds, asksToBeAdded);
        member.Start();
    }

    private QuorumMembers? Newest() => NewestMember() is { } newest ? Door(newest).Current : null;

    // What a forced quorum left behind names the members of before.
    private SimulatedMember? NewestMember() => world.Members.Where(m => m is { IsLeftBehind: false, Loop.Core: not null }).MaxBy(m => m.Loop!.Core!.Applied);

    private static IQuorumMembership Door(SimulatedMember member) => ((SimulatedZnodes)member.Run!.Application).Membership;

    private static string Endpoint(SimulatedMember member) => member.Endpoint;
}
