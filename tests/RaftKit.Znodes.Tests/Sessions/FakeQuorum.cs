using Xunit;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;
using RaftKit.Znodes.Sessions;

namespace RaftKit.Znodes.Tests.Sessions;

/// <summary>
/// A quorum without consensus: one log that everybody applies, a leader that the test names, and time that the test moves. What waits for a
/// leader waits; what the leader proposed for itself can be held back or lost with its leadership.
/// </summary>
internal sealed class FakeQuorum
{
    public static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(20);

    private readonly List<FakeProposal> _held = [];
    private readonly ZnodeOptions _options;
    private MemberId _leader;
    private FakeMember? _deposed;
    private Term _deposedTerm;

    public FakeQuorum(int members, ZnodeOptions? options = null)
    {
        _options = options ?? new ZnodeOptions { SessionTimeout = TimeSpan.FromSeconds(4) };
        for (var i = 1; i <= members; i++)
            Members.Add(new FakeMember(this, i, 1, _options));
        if (members > 0)
            Elect(1);
    }

    public List<FakeMember> Members { get; } = [];

    public List<(Term Term, FakeProposal Proposal)> Log { get; } = [];

    /// <summary>What members sent to each other.</summary>
    public List<(int From, int To, SessionMessage Message)> Messages { get; } = [];

    public TimeSpan Now { get; private set; } = TimeSpan.FromSeconds(100);

    public Term Term { get; private set; }

    /// <summary>What the leader proposes for itself stays in its log, uncommitted.</summary>
    public bool HoldsLeadersProposals { get; set; }

    public FakeMember this[int number] => Members.Last(m => m.Self.Value == number);

    public IReadOnlyList<FakeProposal> Held => _held;

    public void Elect(int number)
    {
        (_deposed, _deposedTerm) = (null, default);
        _held.Clear();
        Term = Term.Next;
        _leader = new MemberId(number);
        Run();
    }

    /// <summary>A new leader while the old one does not know of it yet.</summary>
    public void ElectBehindTheBackOf(FakeMember old, int number)
    {
        var term = Term;
        Term = Term.Next;
        _leader = new MemberId(number);
        _held.Clear();
        (_deposed, _deposedTerm) = (old, term);
        Run();
    }

    public void LoseLeader()
    {
        _leader = MemberId.None;
        Term = Term.Next;
        _held.Clear();
        Run();
    }

    /// <summary>What the leader of before had replicated of its own proposals is committed by the next one.</summary>
    public void CommitHeld()
    {
        foreach (var proposal in _held)
            Append(proposal);
        _held.Clear();
    }

    public FakeMember Restart(int number)
    {
        var old = this[number];
        if (!old.IsDead)
            old.Kill();
        var member = new FakeMember(this, number, old.Boot + 1, _options);
        Members[Members.IndexOf(old)] = member;
        return member;
    }

    /// <summary>Everything that can happen without time passing happens.</summary>
    public void Run()
    {
        for (var round = 0; round < 1000; round++)
        {
            var worked = false;
            foreach (var member in Members.ToArray())
                worked |= member.Turn();
            if (!worked)
                return;
        }
        Assert.Fail("The members do not come to rest.");
    }

    public void Advance(TimeSpan by)
    {
        Run();
        for (var end = Now + by; Now < end;)
        {
            Now += TickInterval;
            foreach (var member in Members.ToArray())
                member.Tick(TickInterval);
            Run();
        }
    }

    /// <summary>Time passes until the condition holds; how long that was.</summary>
    public TimeSpan AdvanceUntil(Func<bool> condition, TimeSpan atMost)
    {
        var start = Now;
        while (!condition())
        {
            Assert.True(Now - start < atMost, $"It did not happen within {atMost}.");
            Advance(TickInterval);
        }
        return Now - start;
    }

    /// <summary>The task's result, after everything that needs no time.</summary>
    public T Await<T>(Task<T> task)
    {
        Run();
        Assert.True(task.IsCompleted, "The task waits for something that needs time.");
        return task.GetAwaiter().GetResult();
    }

    public void Await(Task task)
    {
        Run();
        Assert.True(task.IsCompleted, "The task waits for something that needs time.");
        task.GetAwaiter().GetResult();
    }

    public IZnodeSession Open(int member, TimeSpan? timeout = null)
    {
        var session = this[member].Service.Sessions.Open(timeout);
        Await(session.OpenedAsync());
        return session;
    }

    public CommandContext ContextOf(int at) => new(new LogIndex(at + 1), Log[at].Term, 1_000_000 + at, at + 1);

    public (RaftRole Role, Term Term, MemberId Leader, bool Ready) StatusOf(FakeMember member)
    {
        if (member == _deposed)
            return (RaftRole.Leader, _deposedTerm, member.Self, true);
        if (member.IsIsolated)
            return (RaftRole.Follower, Term, MemberId.None, false);
        if (_leader == member.Self)
            return (RaftRole.Leader, Term, member.Self, member.Applied >= Log.Count || HoldsLeadersProposals);
        return (RaftRole.Follower, Term, _leader, !_leader.IsNone);
    }

    public bool CanConfirm(FakeMember member) =>
        member != _deposed && !member.IsIsolated && Members.Any(m => m.Self == _leader && m.Works && !m.IsIsolated);

    public bool TakeIn(FakeMember member, List<FakeProposal> waiting)
    {
        if (waiting.Count == 0 || !CanConfirm(member))
            return false;
        foreach (var proposal in waiting)
            Append(proposal);
        waiting.Clear();
        return true;
    }

    public void ProposedByLeader(FakeMember member, FakeProposal proposal)
    {
        if (member == _deposed)
            return;
        if (HoldsLeadersProposals)
            _held.Add(proposal);
        else
            Append(proposal);
    }

    public int CommittedFor(FakeMember member) => member.IsIsolated || member == _deposed ? member.Applied : Log.Count;

    public IEnumerable<FakeProposal> Forget(FakeMember member)
    {
        foreach (var (_, proposal) in Log)
        {
            if (proposal.Owner != member || proposal.IsTold)
                continue;
            proposal.IsTold = true;
            yield return proposal;
        }
    }

    public void Deliver(FakeMember from, MemberId to, byte[] payload)
    {
        Messages.Add((from.Self.Value, to.Value, SessionMessage.Decode(payload)));
        var target = Members.Last(m => m.Self == to);
        if (!target.IsDead && !target.IsIsolated && !from.IsIsolated && !from.IsDead)
            target.Post(new NodeInput.Received(0, from.Self, new PeerMessage.Channel(1, payload)));
    }

    public void BreakLinksOf(FakeMember member)
    {
        foreach (var other in Members.Where(m => m != member))
            other.LinkChanged(member, false);
        Run();
    }

    /// <summary>Everybody else sees that the process is gone.</summary>
    public void ProveDead(FakeMember member, bool proven = true)
    {
        foreach (var other in Members.Where(m => m != member && !m.IsDead))
            other.Post(new NodeInput.PeerDied(new DeathEvidence(member.Self, 1, member.Boot, proven, "test")));
        Run();
    }

    /// <summary>A tree of its own, that holds what the log says up to there.</summary>
    public RaftKit.Znodes.Tree.ZnodeTree ReplayUpTo(long zxid)
    {
        var machine = new ZnodeStateMachine(new RaftKit.Znodes.Tree.ZnodeTree());
        for (var i = 0; i < Log.Count && ContextOf(i).Zxid <= zxid; i++)
            machine.Apply(ContextOf(i), Log[i].Proposal.Command, new System.Buffers.ArrayBufferWriter<byte>());
        return machine.Tree;
    }

    private void Append(FakeProposal proposal) => Log.Add((Term, proposal));
}
