using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Tests.Log;
using RaftKit.Node.Tests.Loop;
using RaftKit.Node.Tests.Transport;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Members;

/// <summary>What another process says of this one: whom to believe, and what becomes of its words.</summary>
public sealed class WordsOfPeersTests
{
    private static readonly PeerMessage.StartJudged Unready = new(1, 1, "Level 2 of orders is finalised.", IsUnready: true);

    [Fact]
    public void A_process_that_a_forced_quorum_does_not_name_is_not_believed_about_levels()
    {
        var directory = new MemoryDirectory(new Random(1));
        using (var before = new LoopHarness(directory: directory))
            before.Lead();
        using (var survivor = RaftKit.Node.Members.LostQuorum.Open(directory))
            survivor.Force();

        using var harness = new LoopHarness(directory: directory);
        for (var i = 0; harness.Loop.Status.RecoveryEpoch == 0; i++)
        {
            Assert.True(i < 400, "The survivor never led.");
            harness.Tick();
        }
        var judged = new PeerMessage.StartJudged(harness.Loop.Incarnation, harness.Loop.Boot, Unready.Refusal, IsUnready: true);
        // Member 7 was added after the survivor's log ended: nobody here knows that it was left behind.
        var link = harness.Link(LoopHarness.Said(new MemberId(7), cluster: harness.Loop.ClusterId));
        harness.Hear(link, new MemberId(7), judged);
        Assert.Null(harness.Loop.Failure);
    }

    [Fact]
    public void A_member_that_this_one_does_not_know_yet_is_believed_about_levels()
    {
        using var harness = new LoopHarness().Lead();
        var link = harness.Link(LoopHarness.Said(new MemberId(7), cluster: harness.Loop.ClusterId));
        harness.Hear(link, new MemberId(7), Unready);
        Assert.IsType<FeatureLevelUnsupportedException>(harness.Loop.Failure);
    }

    [Fact]
    public void Words_that_go_into_a_log_or_a_file_are_short_and_on_one_line()
    {
        var text = "one\r\ntwo\u2028\u001b[2J" + new string('x', 9000);
        var judged = Assert.IsType<PeerMessage.StartJudged>(Wire(new PeerMessage.StartJudged(1, 1, text)));
        Assert.Equal("one  two  [2J", judged.Refusal[..13]);
        Assert.Equal(500, judged.Refusal.Length);
        var reply = Assert.IsType<PeerMessage.JoinReply>(Wire(new PeerMessage.JoinReply(false, Guid.Empty, 0, MemberId.None, text, text)));
        Assert.DoesNotContain(reply.Reason + reply.LeaderEndpoint, char.IsControl);
    }

    [Fact]
    public void A_leader_at_no_address_is_not_dialled()
    {
        using var harness = new LoopHarness(configure: o => o with { JoinOnly = true });
        var link = harness.Link(LoopHarness.Said(LoopHarness.Other, cluster: Guid.NewGuid()));
        foreach (var (leader, endpoint) in new[] { (3, "nowhere"), (0, "127.0.0.1:3"), (300, "127.0.0.1:3"), (1, "127.0.0.1:3") })
            harness.Hear(
                link, LoopHarness.Other, new PeerMessage.JoinReply(false, Guid.Empty, 0, new MemberId(leader), "Ask there.", endpoint));
        Assert.Null(harness.Loop.Failure);
        Assert.Equal([LoopHarness.Other], harness.Peers.Keys);

        harness.Hear(
            link, LoopHarness.Other, new PeerMessage.JoinReply(false, Guid.Empty, 0, new MemberId(3), "Ask there.", "127.0.0.1:3"));
        Assert.Equal([LoopHarness.Other, new MemberId(3)], harness.Peers.Keys.Order());
    }

    [Fact]
    public void Who_waits_to_be_taken_in_says_by_whom()
    {
        using var harness = new LoopHarness();
        var cluster = Guid.NewGuid();
        harness.Link(LoopHarness.Said(LoopHarness.Other, cluster: cluster));
        for (var i = 0; i < 2000; i++)
            harness.Tick();
        var told = harness.Logger.Lines.Last(l => l.Contains("has no identity yet", StringComparison.Ordinal));
        Assert.Contains($"Member 2 is of cluster {cluster}: waiting to be taken in there", told, StringComparison.Ordinal);
    }

    private static PeerMessage Wire(PeerMessage message) => MessageCodec.Decode(MessageCodecTests.Encode(message));
}
