using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Members;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Members;

/// <summary>Member 1 leads alone, and takes in member 3, which lost its disk (DESIGN, promise 4).</summary>
public sealed class MembershipKeeperTests : IEntryReader
{
    private static readonly Guid Cluster = new(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
    private static readonly MemberId One = new(1);
    private static readonly MemberId Three = new(3);

    private readonly RaftCore _core;
    private bool _wasSeen;
    private int _lastLifeBefore;

    public MembershipKeeperTests()
    {
        var initial = new Membership([new MemberIncarnation(One, 1)], [new MemberIncarnation(Three, 2)], []);
        _core = new RaftCore(
            new RaftCoreOptions { Self = One, Seed = 1 },
            new RestoredState(new Term(1), MemberId.None, initial, LogIndex.Zero, null, []) { Initial = initial },
            this);
        _core.Tick();
        Settle();
        Assert.True(_core.HasCommittedInTerm);
    }

    [Fact]
    public void A_learner_that_lost_the_reply_is_given_its_incarnation_once_more()
    {
        Assert.Equal(2, Join()?.Incarnation);
        Assert.Equal(2, Join()?.Incarnation);
    }

    [Fact]
    public void A_learner_that_acknowledged_entries_and_lost_its_disk_again_is_given_a_new_incarnation()
    {
        Acknowledge(_core.LastIndex);

        Assert.Null(Join());
        Settle();

        Assert.Equal(3, Join()?.Incarnation);
        // What its former life acknowledged does not count for this one: it is not promoted before it holds the log itself.
        Assert.Equal(LogIndex.Zero, _core.MatchOf(Three));
    }

    [Fact]
    public void A_learner_whose_incarnation_was_seen_already_is_given_a_new_one()
    {
        _wasSeen = true;
        Assert.Null(Join());
        Settle();
        _wasSeen = false;

        Assert.Equal(3, Join()?.Incarnation);
    }

    [Fact]
    public void A_new_incarnation_is_beyond_all_that_earlier_recovery_epochs_can_have_given()
    {
        _lastLifeBefore = 1024;
        _wasSeen = true;
        Assert.Null(Join());
        Settle();
        _wasSeen = false;

        Assert.Equal(1025, Join()?.Incarnation);
    }

    [Fact]
    public void A_learner_is_promoted_once_it_is_linked_and_has_all_but_the_last_few_entries_and_the_leader_commits_without_it_until_then()
    {
        for (var command = 0; command < 100; command++)
            _core.Propose(new byte[] { 1 }, 0, out _);
        Settle();
        Assert.Equal(_core.LastIndex, _core.Commit);

        Assert.False(IsPromoted(linked: 2)); // It has acknowledged nothing.
        Acknowledge(new LogIndex(_core.Commit.Value - 65));
        Assert.False(IsPromoted(linked: 2));
        Acknowledge(new LogIndex(_core.Commit.Value - 64));
        Assert.False(IsPromoted(linked: null));
        Assert.False(IsPromoted(linked: 1)); // Another life of it.
        Assert.True(IsPromoted(linked: 2));
        // From then on it counts.
        Assert.True(_core.Commit < _core.MembershipIndex);

        bool IsPromoted(int? linked)
        {
            MembershipKeeper.Advance(
                _core, new MemberTable(),
                id => linked is { } life ? new PeerHello(Cluster, id, life, 1, "127.0.0.1:1", HostProcess.Unknown) : null, now: 0);
            Settle();
            return _core.Membership.IsVoter(Three);
        }
    }

    // Found by reading: of those who had caught up, the first was waited with for one that never came, and the others behind it as well.
    [Fact]
    public void One_that_never_comes_holds_up_only_those_who_are_to_enter_with_it()
    {
        var (four, five, six) = (new MemberId(4), new MemberId(5), new MemberId(6));
        var known = new Dictionary<MemberId, string> { [One] = "a:1", [Three] = "a:3" };
        var table = new MemberTable();
        Assert.Null(table.Apply(
            new MembershipChange.Set(known, new Dictionary<MemberId, string> { [four] = "a:4", [five] = "a:5" }), _core.Membership));
        Assert.Null(table.Apply(new MembershipChange.Add(known, six, "a:6", IsVoter: true), _core.Membership));
        Advance();
        Assert.Equal([Three, four, five, six], _core.Membership.Learners.Select(l => l.Id));

        foreach (var caughtUp in new[] { five, six })
            _core.Step(new AppendReply { From = caughtUp, To = One, Term = _core.Term, Accepted = true, Index = _core.LastIndex });
        // Member 3, which nobody wants any more, goes first.
        Advance();
        Advance();

        Assert.Equal([One, six], _core.Membership.Voters.Select(v => v.Id));
        Assert.Equal([four, five], _core.Membership.Learners.Select(l => l.Id));

        void Advance()
        {
            MembershipKeeper.Advance(
                _core, table, id => id == four ? null : new PeerHello(Cluster, id, id == Three ? 2 : 1, 1, "a:1", HostProcess.Unknown), now: 0);
            Settle();
        }
    }

    // Simulator seed 658 of 60 s: the link of a machine that was cut off, and then wiped, was still up.
    [Fact]
    public void Nobody_is_removed_while_too_few_of_those_who_stay_are_heard_though_all_are_linked()
    {
        var four = new MemberId(4);
        var known = new Dictionary<MemberId, string> { [One] = "a:1", [Three] = "a:3" };
        var table = new MemberTable();
        Assert.Null(table.Apply(new MembershipChange.Add(known, Three, "a:3", IsVoter: true), _core.Membership));
        Assert.Null(table.Apply(new MembershipChange.Add(known, four, "a:4", IsVoter: true), _core.Membership));
        for (var i = 0; i < 20; i++)
        {
            Acknowledge(_core.LastIndex);
            _core.Step(new AppendReply { From = four, To = One, Term = _core.Term, Accepted = true, Index = _core.LastIndex });
            Advance();
        }
        Assert.Equal([One, Three, four], _core.Membership.Voters.Select(v => v.Id));

        Assert.Null(table.Apply(new MembershipChange.Remove(known, One), _core.Membership));
        for (var tick = 0; tick < _core.Options.ElectionTicks; tick++)
        {
            _core.Tick();
            _core.Step(new HeartbeatReply { From = four, To = One, Term = _core.Term, ReadToken = 0 });
            Settle();
        }
        Advance();
        Assert.Equal([One, Three, four], _core.Membership.Voters.Select(v => v.Id));

        _core.Step(new HeartbeatReply { From = Three, To = One, Term = _core.Term, ReadToken = 0 });
        Advance();
        Assert.Equal([Three, four], _core.Membership.Voters.Select(v => v.Id));

        void Advance()
        {
            MembershipKeeper.Advance(
                _core, table, id => new PeerHello(Cluster, id, id == Three ? 2 : 1, 1, "a:1", HostProcess.Unknown), now: 0);
            Settle();
        }
    }

    void IEntryReader.Read(LogIndex from, LogIndex last, int maxBytes, List<Entry> into) =>
        Assert.Fail($"The log from {from} to {last} is in memory.");

    private PeerMessage.JoinReply? Join()
    {
        var reply = MembershipKeeper.Join(
            _core, new PeerMessage.JoinRequest(Three, "127.0.0.1:1"), Cluster, ready: true, _ => _wasSeen, _lastLifeBefore, now: 0);
        Assert.NotEqual(false, reply?.Accepted);
        return reply;
    }

    private void Acknowledge(LogIndex index) =>
        _core.Step(new AppendReply { From = Three, To = One, Term = _core.Term, Accepted = true, Index = index });

    /// <summary>The disk finishes everything, and what follows from that.</summary>
    private void Settle()
    {
        _core.EndTurn();
        while (_core.Effects.Persist is { } request)
        {
            _core.Effects.Clear();
            _core.Persisted(request);
            _core.EndTurn();
        }
        _core.Effects.Clear();
    }
}
