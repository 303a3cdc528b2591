using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Transport;

public sealed class LinkTests
{
    [Fact]
    public async Task Two_members_that_dial_each_other_get_one_link_and_hear_each_others_hello()
    {
        var (one, two) = await TestMember.LinkedPair();
        await using var _ = one;
        await using var __ = two;

        Assert.Equal(two.Hello, (await one.LinkUp()).Hello);
        Assert.Equal(one.Hello, (await two.LinkUp()).Hello);
        await Exchange(one, two);
        Assert.Single(one.Inbox.All.OfType<NodeInput.LinkUp>());
        Assert.Single(two.Inbox.All.OfType<NodeInput.LinkUp>());
    }

    [Fact]
    public async Task Every_kind_of_message_crosses_a_link_unchanged_and_in_order_within_its_lane()
    {
        var (one, two) = await TestMember.LinkedPair();
        await using var _ = one;
        await using var __ = two;

        // Whatever the samples say, a message of the core must come from the link's own member.
        var sent = Samples.All().Where(
            m => m is not PeerMessage.Raft { Message: var raft } || (raft.From, raft.To) == (one.Id, two.Id)).ToList();
        foreach (var message in sent)
            one.Transport.Send(two.Id, message);
        one.Transport.Flush();
        one.Send(two.Id, new PeerMessage.JoinRequest(one.Id, "last of the priority lane"));
        await two.Inbox.Expect<NodeInput.Received>(r => r.Message is PeerMessage.JoinRequest { Endpoint: "last of the priority lane" });
        await two.Inbox.Expect<NodeInput.Received>(r => r.Message is PeerMessage.Raft { Message: SnapshotChunk { Data.Length: 0 } });

        var received = two.Inbox.All.OfType<NodeInput.Received>().Select(r => r.Message).ToList();
        foreach (var lane in Enum.GetValues<Lane>())
        {
            Assert.Equal(
                sent.Where(m => Lanes.Of(m) == lane).Select(m => Convert.ToHexString(MessageCodecTests.Encode(m))),
                received.Where(m => Lanes.Of(m) == lane && m is not PeerMessage.JoinRequest { Endpoint: "last of the priority lane" })
                    .Select(m => Convert.ToHexString(MessageCodecTests.Encode(m))));
        }
    }

    [Fact]
    public async Task Messages_of_one_turn_share_a_write()
    {
        var (one, two) = await TestMember.LinkedPair();
        await using var _ = one;
        await using var __ = two;

        var before = one.Transport.Counters.Writes;
        for (ulong i = 1; i <= 100; i++)
            one.Transport.Send(two.Id, new PeerMessage.Raft(Samples.Heartbeat(i)));
        one.Transport.Flush();
        await two.Inbox.Expect<NodeInput.Received>(r => r.Message is PeerMessage.Raft { Message: Heartbeat { ReadToken: 100 } });
        // One, or two: the writer may have been on its way to sleep, and have taken what was there before the flush.
        Assert.InRange(one.Transport.Counters.Writes - before, 1, 2);
        Assert.True(one.Transport.Counters.FramesSent >= 100);
        Assert.Equal(one.Transport.Counters.BytesSent, two.Transport.Counters.BytesReceived);
    }

    [Fact]
    public async Task A_goodbye_ends_the_link_as_one_and_is_no_evidence_of_death()
    {
        var (one, two) = await TestMember.LinkedPair();
        await using var _ = one;
        var link = (await one.LinkUp()).Link;

        // What was sent before the stop still arrives.
        two.Transport.Send(one.Id, new PeerMessage.Channel(1, Samples.Bytes(100_000)));
        await two.Transport.StopAsync("the host shuts down");
        var down = await one.Inbox.Expect<NodeInput.LinkDown>();
        Assert.Equal((link, two.Id, true), (down.Link, down.Peer, down.Goodbye));
        Assert.Contains(one.Inbox.All, i => i is NodeInput.Received { Message: PeerMessage.Channel { Payload.Length: 100_000 } });

        // It restarts at once, under a newer boot, and only that is heard of the old one's end.
        await using var again = new TestMember(2, TestMember.Options(Port(two)));
        again.Hello = two.Hello with { Boot = 2 };
        again.Join(one);
        await one.Inbox.Expect<NodeInput.LinkUp>(up => up.Hello.Boot == 2);
        Assert.DoesNotContain(one.Inbox.All, i => i is NodeInput.PeerDied { Evidence.Reason: var reason } && reason.Contains("refused"));
    }

    [Fact]
    public async Task A_link_that_breaks_is_up_again_without_anybody_asking()
    {
        var (one, two) = await TestMember.LinkedPair();
        await using var _ = one;
        await two.Transport.AbortAsync();
        var down = await one.Inbox.Expect<NodeInput.LinkDown>();
        Assert.False(down.Goodbye);

        await using var again = new TestMember(2, TestMember.Options(Port(two)));
        again.Hello = again.Hello with { Boot = 2 };
        again.Join(one);
        var up = await one.Inbox.Expect<NodeInput.LinkUp>(u => u.Hello.Boot == 2);
        Assert.NotEqual(down.Link, up.Link);
        await Exchange(one, again);
    }

    [Fact]
    public async Task A_newer_start_replaces_the_old_link_and_is_evidence_of_the_old_ones_death()
    {
        await using var one = new TestMember(1);
        await using var old = new TestMember(2);
        await using var young = new TestMember(2);
        one.Join(old);
        old.Join(one);
        var first = await one.LinkUp();

        young.Hello = old.Hello with { Boot = 2, Endpoint = young.Endpoint };
        young.Join(one);
        var second = await one.Inbox.Expect<NodeInput.LinkUp>(up => up.Hello.Boot == 2);

        var order = one.Inbox.All.Where(i => i is not NodeInput.Received).Take(4).ToList();
        Assert.Equal(first, order[0]);
        Assert.Equal(new NodeInput.LinkDown(first.Link, old.Id, false), order[1]);
        var died = Assert.IsType<NodeInput.PeerDied>(order[2]).Evidence;
        Assert.Equal((old.Id, 1, 1L, false), (died.Member, died.Incarnation, died.Boot, died.Proven));
        Assert.Equal(second, order[3]);
    }

    [Fact]
    public async Task An_older_start_is_refused_while_a_newer_one_is_linked()
    {
        await using var one = new TestMember(1);
        await using var current = new TestMember(2);
        await using var old = new TestMember(2);
        current.Hello = current.Hello with { Incarnation = 2, Boot = 1 };
        one.Join(current);
        current.Join(one);
        var up = await one.LinkUp();

        old.Hello = old.Hello with { Incarnation = 1, Boot = 7 };
        old.Join(one);
        await Logged(old, "refused the link (Superseded)");
        Assert.Equal(up, Assert.Single(one.Inbox.All.OfType<NodeInput.LinkUp>()));
        await Exchange(one, current);
    }

    // Each broke the other's link for as long as both ran, and each dialled again at once.
    [Theory]
    [InlineData(0, "127.0.0.1:9", 2)]
    [InlineData(0, "127.0.0.1:8", 1)]
    [InlineData(1, "127.0.0.1:9", 2)]
    public async Task A_second_process_without_data_under_one_number_does_not_disturb_the_first_and_both_can_be_told(
        int incarnation, string secondAt, int secondPid)
    {
        await using var one = new TestMember(1);
        var hello = RawPeer.HelloOf(2) with { Incarnation = 0, Boot = 0, Endpoint = "127.0.0.1:9", Process = new HostProcess("a", 1, 1, 1) };
        one.Join((new MemberId(2), ""));
        using var first = await RawPeer.Link(one, hello with { Incarnation = incarnation });
        await one.LinkUp();

        using (var second = await RawPeer.Dial(one))
        {
            second.Write(new LinkFrame.Hello(ProtocolRange.Spoken, 2, hello with { Endpoint = secondAt, Process = new HostProcess("a", 1, secondPid, 1) }));
            var refusal = Assert.IsType<LinkFrame.Refusal>(second.ReadLinkFrame());
            Assert.Contains(
                $"'127.0.0.1:9' (incarnation {incarnation}), and another one without data, which listens at '{secondAt}', comes under the same number", refusal.Reason, StringComparison.Ordinal);
            Assert.Equal(new NodeInput.NumberDoubled(new MemberId(2), refusal.Reason), await one.Inbox.Expect<NodeInput.NumberDoubled>());
        }
        Assert.DoesNotContain(one.Inbox.All, i => i is NodeInput.LinkDown);
        one.Send(new MemberId(2), new PeerMessage.Channel(1, Samples.Bytes(3)));
        Assert.IsType<PeerMessage.Channel>(MessageCodec.Decode(first.ReadBody()));

        // The first has ended: it is the other one's turn.
        first.Dispose();
        await one.Inbox.Expect<NodeInput.LinkDown>();
        using var next = await RawPeer.Link(one, hello with { Endpoint = secondAt, Process = new HostProcess("a", 1, secondPid, 1) });
        await one.Inbox.Expect<NodeInput.LinkUp>(up => up.Hello.Endpoint == secondAt && up.Hello.Incarnation == 0 && up.Link != 1);
    }

    [Fact]
    public async Task A_link_that_the_loop_refuses_ends_with_the_reason_in_the_peers_log()
    {
        var (one, two) = await TestMember.LinkedPair();
        await using var _ = one;
        await using var __ = two;
        var up = await one.LinkUp();
        one.Transport.Refuse(up.Link, "boot 1 is older than boot 5, which this member remembers");
        var down = await one.Inbox.Expect<NodeInput.LinkDown>();
        Assert.Equal((up.Link, false), (down.Link, down.Goodbye));
        await two.Inbox.Expect<NodeInput.LinkDown>();
        await Logged(two, "refused the link (Unwanted): boot 1 is older than boot 5");
        Assert.DoesNotContain(two.Inbox.All, i => i is NodeInput.PeerDied);
    }

    [Fact]
    public async Task A_member_that_is_no_peer_any_more_loses_its_link()
    {
        var (one, two) = await TestMember.LinkedPair();
        await using var _ = one;
        await using var __ = two;
        one.Transport.SetPeers(new Dictionary<MemberId, string>());
        await one.Inbox.Expect<NodeInput.LinkDown>();
        await Logged(two, "membership does not name it");
        one.Send(two.Id, new PeerMessage.Channel(1, default));
        Assert.Equal(1, one.Transport.Counters.DroppedOf(Lane.Priority));
    }

    [Fact]
    public async Task Five_members_that_start_together_are_linked_in_pairs()
    {
        var members = Enumerable.Range(1, 5).Select(id => new TestMember(id)).ToArray();
        foreach (var member in members)
            member.Join([.. members.Where(m => m != member)]);
        foreach (var member in members)
        {
            foreach (var other in members.Where(m => m != member))
                await member.Inbox.Expect<NodeInput.LinkUp>(up => up.Hello.Member == other.Id);
        }
        foreach (var one in members)
        {
            foreach (var other in members.Where(m => m.Id.Value > one.Id.Value))
                await Exchange(one, other);
        }
        Assert.Empty(members.SelectMany(m => m.Inbox.All.OfType<NodeInput.LinkDown>()));
        foreach (var member in members)
            await member.DisposeAsync();
    }

    [Fact]
    public async Task After_a_stop_nothing_is_posted_and_sending_drops()
    {
        var (one, two) = await TestMember.LinkedPair();
        await using var _ = two;
        await one.Transport.StopAsync("done");
        var posted = one.Inbox.All.Count;
        two.Send(one.Id, new PeerMessage.Channel(1, default));
        one.Send(two.Id, new PeerMessage.Channel(1, default));
        Assert.Equal(1, one.Transport.Counters.DroppedOf(Lane.Priority));
        Assert.Equal(posted, one.Inbox.All.Count);
        Assert.IsType<NodeInput.LinkDown>(one.Inbox.All[^1]);
    }

    internal static int Port(TestMember member) => NetworkAddress.Parse(member.Endpoint).Port;

    /// <summary>A message each way, over whatever link is up.</summary>
    internal static async Task Exchange(TestMember one, TestMember two)
    {
        var text = Guid.NewGuid().ToString();
        one.Send(two.Id, new PeerMessage.JoinRequest(one.Id, text));
        await two.Inbox.Expect<NodeInput.Received>(r =>
            r.From == one.Id && r.Message is PeerMessage.JoinRequest join && join.Endpoint == text);
        two.Send(one.Id, new PeerMessage.JoinRequest(two.Id, text));
        await one.Inbox.Expect<NodeInput.Received>(r =>
            r.From == two.Id && r.Message is PeerMessage.JoinRequest join && join.Endpoint == text);
    }

    internal static async Task Logged(TestMember member, string text) => await member.Logger.Expect(text);
}
