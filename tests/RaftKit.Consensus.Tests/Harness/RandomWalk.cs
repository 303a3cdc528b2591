using RaftKit.Consensus;

namespace RaftKit.Consensus.Tests.Harness;

/// <summary>
/// Everything that may happen to a cluster, in an order drawn from a seed: messages lost, doubled, overtaken; disks that are slow or lose
/// what was not synced; crashes, partitions, snapshots, membership changes, transfers, reads, true and false evidence of death; on request
/// also observers, and logs that rot.
/// </summary>
internal sealed class RandomWalk
{
    private const int MostMembers = 7;

    private readonly Random _random;
    private readonly TestCluster _cluster;
    private readonly Dictionary<(int Member, ulong Token), int> _reads = [];
    private readonly Queue<string> _events = new();
    private readonly SortedDictionary<string, long> _counters;
    private readonly (int Weight, Action Do)[] _actions;
    private readonly int _totalWeight;
    private readonly bool _rots;
    private int _proposed;

    /// <summary>Hears every message that is sent while the cluster converges; for finding out about one seed.</summary>
    public Action<string>? Trace { get; set; }

    private ulong _tokens;
    private HashSet<int>? _cutOff;

    /// <param name="seed">Draws everything.</param>
    /// <param name="counters">Count what happened.</param>
    /// <param name="rots">Entries rot, and up to two observers are there as well.</param>
    public RandomWalk(int seed, SortedDictionary<string, long> counters, bool rots = false)
    {
        _rots = rots;
        _random = new Random(seed);
        _counters = counters;
        int members = 1 + _random.Next(5);
        // Short timeouts make for many elections, long ones for long terms.
        bool hasty = _random.Next(2) == 0;
        _cluster = new TestCluster(members, (ulong)seed, o => o with
        {
            MaxAppendBytes = 40 + _random.Next(300), MaxInflightMessages = 1 + _random.Next(8), SnapshotChunkBytes = 1 + _random.Next(40),
            MaxUncommittedBytes = 2000, ElectionTicks = hasty ? 10 : 40, HeartbeatTicks = hasty ? 2 : 6,
        });
        _cluster.Passes = Passes;
        for (int n = rots ? _random.Next(3) : 0; n > 0; n--)
            _cluster.Add(MemberId.GreatestMember + n, isJoining: true);
        foreach (var member in _cluster.Members)
            member.DiskHeld = true;
        bool reorders = _random.Next(2) == 0;
        int faults = _random.Next(4);
        _actions =
        [
            (400, () => Deliver(reorders)),
            (150, Tick),
            (200, CompleteWrite),
            (60, Propose),
            (10 * faults, Drop),
            (10 * faults, Duplicate),
            (faults, Crash),
            (4, Restart),
            (2 * faults, Partition),
            (4, Heal),
            (4, TakeSnapshot),
            (4, ChangeMembership),
            (10, Read),
            (1, Transfer),
            (2 * faults, Evidence),
            (3 * faults, LinkBroke),
            (4, TrimMemory),
            (rots ? 4 : 0, Rot),
        ];
        _totalWeight = _actions.Sum(a => a.Weight);
    }

    public void Run(int steps)
    {
        try
        {
            for (int i = 0; i < steps; i++)
            {
                Step();
                CheckReads();
                if (i % 64 == 0)
                    _cluster.CheckLogs();
            }
            Converge();
        }
        catch (Exception e)
        {
            throw new InvalidOperationException(
                $"seed {_cluster.Seed}: {e.Message}\nmembers:\n  {string.Join("\n  ", _cluster.Members.Select(Describe))}\nlast events:\n  {string.Join("\n  ", _events)}", e);
        }
    }

    /// <summary>Liveness, once the faults end: one leader, and everybody gets everything.</summary>
    private void Converge()
    {
        Note("heal all");
        if (Trace is not null)
        {
            _cluster.Passes = m =>
            {
                Trace(TestCluster.Describe(m));
                return true;
            };
        }
        _cutOff = null;
        foreach (var member in _cluster.Members)
        {
            if (!member.IsUp)
                member.Start();
            member.DiskHeld = false;
            member.CompleteWrites();
        }
        _cluster.Deliver();
        _cluster.TickAll(400);
        CheckReads();
        var leader = _cluster.Members.Where(m => m.Core.Role == RaftRole.Leader).MaxBy(m => m.Core.Term);
        Assert.True(leader is not null, "nobody leads after healing");
        Assert.Equal(ProposeOutcome.Appended, _cluster.Propose(leader!.Id.Value, "last"));
        _cluster.Deliver();
        // An observer may have to look for another source first.
        _cluster.TickAll(_rots ? 400 : 20);
        Assert.Equal("last", leader.State[^1]);
        foreach (var observer in _cluster.Members.Where(m => m.Id.IsObserver))
        {
            Assert.True(
                observer.State.SequenceEqual(leader.State),
                $"observer {observer.Id} has {observer.State.Count} commands, leader {leader.Id} has {leader.State.Count}; {observer.Diverged}");
            Count("observer");
        }
        foreach (var id in leader.Core.Membership.All)
        {
            var member = _cluster[id.Value];
            Assert.True(
                member.State.SequenceEqual(leader.State),
                $"member {id} has {member.State.Count} commands, leader {leader.Id} has {leader.State.Count}");
            Assert.Equal(leader.Core.Term, member.Core.Term);
        }
        Assert.Equal(leader.State.Count, leader.State.Distinct().Count());
        _cluster.CheckLogs();
        Count("elections", _cluster.Leaders.Count);
        Count("committed", _cluster.Committed.Count);
    }

    private void Step()
    {
        int at = _random.Next(_totalWeight);
        foreach (var (weight, act) in _actions)
        {
            if ((at -= weight) < 0)
            {
                act();
                return;
            }
        }
    }

    private bool Passes(Message message) =>
        _cutOff is null || _cutOff.Contains(message.From.Value) == _cutOff.Contains(message.To.Value);

    private void Deliver(bool reorders)
    {
        if (_cluster.Network.Count == 0)
            return;
        int at = reorders ? _random.Next(Math.Min(_cluster.Network.Count, 20)) : 0;
        var message = _cluster.Network[at];
        Note($"deliver {TestCluster.Describe(message)}");
        if (at > 0)
            Count("reorder");
        if (message is SnapshotReply { Installed: true })
            Count("installed");
        _cluster.DeliverOne(at);
    }

    private void Tick()
    {
        // Uneven clocks: a burst now and then.
        var member = Any();
        for (int n = _random.Next(20) == 0 ? 30 : 1; n > 0; n--)
            member.Turn(core => core.Tick());
        Note($"tick {member.Id}: {(member.IsUp ? $"{member.Core.Role} term {member.Core.Term}" : "down")}");
    }

    private void CompleteWrite()
    {
        var member = Any();
        if (member.IsUp && member.Disk.Writes.Count > 0)
        {
            if (member.Disk.Writes.Peek().TruncateFrom is not null)
                Count("truncate");
            Note($"write {member.Id}: {member.Disk.Writes.Peek().Request}");
            bool isRotten = member.Disk.RottenEnd is not null;
            member.CompleteOneWrite();
            if (isRotten && member.Disk.RottenEnd is null)
                Count("repair");
        }
    }

    private void Propose()
    {
        var member = Any();
        if (!member.IsUp)
            return;
        // Several in one turn are one batch.
        member.Turn(core =>
        {
            for (int n = _random.Next(4); n >= 0; n--)
            {
                if (core.Propose(_cluster.Command($"c{_proposed++}"), _proposed, out _) == ProposeOutcome.Busy)
                    Count("busy");
            }
        });
    }

    private void Drop()
    {
        if (_cluster.Network.Count == 0)
            return;
        int at = _random.Next(_cluster.Network.Count);
        Note($"drop {TestCluster.Describe(_cluster.Network[at])}");
        _cluster.Network.RemoveAt(at);
        Count("drop");
    }

    private void Duplicate()
    {
        if (_cluster.Network.Count is 0 or > 200)
            return;
        _cluster.Network.Add(_cluster.Network[_random.Next(_cluster.Network.Count)]);
        Count("duplicate");
    }

    private void Crash()
    {
        var member = Any();
        if (!member.IsUp)
            return;
        member.Crash(_random.Next(member.Disk.Writes.Count + 1));
        Note($"crash {member.Id}");
        Count("crash");
    }

    private void Rot()
    {
        var member = Any();
        // What a snapshot covers is missed by nobody.
        var needed = member.Disk.Log.Where(e => e.Index > (member.Disk.Snapshot?.Index ?? LogIndex.Zero)).ToList();
        if (needed.Count == 0)
            return;
        var from = needed[_random.Next(needed.Count)].Index;
        if (!member.Id.IsObserver && !MayRot(member, from))
            return;
        member.Rot(from);
        Note($"rot {member.Id} from {from}: ended at {member.Disk.RottenEnd}");
        Count(member.Id.IsObserver ? "rot of an observer" : _cluster.Members.Any(m => m.Core.Membership.IsJoint)
            ? "rot amid a change"
            : "rot");
    }

    /// <summary>
    /// One at a time, where it is a minority of all who may decide, and others still have whatever was committed: no protocol could pass
    /// otherwise.
    /// </summary>
    private bool MayRot(TestMember member, LogIndex from)
    {
        var others = _cluster.Members.Where(m => m != member && !m.Id.IsObserver).ToList();
        return others.TrueForAll(m => m.Disk.RottenEnd is null)
            && _cluster.Members.All(m => IsEnough(m.Core.Membership.Voters) && IsEnough(m.Core.Membership.Outgoing))
            && _cluster.Committed.Skip((int)from.Value - 1).All(
                entry => others.Exists(m => m.Disk.Snapshot?.Index >= entry.Index || m.Disk.At(entry.Index)?.Term == entry.Term));

        static bool IsEnough(IReadOnlyList<MemberIncarnation> voters) => voters.Count is 0 or >= 3;
    }

    private void Restart()
    {
        var member = Any();
        if (member.IsUp)
            return;
        member.Start();
        member.DiskHeld = true;
        foreach (ulong token in _reads.Keys.Where(k => k.Member == member.Id.Value).Select(k => k.Token).ToList())
            _reads.Remove((member.Id.Value, token));
        Note($"restart {member.Id}: term {member.Core.Term} last {member.Core.LastIndex}");
    }

    private void Partition()
    {
        _cutOff = [.. _cluster.Members.Select(m => m.Id.Value).Where(_ => _random.Next(2) == 0)];
        _cluster.Network.RemoveAll(m => !Passes(m));
        Note($"cut off {string.Join(' ', _cutOff)}");
        Count("partition");
    }

    private void Heal()
    {
        _cutOff = null;
        Note("heal");
    }

    private void TakeSnapshot()
    {
        var member = Any();
        if (!member.IsUp || member.Core.Applied <= member.Core.SnapshotIndex || member.Core.Applied > member.Core.Durable)
            return;
        member.TakeSnapshot(_random.Next(4));
        Note($"snapshot {member.Id} at {member.Core.SnapshotIndex}");
        Count("snapshot");
    }

    private void ChangeMembership()
    {
        var member = Any();
        if (!member.IsUp || member.Core.Role != RaftRole.Leader)
            return;
        var now = member.Core.Membership;
        int other = 1 + _random.Next(MostMembers);
        List<int> voters = [.. now.Voters.Select(v => v.Id.Value)], learners = [.. now.Learners.Select(v => v.Id.Value)];
        List<int> outgoing = [];
        if (now.IsJoint)
        {
            // Only leaving it is possible.
        }
        else if (_random.Next(3) == 0)
        {
            outgoing = [.. voters];
            voters = [.. Enumerable.Range(1, MostMembers).Where(_ => _random.Next(2) == 0)];
            learners.RemoveAll(voters.Contains);
        }
        else if (voters.Remove(other) || learners.Remove(other))
        {
            if (_random.Next(2) == 0 && !now.IsVoter(new MemberId(other)))
                voters.Add(other);
        }
        else
        {
            learners.Add(other);
        }
        // With a rotten one among two, the other one cannot be elected.
        if (_rots && voters.Count < 3 && _cluster.Members.Any(m => m.Disk.RottenEnd is not null && !m.Id.IsObserver))
            return;
        foreach (int id in voters.Concat(learners))
        {
            if (_cluster.Members.All(m => m.Id.Value != id))
                _cluster.Add(id, isJoining: true).DiskHeld = true;
        }
        var next = TestCluster.Config(voters, learners, outgoing);
        var outcome = _cluster.Reconfigure(member.Id.Value, next);
        Note($"membership {member.Id}: {next}: {outcome}");
        if (outcome == ProposeOutcome.Appended)
            Count(next.IsJoint ? "joint" : "membership");
    }

    private void Read()
    {
        var member = Any();
        if (!member.IsUp)
            return;
        ulong token = ++_tokens;
        // Whatever was acknowledged to anybody before the read began must be seen by it.
        _reads.Add((member.Id.Value, token), _cluster.Committed.Count);
        member.Turn(core => core.ReadIndex(token));
        Note($"read {token} at {member.Id}");
    }

    private void CheckReads()
    {
        foreach (var member in _cluster.Members)
        {
            foreach (var grant in member.Reads)
            {
                if (!_reads.Remove((member.Id.Value, grant.Token), out int floor))
                    throw new InvalidOperationException($"read {grant.Token} of member {member.Id} was answered twice");
                Count(grant.Refused ? "read refused" : "read");
                Assert.True(
                    grant.Refused || grant.Index.Value >= floor,
                    $"read {grant.Token} of member {member.Id} may see {grant.Index}, but {floor} was acknowledged before");
            }
            member.Reads.Clear();
        }
    }

    private void Transfer()
    {
        var member = Any();
        if (!member.IsUp || member.Core.Role != RaftRole.Leader)
            return;
        var to = _random.Next(2) == 0 ? MemberId.None : Any().Id;
        member.Turn(core =>
        {
            if (core.TransferLeadership(to))
                Count("transfer");
        });
        Note($"transfer {member.Id} to {to}");
    }

    private void Evidence()
    {
        var (member, dead) = (Any(), Any());
        // Mostly true, sometimes a mere broken link taken for a death.
        if (!dead.IsUp || _random.Next(5) == 0)
        {
            Note($"evidence at {member.Id} against {dead.Id}");
            member.Turn(core => core.PeerDied(dead.Id));
            Count("evidence");
        }
    }

    private void LinkBroke()
    {
        var (member, peer) = (Any(), Any());
        member.Turn(core => core.PeerUnreachable(peer.Id));
        Note($"link of {member.Id} to {peer.Id} broke");
    }

    private void TrimMemory() => Any().Turn(core => core.TrimMemory(_random.Next(200)));

    private TestMember Any()
    {
        var members = _cluster.Members.ToList();
        return members[_random.Next(members.Count)];
    }

    private static string Describe(TestMember m) =>
        $"{m.Id}: {(m.IsUp ? m.Core.Role : "down")} term {m.Core.Term} vote {m.Core.Vote} leader {m.Core.Leader} "
        + $"commit {m.Core.Commit} last {m.Core.LastIndex}:{m.Core.LastTerm} base {m.Core.Log.Base} durable {m.Core.Durable} membership {m.Core.Membership} at {m.Core.MembershipIndex}";

    private void Note(string what)
    {
        _events.Enqueue(what);
        if (_events.Count > 60)
            _events.Dequeue();
    }

    private void Count(string what, int by = 1) => _counters[what] = _counters.GetValueOrDefault(what) + by;
}
