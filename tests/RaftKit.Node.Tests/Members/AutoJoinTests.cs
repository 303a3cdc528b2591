using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Node.Tests.Loop;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Members;

/// <summary>The loop of one that is asked to add somebody, and of one that asks to be added.</summary>
public sealed class AutoJoinTests
{
    private const string At = "127.0.0.1:9";
    private static readonly MemberId Nine = new(9);

    [Fact]
    public void Who_asks_becomes_a_learner_with_a_life_of_its_own_and_asking_twice_gives_it_no_second_one()
    {
        using var harness = new LoopHarness().Lead();
        var last = harness.Core.LastIndex;
        Asks(harness, Nine);
        Assert.Equal(last.Next, harness.Core.LastIndex);
        Asks(harness, Nine);
        Assert.Equal(last.Next, harness.Core.LastIndex);

        Settle(harness);
        Assert.Equal(new MemberIncarnation(Nine, 1), Assert.Single(harness.Core.Membership.Learners));
        Assert.Equal(At, harness.Peers[Nine]);
        harness.Sent.Clear();
        Asks(harness, Nine);
        var reply = Assert.IsType<PeerMessage.JoinReply>(Assert.Single(harness.Sent, s => s.To == Nine && s.Message is PeerMessage.JoinReply).Message);
        Assert.Equal((true, 1), (reply.Accepted, reply.Incarnation));
        Assert.Equal(1, harness.Logger.Lines.Count(l => l.Contains("proposes to add member 9", StringComparison.Ordinal)));
    }

    [Fact]
    public void A_process_at_another_address_does_not_end_the_life_of_the_member_whose_number_it_was_given()
    {
        using var harness = new LoopHarness().Lead();
        var (before, last) = (harness.Core.Membership, harness.Core.LastIndex);
        Assert.StartsWith("Member 2 is at 127.0.0.1:2 already, and this process is at 127.0.0.1:9.", Refused(harness, LoopHarness.Other), StringComparison.Ordinal);
        Assert.Equal(last, harness.Core.LastIndex);
        Assert.Equal(before, harness.Core.Membership);
    }

    // An operator copied a configuration: two processes without data, one number.
    [Fact]
    public void What_was_asked_over_a_link_that_another_process_has_replaced_since_is_not_answered_to_that_one()
    {
        using var harness = new LoopHarness().Lead();
        var asks = LoopHarness.Said(Nine, incarnation: 0, boot: 0) with { AsksToBeAdded = true };
        var first = harness.Link(asks with { Process = Process(1) });
        var second = harness.Link(asks with { Process = Process(2), Endpoint = "127.0.0.1:19" });
        var last = harness.Core.LastIndex;
        harness.Sent.Clear();
        harness.Hear(first, Nine, new PeerMessage.JoinRequest(Nine, At));
        Assert.Equal(last, harness.Core.LastIndex);
        Assert.DoesNotContain(harness.Sent, s => s.Message is PeerMessage.JoinReply);

        harness.Hear(second, Nine, new PeerMessage.JoinRequest(Nine, "127.0.0.1:19"));
        Settle(harness);
        Assert.Equal("127.0.0.1:19", harness.Peers[Nine]);
    }

    [Fact]
    public void A_life_that_one_process_was_given_is_given_again_to_that_one_and_to_no_other()
    {
        using var harness = new LoopHarness().Lead();
        Ask(1);
        Settle(harness);
        Assert.Equal(1, Ask(1));
        Assert.Equal(1, Ask(1));
        // It has not linked under that life yet, and another one comes, at the same endpoint.
        Assert.Null(Ask(2));
        Settle(harness);
        Assert.Equal(2, Ask(2));

        int? Ask(int process)
        {
            var link = harness.Link(LoopHarness.Said(Nine, incarnation: 0, boot: 0) with { AsksToBeAdded = true, Process = Process(process) });
            harness.Sent.Clear();
            harness.Hear(link, Nine, new PeerMessage.JoinRequest(Nine, At));
            return harness.Sent.Select(s => s.Message).OfType<PeerMessage.JoinReply>().SingleOrDefault()?.Incarnation;
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void Whose_number_another_process_uses_as_well_hears_so_whether_it_has_a_life_or_not(int incarnation)
    {
        using var harness = new LoopHarness().Lead();
        harness.Link(LoopHarness.Said(Nine, incarnation: incarnation));
        harness.Turn(new NodeInput.NumberDoubled(Nine, "Two of them."));
        Assert.Contains(
            harness.Sent, s => s is { To.Value: 9, Message: PeerMessage.JoinReply { Accepted: false, Reason: "Two of them." } told } && told.Incarnation == incarnation);
    }

    [Fact]
    public void One_that_is_told_that_another_process_uses_its_number_says_so_once_and_goes_on()
    {
        using var harness = new LoopHarness().Lead();
        for (var i = 0; i < 3; i++)
            harness.Hear(new PeerMessage.JoinReply(false, harness.Loop.ClusterId, 1, MemberId.None, "Two of them."));
        // What it asked before it had this life.
        harness.Hear(new PeerMessage.JoinReply(false, harness.Loop.ClusterId, 0, MemberId.None, "Not now."));
        Assert.Single(harness.Logger.Lines, l => l.Contains("Member 1 was told by member 2 that another process uses its number: Two of them.", StringComparison.Ordinal));
        Assert.DoesNotContain(harness.Logger.Lines, l => l.Contains("Not now.", StringComparison.Ordinal));
        Assert.Equal(RaftRole.Leader, harness.Core.Role);
    }

    [Fact]
    public void Nobody_is_added_by_their_own_wish_where_operators_alone_add_members()
    {
        using var harness = new LoopHarness(configure: o => o with { AllowAutoJoin = false }).Lead();
        var last = harness.Core.LastIndex;
        Assert.Contains("AllowAutoJoin is false there", Refused(harness, Nine));
        Assert.Equal(last, harness.Core.LastIndex);
    }

    [Theory]
    [InlineData("nowhere", "write host:port")]
    [InlineData("", "write host:port")]
    [InlineData("127.0.0.1:0", "its port is 0")]
    [InlineData("10.0.0.9:7", "can only be dialled from its own machine")]
    [InlineData("127.0.0.1:2", "Member 2 listens at 127.0.0.1:2 already")]
    public void Who_cannot_be_reached_where_it_says_is_refused_and_nothing_enters_the_log(string endpoint, string why)
    {
        using var harness = new LoopHarness().Lead();
        var last = harness.Core.LastIndex;
        Assert.Contains(why, Refused(harness, Nine, endpoint));
        Assert.Equal(last, harness.Core.LastIndex);
    }

    // The member that proposes it may not have heard of the level yet, and have the link; the log has.
    [Fact]
    public void A_build_that_lacks_a_finalised_level_is_not_added_whoever_proposes_it()
    {
        var supported = new FeatureRanges([new("orders", new FeatureRange(1, 2))]);
        using var harness = new LoopHarness(configure: o => o with { Features = supported }).Lead();
        harness.Link(LoopHarness.Said(LoopHarness.Other, cluster: harness.Loop.ClusterId) with { Features = supported });
        Forward(1, new FinalizeLevel("orders", 2).Encode());
        Forward(2, AddItself(FeatureRanges.Own).Encode());
        Assert.Equal(2, harness.Loop.Applier.Levels.Current.Of("orders"));
        Assert.True(harness.Loop.Applier.Members.IsEmpty);
        Assert.StartsWith(
            "Level 2 of orders is finalised, and the process of member 9 supports levels 1..1 of it",
            harness.Loop.Applier.WhyRefused(AddItself(FeatureRanges.Own)), StringComparison.Ordinal);

        Forward(3, AddItself(supported).Encode());
        Assert.Contains(Nine, harness.Loop.Applier.Members.Wanted.Keys);

        void Forward(long sequence, ReadOnlyMemory<byte> command)
        {
            var proposer = new ProposerId(LoopHarness.Other, 1, 1);
            var envelope = Envelope.Encode(proposer, sequence, 0, Envelope.Name(Applier.NodeSection), command);
            harness.Hear(new PeerMessage.ForwardProposals(proposer, sequence, [envelope]));
            harness.Acknowledge();
            Assert.True(harness.Loop.Applier.Proposers.TryGetResult(proposer, sequence, out var result, out _) && !result.IsRefusal);
        }

        static MembershipChange.AddItself AddItself(FeatureRanges features) =>
            new(new Dictionary<MemberId, string> { [new(1)] = "127.0.0.1:1", [new(2)] = "127.0.0.1:2" }, Nine, At, features);
    }

    // It read "Member 9 is not one of 1, 2." in its log, and was taken in a moment later.
    [Fact]
    public void Who_is_to_be_a_member_and_is_not_named_yet_is_told_to_ask_again()
    {
        using var harness = new LoopHarness().Lead();
        Asks(harness, Nine);
        Acknowledged(harness);
        Assert.Contains(Nine, harness.Loop.Applier.Members.Wanted.Keys);
        Assert.Null(harness.Core.Membership.IncarnationOf(Nine));
        Assert.Equal(MembershipKeeper.NotLeader, Refused(harness, Nine));
    }

    // Nobody but it knows that the proposal came to nothing: it read of no reason anywhere.
    [Fact]
    public void Who_asks_hears_why_the_proposal_to_add_it_ended_without_a_result()
    {
        using var harness = new LoopHarness(configure: o => o with { MaxPendingProposals = 0 }).Lead();
        Assert.StartsWith("Member 1 proposed to add it, and has no result of that: ", Refused(harness, Nine), StringComparison.Ordinal);
        Assert.Contains(harness.Logger.Lines, l => l.Contains("Member 1 proposed to add member 9, which asked for it, and has no result of that: ", StringComparison.Ordinal));
    }

    [Fact]
    public void Members_that_refuse_for_different_reasons_are_each_logged_once()
    {
        using var harness = new LoopHarness(configure: o => o with { JoinOnly = true, AutoJoin = true });
        for (var i = 0; i < 20; i++)
        {
            foreach (var reason in new[] { "AllowAutoJoin is false.", "There are 7." })
                harness.Hear(new PeerMessage.JoinReply(false, Guid.NewGuid(), 0, MemberId.None, reason));
        }
        Assert.Equal(2, harness.Logger.Lines.Count(l => l.Contains("asked member 2 to be taken in, and was refused", StringComparison.Ordinal)));
    }

    [Fact]
    public void Who_only_waits_for_an_operator_is_not_added()
    {
        using var harness = new LoopHarness().Lead();
        var last = harness.Core.LastIndex;
        var link = harness.Link(LoopHarness.Said(Nine, incarnation: 0, boot: 0));
        harness.Hear(link, Nine, new PeerMessage.JoinRequest(Nine, At));
        Assert.Contains(harness.Sent, s => s is (_, PeerMessage.JoinReply { Accepted: false, Reason: "Member 9 is not one of 1, 2." }));
        Assert.Equal(last, harness.Core.LastIndex);
    }

    [Fact]
    public void One_that_asks_says_so_in_its_hello_tells_a_refusal_once_and_asks_again()
    {
        using var harness = new LoopHarness(configure: o => o with { JoinOnly = true, AutoJoin = true });
        Assert.True(harness.Hello.AsksToBeAdded);
        var cluster = Guid.NewGuid();
        var link = harness.Link(LoopHarness.Said(LoopHarness.Other, cluster: cluster));
        for (var i = 0; i < 100; i++)
        {
            harness.Hear(link, LoopHarness.Other, new PeerMessage.JoinReply(false, cluster, 0, MemberId.None, "Member 1 was removed."));
            harness.Tick();
        }
        Assert.Single(harness.Logger.Lines, l => l.Contains("Member 1 asked member 2 to be taken in, and was refused: Member 1 was removed.", StringComparison.Ordinal));
        Assert.InRange(harness.Sent.Count(s => s.Message is PeerMessage.JoinRequest { Endpoint: "127.0.0.1:1" }), 4, 10);

        harness.Hear(link, LoopHarness.Other, new PeerMessage.JoinReply(true, cluster, 3, LoopHarness.Other, "", Term: new Term(4)));
        Assert.Equal(3, harness.Loop.Incarnation);
        Assert.False(harness.Hello.AsksToBeAdded);
    }

    private static HostProcess Process(int pid) => new("a machine", 1, pid, pid);

    private static void Asks(LoopHarness harness, MemberId member, string endpoint = At)
    {
        var link = harness.Link(LoopHarness.Said(member, incarnation: 0, boot: 0) with { AsksToBeAdded = true });
        harness.Hear(link, member, new PeerMessage.JoinRequest(member, endpoint));
    }

    private static string Refused(LoopHarness harness, MemberId member, string endpoint = At)
    {
        harness.Sent.Clear();
        Asks(harness, member, endpoint);
        var reply = Assert.IsType<PeerMessage.JoinReply>(
            Assert.Single(harness.Sent, s => s.To == member && s.Message is PeerMessage.JoinReply).Message);
        Assert.False(reply.Accepted);
        return reply.Reason;
    }

    private static void Acknowledged(LoopHarness harness)
    {
        var link = harness.Link(LoopHarness.Said(LoopHarness.Other, cluster: harness.Loop.ClusterId));
        harness.Hear(
            link, LoopHarness.Other, new PeerMessage.Raft(
                new AppendReply
                {
                    From = LoopHarness.Other, To = LoopHarness.Self, Term = harness.Core.Term, Accepted = true, Index = harness.Core.LastIndex,
                }));
    }

    /// <summary>The other member acknowledges all, over a link of its own, until nothing changes any more.</summary>
    private static void Settle(LoopHarness harness)
    {
        var link = harness.Link(LoopHarness.Said(LoopHarness.Other, cluster: harness.Loop.ClusterId));
        for (var i = 0; i < 10; i++)
        {
            harness.Hear(
                link, LoopHarness.Other, new PeerMessage.Raft(
                    new AppendReply
                    {
                        From = LoopHarness.Other, To = LoopHarness.Self, Term = harness.Core.Term, Accepted = true, Index = harness.Core.LastIndex,
                    }));
            harness.Tick();
        }
    }
}
