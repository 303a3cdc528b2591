using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Members;
using RaftKit.Node.Tests.Log;
using RaftKit.Node.Tests.Loop;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Members;

/// <summary>A survivor that does not know of everything that its quorum did.</summary>
public sealed class LostQuorumTests
{
    private readonly MemoryDirectory _directory = new(new Random(1));

    [Fact]
    public void A_survivor_whose_log_lacks_an_earlier_break_does_not_give_its_epoch_a_second_time()
    {
        Lead();
        // It joined after a quorum was forced, and was sent the beginning of the log only; the term came with it.
        using (var log = SegmentedLog.Open(_directory, new SegmentedLogOptions(), out var found))
        {
            log.Write(new LogBatch { Term = new Term(found.Term.Value + RecoveryEpoch.TermsAhead), Vote = MemberId.None });
            log.Sync();
        }
        using var survivor = LostQuorum.Open(_directory);
        Assert.Equal(0, survivor.Epoch.Epoch);
        Assert.Equal(2, survivor.Force() >> 48);
    }

    [Fact]
    public void A_survivor_that_was_told_nothing_yet_is_not_forced()
    {
        using (var log = SegmentedLog.Open(_directory, new SegmentedLogOptions(), out _))
        {
            log.Write(new LogBatch { Term = Term.Zero, Vote = MemberId.None });
            log.Sync();
        }
        IdentityFile.Write(_directory, new DirectoryIdentity(LoopHarness.Self, 2, 1, Guid.NewGuid(), []));
        using var survivor = LostQuorum.Open(_directory);
        Assert.Contains(
            "Force another survivor", Assert.Throws<DirectoryMismatchException>(() => survivor.Force()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_life_that_was_left_behind_is_refused_though_the_survivor_never_heard_of_it()
    {
        using var harness = Forced();
        // It was emptied and taken in again by a majority without the survivor.
        harness.Link(LoopHarness.Said(LoopHarness.Other, incarnation: 3, cluster: harness.Loop.ClusterId));
        var judged = harness.Sent.Where(s => s.To == LoopHarness.Other).Select(s => s.Message).OfType<PeerMessage.StartJudged>().Last();
        Assert.Contains("of before recovery epoch 1", judged.Refusal, StringComparison.Ordinal);
    }

    /// <summary>
    /// It would learn the new quorum's term by the answer, and stand for election in the next one. It knows nothing of the break, nor need
    /// this member.
    /// </summary>
    [Fact]
    public void Who_was_left_behind_and_runs_on_is_not_answered_with_the_new_quorums_term()
    {
        using var harness = Forced();
        // Of the new quorum, so that its link is not refused: only the terms tell.
        harness.Link(LoopHarness.Said(LoopHarness.Other, incarnation: 1025, cluster: harness.Loop.ClusterId));
        Assert.Empty(AnswersTo(6));
        Assert.NotEmpty(AnswersTo(harness.Core.Term.Value));

        IEnumerable<PeerMessage> AnswersTo(long term)
        {
            harness.Sent.Clear();
            harness.Hear(new PeerMessage.Raft(Wish(term)));
            return harness.Sent.Select(s => s.Message).Where(m => m is PeerMessage.Raft { Message: VoteReply });
        }
    }

    [Fact]
    public void Who_was_left_behind_and_runs_on_takes_no_term_of_the_new_quorums()
    {
        using var harness = new LoopHarness();
        harness.Lead();
        var term = harness.Core.Term;
        harness.Hear(new PeerMessage.Raft(new AppendReply
        {
            From = LoopHarness.Other, To = LoopHarness.Self, Term = new Term(term.Value + RecoveryEpoch.TermsAhead), Accepted = false,
            Index = LogIndex.Zero,
        }));
        Assert.Equal(term, harness.Core.Term);
        // As far as elections can bring somebody.
        harness.Hear(new PeerMessage.Raft(new AppendReply
        {
            From = LoopHarness.Other, To = LoopHarness.Self, Term = new Term(term.Value + 1000), Accepted = false, Index = LogIndex.Zero,
        }));
        Assert.Equal(term.Value + 1000, harness.Core.Term.Value);
    }

    [Fact]
    public void Who_was_left_behind_and_was_linked_before_the_break_was_applied_is_told_so_then()
    {
        using var harness = new LoopHarness().Form();
        var (known, unknown) = (LoopHarness.Other, new MemberId(3));
        harness.Link(LoopHarness.Said(unknown, cluster: harness.Loop.ClusterId));
        harness.Link(LoopHarness.Said(known, cluster: harness.Loop.ClusterId));
        Assert.Empty(Refusals());

        var (core, term) = (harness.Core, new Term(5));
        harness.Hear(new PeerMessage.Raft(new AppendRequest
        {
            From = known, To = LoopHarness.Self, Term = term, PreviousIndex = core.LastIndex, PreviousTerm = core.LastTerm,
            Commit = core.LastIndex.Next,
            Entries = [new Entry(term, core.LastIndex.Next, EntryKind.Command, 0, new RecoveryEpoch(1, []).ToCommand())],
        }));

        // The survivor had not heard of it, so that the break names it by what it cannot be: a life of this epoch.
        var (to, refusal) = Assert.Single(Refusals());
        Assert.Equal(unknown, to);
        Assert.Contains("before recovery epoch 1", refusal, StringComparison.Ordinal);

        List<(MemberId, string)> Refusals() =>
            [.. harness.Sent.Where(s => s.Message is PeerMessage.StartJudged { Refusal.Length: > 0 })
                .Select(s => (s.To, ((PeerMessage.StartJudged)s.Message).Refusal))];
    }

    /// <summary>With no term it would follow whoever spoke first, also a leader that was left behind.</summary>
    [Fact]
    public void Who_joins_begins_in_the_term_of_the_leader_that_took_it_in()
    {
        using var harness = new LoopHarness();
        var (cluster, leader, term) = (Guid.NewGuid(), LoopHarness.Other, new Term(RecoveryEpoch.TermsAhead + 5));
        harness.Link(LoopHarness.Said(leader, incarnation: 1025, cluster: cluster));
        harness.Hear(new PeerMessage.BootstrapAnswer(BootstrapState.Formed, cluster, [LoopHarness.Self, leader]));
        // What the same member said in an earlier term, before the break, is nothing to begin with.
        harness.Hear(new PeerMessage.Raft(
            new Heartbeat { From = leader, To = LoopHarness.Self, Term = new Term(5), Commit = LogIndex.Zero }));
        harness.Hear(new PeerMessage.JoinReply(true, cluster, 1025, leader, "", Term: term));
        Assert.Equal(term, harness.Core.Term);
        Assert.True(harness.Core.Vote.IsNone);
    }

    [Fact]
    public void A_directory_that_is_refused_is_let_go_of_with_all_its_files()
    {
        Lead();
        LogSamples.TakeSnapshot(_directory, 1, 1);
        var whole = _directory.Copy();
        foreach (var log in _directory.List().Where(name => Segment.TryParse(name, out _)))
            _directory.Remove(log);
        Assert.Equal(0, _directory.OpenFiles);

        // No log beside the snapshot.
        Assert.Throws<LogCorruptException>(() => LostQuorum.Open(_directory));

        Assert.Equal(0, _directory.OpenFiles);
        _directory.Lock().Dispose();

        // The disk fails at whatever it does next, once for each.
        for (var at = 1; ; at++)
        {
            var failing = whole.Copy();
            failing.PowerGoesAt = failing.Operations + at;
            try
            {
                LostQuorum.Open(failing).Dispose();
                Assert.True(at > 20, $"It was open after {at} operations.");
                break;
            }
            catch (IOException)
            {
                Assert.True(failing.OpenFiles == 0, $"{failing.OpenFiles} files were left open by a failure at operation {at}.");
            }
        }
    }

    /// <summary>The survivor, which has applied the break.</summary>
    private LoopHarness Forced()
    {
        Lead();
        using (var survivor = LostQuorum.Open(_directory))
            survivor.Force();
        var harness = new LoopHarness(directory: _directory);
        for (var i = 0; harness.Loop.Status.RecoveryEpoch == 0; i++)
        {
            Assert.True(i < 400, "The survivor never led.");
            harness.Tick();
        }
        return harness;
    }

    private static VoteRequest Wish(long term) => new()
    {
        From = LoopHarness.Other, To = LoopHarness.Self, Term = new Term(term), PreVote = true, LastIndex = new LogIndex(99),
        LastTerm = new Term(5),
    };

    private void Lead()
    {
        using var before = new LoopHarness(directory: _directory);
        before.Lead();
    }
}
