using RaftKit.Consensus;

namespace RaftKit.Consensus.Tests.Harness;

/// <summary>
/// Cores that talk over an in-memory network. What is sent waits until somebody delivers it; every step is checked against Raft's
/// safety properties (Raft, figure 3).
/// </summary>
internal sealed class TestCluster
{
    private readonly SortedDictionary<int, TestMember> _members = [];
    private readonly Dictionary<Term, MemberId> _leaders = [];
    private readonly List<Entry> _committed = [];
    private readonly Dictionary<MemberId, (Term Term, MemberId Vote, LogIndex Commit)> _seen = [];
    private readonly Func<RaftCoreOptions, RaftCoreOptions> _configure;
    private readonly Membership _initial;

    public TestCluster(int members, ulong seed = 1, Func<RaftCoreOptions, RaftCoreOptions>? configure = null)
        : this(Enumerable.Range(1, members), seed, configure)
    {
    }

    public TestCluster(IEnumerable<int> voters, ulong seed = 1, Func<RaftCoreOptions, RaftCoreOptions>? configure = null)
    {
        Seed = seed;
        _configure = configure ?? (o => o);
        _initial = Config(voters);
        foreach (int id in voters)
            Add(id);
    }

    public ulong Seed { get; }

    public Membership Initial => _initial;

    /// <summary>In flight, in the order sent.</summary>
    public List<Message> Network { get; } = [];

    /// <summary>Whether the message gets into the network at all.</summary>
    public Func<Message, bool> Passes { get; set; } = _ => true;

    public IEnumerable<TestMember> Members => _members.Values;

    public IReadOnlyList<Entry> Committed => _committed;

    /// <summary>How many elections ended, by term.</summary>
    public IReadOnlyDictionary<Term, MemberId> Leaders => _leaders;

    public TestMember this[int id] => _members[id];

    public static Membership Config(IEnumerable<int> voters, IEnumerable<int>? learners = null, IEnumerable<int>? outgoing = null) =>
        new(Lives(voters), Lives(learners ?? []), Lives(outgoing ?? []));

    /// <summary>A member that is in no membership yet, with an empty disk.</summary>
    public TestMember Add(int id, bool isJoining = false)
    {
        var member = new TestMember(this, new MemberId(id), isJoining ? Membership.Empty : _initial, _configure);
        _members.Add(id, member);
        return member;
    }

    public void Send(Message message)
    {
        if (Passes(message) && IsBetweenLives(message))
            Network.Add(message);
    }

    /// <summary>Delivers in order until nothing is left.</summary>
    public void Deliver()
    {
        for (int steps = 0; Network.Count > 0; steps++)
        {
            Assert.True(steps < 100_000, "the members never stop talking: " + string.Join(", ", Network.Take(5).Select(Describe)));
            DeliverOne(0);
        }
    }

    public void DeliverOne(int at)
    {
        var message = Network[at];
        Network.RemoveAt(at);
        if (IsBetweenLives(message) && _members.TryGetValue(message.To.Value, out var member))
            member.Turn(core => core.Step(message));
    }

    public void TickAll(int ticks = 1)
    {
        for (int i = 0; i < ticks; i++)
        {
            foreach (var member in _members.Values)
                member.Turn(core => core.Tick());
            Deliver();
        }
    }

    /// <summary>Ticks one member until its role changes or it campaigned, for at most two election timeouts.</summary>
    public void Campaign(int id)
    {
        var core = this[id].Core;
        var term = core.Term;
        for (int i = 0; i < 2 * core.Options.ElectionTicks && core.Term == term && core.Role == RaftRole.Follower; i++)
            this[id].Turn(c => c.Tick());
        Deliver();
    }

    /// <summary>Elects the member, the others' contact having run out.</summary>
    public void Elect(int id)
    {
        foreach (var other in _members.Values.Where(m => m.Id.Value != id))
            Silence(other);
        Campaign(id);
        Assert.Equal(RaftRole.Leader, this[id].Core.Role);
    }

    // Messages name members, not lives. As a node's links do, this network lets nothing pass between two members when one's newest
    // membership names another life of the other one, or when one was rolled back.
    private bool IsBetweenLives(Message message)
    {
        if (!_members.TryGetValue(message.From.Value, out var from) || !_members.TryGetValue(message.To.Value, out var to))
            return true;
        return !from.IsRolledBack && !to.IsRolledBack && Knows(from, to) && Knows(to, from);

        static bool Knows(TestMember one, TestMember other) =>
            one.Core.Membership.IncarnationOf(other.Id) is not { } named || named.Incarnation == other.Life;
    }

    public ReadOnlyMemory<byte> Command(string text) => System.Text.Encoding.UTF8.GetBytes(text);

    public ProposeOutcome Propose(int id, string text) => Propose(id, text, out _);

    public ProposeOutcome Propose(int id, string text, out LogIndex index)
    {
        ProposeOutcome outcome = default;
        LogIndex at = default;
        this[id].Turn(core => outcome = core.Propose(Command(text), this[id].Now, out at));
        index = at;
        return outcome;
    }

    public ProposeOutcome Reconfigure(int id, Membership membership)
    {
        ProposeOutcome outcome = default;
        this[id].Turn(core => outcome = core.ProposeMembership(membership, 0, out _));
        return outcome;
    }

    /// <summary>Lets the member's contact with its leader age past the election timeout, without a campaign of its own.</summary>
    private static void Silence(TestMember member) => member.Core.Clock.ForgetLeader();

    public void Restarted(TestMember member)
    {
        // Only what the disk holds may be asked of it again.
        _seen[member.Id] = (member.Disk.Term, member.Disk.Vote, LogIndex.Zero);
    }

    public void Installed(TestMember member, SnapshotMark mark) => _seen[member.Id] = _seen[member.Id] with { Commit = mark.Index };

    /// <summary>State machine safety: one command per index, everywhere (Raft 5.4.3).</summary>
    public void Applied(TestMember member, Entry entry)
    {
        Remember(member, entry);
        Assert.True(
            SameEntry(_committed[(int)entry.Index.Value - 1], entry),
            $"member {member.Id} applied {Describe(entry)} at {entry.Index}, others {Describe(_committed[(int)entry.Index.Value - 1])}");
    }

    public void AfterTurn(TestMember member)
    {
        var core = member.Core;
        var seen = _seen[member.Id];
        Assert.True(core.Term >= seen.Term, $"member {member.Id}: term fell from {seen.Term} to {core.Term}");
        Assert.True(
            core.Term > seen.Term || seen.Vote.IsNone || core.Vote == seen.Vote,
            $"member {member.Id}: vote in {core.Term} changed from {seen.Vote} to {core.Vote}");
        Assert.True(core.Commit >= seen.Commit, $"member {member.Id}: commit fell from {seen.Commit} to {core.Commit}");
        Assert.True(
            core.SnapshotIndex <= core.Applied && core.Applied <= core.Commit && core.Commit <= core.LastIndex,
            $"member {member.Id}: snapshot {core.SnapshotIndex}, applied {core.Applied}, commit {core.Commit}, last {core.LastIndex}");
        _seen[member.Id] = (core.Term, core.Vote, core.Commit);
        if (core.Role != RaftRole.Leader)
            return;
        // Election safety: one leader a term (Raft 5.2).
        if (_leaders.TryGetValue(core.Term, out var leader))
        {
            Assert.True(leader == member.Id, $"{leader} and {member.Id} both lead term {core.Term}");
            return;
        }
        _leaders.Add(core.Term, member.Id);
        // A lease never overlaps a rival's term (thesis 6.4.1).
        foreach (var other in _members.Values.Where(m => m != member && m.IsUp))
            Assert.True(
                other.Core.LeaseEnd <= other.Clock,
                $"member {member.Id} leads term {core.Term}, while {other.Id} holds a lease until {other.Core.LeaseEnd}");
        // Leader completeness: it holds everything committed (Raft 5.4). A snapshot stands for what it covers.
        foreach (var entry in _committed.Skip((int)core.Log.Base.Value))
            Assert.True(
                core.Log.TermAt(entry.Index) == entry.Term,
                $"member {member.Id} leads term {core.Term} without committed entry {entry.Index}, term {entry.Term}");
    }

    /// <summary>Log matching: where two logs have the same term at an index, they are the same up to it (Raft 5.3).</summary>
    public void CheckLogs()
    {
        var members = _members.Values.Where(m => m.IsUp).ToList();
        for (int a = 0; a < members.Count; a++)
        {
            for (int b = a + 1; b < members.Count; b++)
                CheckLogs(members[a].Core.Log, members[b].Core.Log, $"{members[a].Id} and {members[b].Id}");
        }
    }

    public static string Describe(Message m) => $"{m.GetType().Name} {m.From}->{m.To} term {m.Term}" + m switch
    {
        AppendRequest a => $" after {a.PreviousIndex}:{a.PreviousTerm} x{a.Entries.Count} commit {a.Commit}",
        AppendReply r => r.Accepted ? $" accepted {r.Index}" : $" refused {r.Index} hint {r.HintIndex}:{r.HintTerm}",
        VoteRequest v => $" pre {v.PreVote} last {v.LastIndex}:{v.LastTerm}",
        VoteReply v => $" pre {v.PreVote} granted {v.Granted}",
        Heartbeat h => $" commit {h.Commit} token {h.ReadToken}",
        HeartbeatReply h => $" token {h.ReadToken}",
        SnapshotChunk c => $" {c.Snapshot.Index} at {c.Offset}+{c.Data.Length}/{c.Snapshot.Length}",
        SnapshotReply r => $" {r.SnapshotIndex} next {r.NextOffset} installed {r.Installed}",
        ObserveRequest r => $" last {r.LastIndex}:{r.LastTerm} again {r.Again} probe {r.IsProbe}",
        ObserveReply r => $" leader {r.Leader} commit {r.Commit} probe {r.IsProbe}",
        _ => "",
    };

    private static string Describe(Entry e) => $"{e.Index}:{e.Term} {e.Kind} '{System.Text.Encoding.UTF8.GetString(e.Payload.Span)}'";

    private static void CheckLogs(LogView a, LogView b, string who)
    {
        var last = LogIndex.Min(a.Last, b.Last);
        bool mustMatch = false;
        for (var index = last; index > LogIndex.Max(a.Base, b.Base); index = index.Previous)
        {
            bool same = a.TermAt(index) == b.TermAt(index);
            Assert.True(same || !mustMatch, $"{who}: terms {a.TermAt(index)} and {b.TermAt(index)} at {index}, but equal terms later");
            mustMatch |= same;
        }
    }

    private void Remember(TestMember member, Entry entry)
    {
        Assert.True(entry.Index.Value <= _committed.Count + 1, $"entry {entry.Index} is applied before {_committed.Count + 1}");
        if (entry.Index.Value != _committed.Count + 1)
            return;
        Assert.False(member.Id.IsObserver, $"observer {member.Id} applied {Describe(entry)} before any member knew it to be committed");
        _committed.Add(entry);
        // A committed entry is on the disks of a quorum already (promise 1), of the leader's newest membership.
        if (member.Core.Role == RaftRole.Leader)
        {
            var governing = member.Core.Membership;
            Assert.True(
                OnQuorum(governing.Voters, entry), $"{Describe(entry)} committed, but not on the disks of a majority of {governing}");
            Assert.True(
                !governing.IsJoint || OnQuorum(governing.Outgoing, entry),
                $"{Describe(entry)} committed, but not on the disks of a majority of the outgoing half of {governing}");
        }
    }

    private bool OnQuorum(IReadOnlyList<MemberIncarnation> voters, Entry entry) =>
        voters.Count(v => _members.TryGetValue(v.Id.Value, out var m) && IsDurable(m.Disk, entry)) > voters.Count / 2;

    private static bool IsDurable(TestDisk disk, Entry entry) =>
        disk.Snapshot?.Index >= entry.Index || disk.Rotten.Any(r => SameEntry(r, entry))
            || (disk.At(entry.Index) is { } held && SameEntry(held, entry));

    private static bool SameEntry(Entry a, Entry b) =>
        a.Term == b.Term && a.Index == b.Index && a.Kind == b.Kind && a.Payload.Span.SequenceEqual(b.Payload.Span);

    private static IEnumerable<MemberIncarnation> Lives(IEnumerable<int> ids) =>
        ids.Select(id => new MemberIncarnation(new MemberId(id), 1));
}
