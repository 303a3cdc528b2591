using RaftKit.Consensus;
using RaftKit.Consensus.Tests.Harness;
using static RaftKit.Consensus.Tests.Harness.Solo;

namespace RaftKit.Consensus.Tests;

/// <summary>
/// What one observer does, and what one member does for it, rule by rule. The stories of several are in Scenarios, observer-*.
/// </summary>
public sealed class ObserverTests
{
    private const int Observer = 256;

    [Fact]
    public void A_feed_never_goes_beyond_the_commit()
    {
        var leader = Solo.Leading();
        leader.Turn(core => core.Propose("a"u8.ToArray(), 0, out _));
        leader.Step(Asks(leader, last: 0, lastTerm: 0));
        var append = Assert.Single(leader.Sent.OfType<AppendRequest>(), m => m.To == Id(Observer));
        Assert.Equal([1L], append.Entries.Select(e => e.Index.Value));
        leader.FinishWrites();
        leader.Accept(2, 2);
        Assert.Equal([2L], leader.Sent.OfType<AppendRequest>().Single(m => m.To == Id(Observer)).Entries.Select(e => e.Index.Value));
    }

    [Fact]
    public void What_an_observer_acknowledges_commits_nothing()
    {
        var leader = Solo.Leading();
        leader.Turn(core => core.Propose("a"u8.ToArray(), 0, out _));
        leader.FinishWrites();
        leader.Step(Asks(leader, last: 2, lastTerm: 1));
        leader.Step(new AppendReply { From = Id(Observer), To = Id(1), Term = leader.Core.Term, Accepted = true, Index = new LogIndex(2) });
        Assert.Equal(1, leader.Core.Commit.Value);
        Assert.Equal(0, leader.Core.MatchOf(Id(Observer)).Value);
    }

    [Fact]
    public void An_observers_term_and_its_votes_change_nothing()
    {
        var member = new Solo(term: 3);
        foreach (var message in new Message[]
        {
            new VoteRequest { From = Id(Observer), To = Id(1), Term = new Term(9), PreVote = false, LastIndex = new LogIndex(50),
                LastTerm = new Term(8) },
            new VoteReply { From = Id(Observer), To = Id(1), Term = new Term(9), PreVote = false, Granted = true },
            new AppendRequest { From = Id(Observer), To = Id(1), Term = new Term(9), PreviousIndex = default, PreviousTerm = default,
                Commit = default, Entries = [Entry(1, 9)] },
            new Heartbeat { From = Id(Observer), To = Id(1), Term = new Term(9), Commit = default, ReadToken = 1 },
            new TimeoutNow { From = Id(Observer), To = Id(1), Term = new Term(9) },
        })
        {
            member.Step(message);
            Assert.Empty(member.Sent);
            Assert.Empty(member.Held);
        }
        Assert.Equal((3L, 0L, RaftRole.Follower), (member.Core.Term.Value, member.Core.LastIndex.Value, member.Core.Role));
        Assert.True(member.Core.Leader.IsNone);
    }

    [Fact]
    public void An_observer_whose_source_knows_of_no_leader_has_asked_all_others_before_it_moves_on_and_finds_the_one_that_does()
    {
        var observer = Observing(source: 2, members: 7);
        var source = observer.Core.Source;
        var leader = Id(source == Id(7) ? 6 : 7);
        var asked = new HashSet<MemberId>();
        for (int tick = 0; observer.Core.Source == source; tick++)
        {
            Assert.True(tick < (2 * observer.Core.Options.ElectionTicks) + 2, "It stays with a source that knows of no leader.");
            observer.Tick();
            foreach (var request in observer.Sent.OfType<ObserveRequest>().ToList())
            {
                if (request.IsProbe)
                    asked.Add(request.To);
                observer.Step(new ObserveReply
                {
                    From = request.To, To = Id(Observer), Term = new Term(3), Commit = LogIndex.Zero, IsProbe = request.IsProbe,
                    Leader = request.To == leader ? leader : MemberId.None, Diverged = false,
                });
            }
        }
        Assert.Equal(leader, observer.Core.Source);
        Assert.Equal(6, asked.Count);
    }

    [Fact]
    public void A_membership_never_names_an_observer()
    {
        var now = TestCluster.Config([1, 2, 3]);
        Assert.Contains("not 1 to 255", MembershipRules.Refusal(now, TestCluster.Config([1, 2, 3], learners: [Observer])));
        Assert.Contains("not 1 to 255", MembershipRules.Refusal(now, TestCluster.Config([1, 2, 3, Observer])));
    }

    [Fact]
    public void A_leader_is_not_handed_over_to_an_observer()
    {
        var leader = Solo.Leading();
        leader.Step(Asks(leader, last: 1, lastTerm: 1));
        bool accepted = true;
        leader.Turn(core => accepted = core.TransferLeadership(Id(Observer)));
        Assert.False(accepted);
    }

    [Fact]
    public void An_observer_takes_only_what_its_source_knows_to_be_committed()
    {
        var observer = Observing(source: 2);
        observer.Step(Fed(term: 1, previous: 0, commit: 1, [Entry(1, 1), Entry(2, 1)]));
        Assert.Equal(0, observer.Core.LastIndex.Value);
        observer.Step(Fed(term: 1, previous: 0, commit: 2, [Entry(1, 1), Entry(2, 1)]));
        Assert.Equal((2L, 2L), (observer.Core.LastIndex.Value, observer.Core.Commit.Value));
    }

    [Fact]
    public void What_does_not_come_from_its_source_is_not_taken()
    {
        var observer = Observing(source: 2);
        observer.Step(Fed(term: 1, previous: 0, commit: 1, [Entry(1, 1)], from: 3));
        Assert.Equal(0, observer.Core.LastIndex.Value);
    }

    [Fact]
    public void What_is_already_there_is_not_written_again()
    {
        var observer = Observing(source: 2);
        observer.Step(Fed(term: 1, previous: 0, commit: 2, [Entry(1, 1), Entry(2, 1)]));
        observer.Step(Fed(term: 1, previous: 0, commit: 3, [Entry(1, 1), Entry(2, 1), Entry(3, 1)]));
        Assert.Equal([3L], observer.Appended.Select(e => e.Index.Value));
        Assert.Null(observer.Cut);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void An_observer_and_its_source_that_disagree_on_what_is_committed_never_go_on(bool sourceNotices)
    {
        var observer = Observing(source: 2, log: [Entry(1, 1), Entry(2, 3)]);
        string? diverged = null;
        observer.Turn(core =>
        {
            if (sourceNotices)
                core.Step(new ObserveReply { From = Id(2), To = Id(Observer), Term = new Term(5), Leader = Id(2), Commit = new LogIndex(9),
                    Diverged = true });
            else
                core.Step(Fed(term: 5, previous: 2, commit: 3, [Entry(3, 5)], previousTerm: 4));
            diverged = core.Effects.Diverged;
        });
        Assert.Contains("term 3", diverged);
        Assert.Equal(2, observer.Core.LastIndex.Value);
    }

    [Fact]
    public void A_source_tells_an_observer_that_holds_what_is_not_committed_there()
    {
        var leader = Solo.Leading();
        leader.Step(Asks(leader, last: 1, lastTerm: 7));
        Assert.True(Assert.Single(leader.Sent.OfType<ObserveReply>()).Diverged);
        Assert.Equal(0, leader.Core.ObserversFed);
    }

    /// <summary>It would wait for ever, where a forced quorum gave much up, and be taken for one that is only ahead.</summary>
    [Fact]
    public void A_source_tells_an_observer_that_goes_further_than_its_commit_and_ends_in_an_older_term_than_that()
    {
        var leader = Solo.Leading();
        leader.Step(Asks(leader, last: 9, lastTerm: 0));
        Assert.True(Assert.Single(leader.Sent.OfType<ObserveReply>()).Diverged);
        Assert.Equal(0, leader.Core.ObserversFed);
    }

    [Fact]
    public void An_observer_that_is_further_than_its_source_is_fed_once_the_source_is_there()
    {
        var leader = Solo.Leading();
        leader.Step(Asks(leader, last: 2, lastTerm: 1));
        leader.Turn(core => core.Propose("a"u8.ToArray(), 0, out _));
        leader.Turn(core => core.Propose("b"u8.ToArray(), 0, out _));
        leader.FinishWrites();
        leader.Accept(2, 2);
        Assert.DoesNotContain(leader.Sent, m => m is AppendRequest && m.To == Id(Observer));
        leader.Accept(2, 3);
        Assert.Equal([3L], leader.Sent.OfType<AppendRequest>().Single(m => m.To == Id(Observer)).Entries.Select(e => e.Index.Value));
    }

    [Fact]
    public void What_is_on_its_way_to_an_observer_is_bounded()
    {
        var leader = Solo.Leading();
        leader.Step(Asks(leader, last: 1, lastTerm: 1));
        int sent = 0;
        for (int i = 0; i < 200; i++)
        {
            leader.Turn(core => core.Propose("a"u8.ToArray(), 0, out _));
            leader.FinishWrites();
            leader.Accept(2, leader.Core.LastIndex.Value);
            sent += leader.Sent.Count(m => m is AppendRequest && m.To == Id(Observer));
        }
        Assert.Equal(new RaftCoreOptions { Self = Id(1), Seed = 1 }.MaxInflightMessages, sent);
        leader.Step(new AppendReply { From = Id(Observer), To = Id(1), Term = leader.Core.Term, Accepted = true, Index = new LogIndex(5) });
        Assert.Contains(leader.Sent, m => m is AppendRequest && m.To == Id(Observer));
    }

    [Fact]
    public void A_hundred_observers_that_are_far_behind_do_not_hold_up_a_turn()
    {
        // 24 entries of a megabyte, which each of them lacks.
        var log = Enumerable.Range(1, 24).Select(i => new Entry(new Term(1), new LogIndex(i), EntryKind.Command, 0, new byte[1 << 20]));
        var leader = new Solo(term: 1, log: log);
        leader.Lead(2);
        leader.FinishWrites();
        leader.Accept(2, 25);
        Assert.Equal(25, leader.Core.Commit.Value);
        leader.Turn(core =>
        {
            for (int n = 0; n < 100; n++)
                core.Step(Asks(leader, last: 0, lastTerm: 0, from: Observer + n));
        });
        var got = new HashSet<MemberId>();
        int turns = 0;
        for (; got.Count < 100 && turns < 100; turns++)
        {
            var appends = leader.Sent.OfType<AppendRequest>().Where(m => m.To.IsObserver).ToList();
            Assert.InRange(appends.Sum(m => m.Entries.Sum(e => e.Payload.Length)), 1, 10 << 20);
            got.UnionWith(appends.Select(m => m.To));
            leader.Tick();
        }
        Assert.InRange(turns, 5, 20);
    }

    [Fact]
    public void Three_observers_are_sent_a_snapshot_at_a_time_and_the_others_have_their_turn()
    {
        var leader = Compacted(out var mark);
        Assert.False(leader.Core.SendsSnapshots);
        leader.Turn(core =>
        {
            for (int n = 0; n < 10; n++)
                core.Step(Asks(leader, last: 0, lastTerm: 0, from: Observer + n));
        });
        var served = leader.SnapshotSends.Select(s => s.To).ToHashSet();
        Assert.Equal(3, served.Count);
        Assert.True(leader.Core.SendsSnapshots);

        // Each that has it makes room for another; who has all but has not taken it over yet keeps nobody from it.
        for (int done = 1; served.Count < 10; done++)
        {
            Assert.InRange(done, 1, 8);
            var to = served.Order().ElementAt(done - 1);
            leader.Step(new SnapshotReply
            {
                From = to, To = Id(1), Term = leader.Core.Term, SnapshotIndex = mark.Index, NextOffset = mark.Length, Installed = done % 2 == 0,
            });
            served.Add(Assert.Single(leader.SnapshotSends).To);
            Assert.Equal(3 + done, served.Count);
        }
    }

    [Fact]
    public void Observers_that_take_nothing_do_not_keep_others_from_their_snapshot()
    {
        var leader = Compacted(out _);
        var served = new HashSet<MemberId>();
        for (int tick = 0; served.Count < 6 && tick < 400; tick++)
        {
            leader.Turn(core =>
            {
                for (int n = 0; n < 6; n++)
                    core.Step(Asks(leader, last: 0, lastTerm: 0, from: Observer + n));
            });
            served.UnionWith(leader.SnapshotSends.Select(s => s.To));
            leader.Step(new HeartbeatReply { From = Id(2), To = Id(1), Term = leader.Core.Term, ReadToken = 1 });
            leader.Tick();
            served.UnionWith(leader.SnapshotSends.Select(s => s.To));
        }
        Assert.Equal(6, served.Count);
    }

    // Its log begins behind a snapshot, which whoever has nothing must be sent.
    private static Solo Compacted(out SnapshotMark mark)
    {
        var leader = new Solo(term: 1, log: Enumerable.Range(1, 8).Select(i => Entry(i, 1)));
        leader.Lead(2);
        leader.FinishWrites();
        leader.Accept(2, 9);
        var taken = mark = new SnapshotMark(new LogIndex(8), new Term(1), 0, leader.Core.Membership, 100);
        leader.Turn(core =>
        {
            core.AppliedTo(taken.Index);
            core.SnapshotTaken(taken, keep: 0);
        });
        return leader;
    }

    private static Solo Observing(int source, IEnumerable<Entry>? log = null, int members = 3)
    {
        var observer = new Solo(
            term: 3, log: log, membership: Membership.Empty, configure: o => o with { Self = Id(Observer), Seeds = [.. Enumerable.Range(1, members).Select(Id)] });
        observer.Turn(core => core.PeerReachable(Id(source)));
        Assert.Equal(Id(source), observer.Core.Source);
        Assert.Equal(observer.Core.LastIndex, observer.Core.Commit);
        return observer;
    }

    private static ObserveRequest Asks(Solo member, long last, long lastTerm, int from = Observer) => new()
    {
        From = Id(from), To = Id(1), Term = member.Core.Term, LastIndex = new LogIndex(last), LastTerm = new Term(lastTerm), Again = true,
    };

    private static AppendRequest Fed(
        long term, long previous, long commit, IReadOnlyList<Entry> entries, int from = 2, long previousTerm = 0) => new()
    {
        From = Id(from), To = Id(Observer), Term = new Term(term), PreviousIndex = new LogIndex(previous),
        PreviousTerm = new Term(previousTerm),
        Commit = new LogIndex(commit), Entries = entries,
    };
}
