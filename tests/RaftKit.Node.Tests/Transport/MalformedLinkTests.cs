using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Transport;

public sealed class MalformedLinkTests
{
    public static TheoryData<string, string> Bytes => new()
    {
        { "ffffffff", "length of -1" },
        { "00000000", "length of 0" },
        { "ffffff7f", "length of 2147483647" },
        { "02000000" + "917f", "kind 127" },
        { "05000000" + "c1c1c1c1c1", "array was expected" },
        { "07000000" + "951a03010509" + "00", "follow the end" },
        { "06000000" + "951a03010509", "from member 3 to member 1" },
        { "06000000" + "951a02030509", "from member 2 to member 3" },
        { "02000000" + "9101", "handshake" },
    };

    [Theory]
    [MemberData(nameof(Bytes))]
    public async Task What_is_no_frame_ends_the_link_with_the_reason_and_the_member_serves_on(string hex, string reason)
    {
        await using var one = new TestMember(1);
        one.Join((new MemberId(2), "127.0.0.1:1"));
        using (var peer = await RawPeer.Link(one, RawPeer.HelloOf(2)))
        {
            peer.Write(Samples.All().OfType<PeerMessage.Channel>().First());
            peer.Write(Convert.FromHexString(hex));
            var refusal = Assert.IsType<LinkFrame.Refusal>(peer.ReadLinkFrame());
            Assert.Equal(RefusalCode.Malformed, refusal.Code);
            Assert.Contains(reason, refusal.Reason);
            Assert.Null(peer.ReadBody());
        }
        var down = await one.Inbox.Expect<NodeInput.LinkDown>();
        Assert.False(down.Goodbye);
        Assert.Contains(one.Inbox.All, i => i is NodeInput.Received { Message: PeerMessage.Channel });

        using var again = await RawPeer.Link(one, RawPeer.HelloOf(2));
        Assert.DoesNotContain(one.Inbox.All, i => i is NodeInput.PeerDied or NodeInput.Call);
    }

    [Fact]
    public async Task Frames_cut_and_mutated_in_any_way_never_stop_the_member()
    {
        await using var one = new TestMember(1);
        one.Join((new MemberId(2), "127.0.0.1:1"));
        var random = new Random(4711);
        var frames = Samples.All().Select(MessageCodecTests.Encode).Where(f => f.Length < 10_000).ToArray();
        for (var round = 0; round < 150; round++)
        {
            using var peer = await RawPeer.Link(one, RawPeer.HelloOf(2, boot: round + 1));
            try
            {
                for (var i = 0; i < 20; i++)
                    peer.WriteFrame(MessageCodecTests.Mutate(frames[random.Next(frames.Length)], random));
                var cut = frames[random.Next(frames.Length)];
                peer.Write(BitConverter.GetBytes(cut.Length));
                peer.Write(cut.AsSpan(0, random.Next(cut.Length)));
                peer.FinishAndDrain();
            }
            catch (Exception hungUp) when (hungUp is IOException or System.Net.Sockets.SocketException)
            {
                // Hung up on in the middle of it.
            }
        }

        using var sane = await RawPeer.Link(one, RawPeer.HelloOf(2, boot: 1000));
        sane.Write(new PeerMessage.JoinRequest(new MemberId(2), "still there"));
        await one.Inbox.Expect<NodeInput.Received>(r => r.Message is PeerMessage.JoinRequest { Endpoint: "still there" });
        Assert.DoesNotContain(one.Inbox.All, i => i is NodeInput.Call);
        Assert.True(one.Transport.Counters.Malformed > 100);
        Assert.Equal(0, UnbalancedLinks(one.Inbox.All));
    }

    [Fact]
    public async Task A_frame_that_comes_byte_by_byte_is_one_frame()
    {
        await using var one = new TestMember(1);
        one.Join((new MemberId(2), "127.0.0.1:1"));
        using var peer = await RawPeer.Link(one, RawPeer.HelloOf(2));
        var body = MessageCodecTests.Encode(new PeerMessage.JoinRequest(new MemberId(2), "drop by drop"));
        foreach (var part in (byte[])[.. BitConverter.GetBytes(body.Length), .. body])
            peer.Write([part]);
        await one.Inbox.Expect<NodeInput.Received>(r => r.Message is PeerMessage.JoinRequest { Endpoint: "drop by drop" });
    }

    [Fact]
    public async Task Received_payloads_stay_what_they_were_while_the_links_buffers_are_used_again()
    {
        var (one, two) = await TestMember.LinkedPair();
        await using var _ = one;
        await using var __ = two;
        for (var i = 0; i < 200; i++)
            one.Send(two.Id, new PeerMessage.Channel((byte)i, Samples.Bytes(500, (byte)i)));
        one.Send(two.Id, new PeerMessage.JoinRequest(one.Id, "end"));
        await two.Inbox.Expect<NodeInput.Received>(r => r.Message is PeerMessage.JoinRequest);
        var channels = two.Inbox.All.OfType<NodeInput.Received>().Select(r => r.Message).OfType<PeerMessage.Channel>().ToList();
        Assert.Equal(200, channels.Count);
        Assert.All(channels, c => Assert.Equal(Samples.Bytes(500, c.Id), c.Payload.ToArray()));
    }

    // Every LinkUp but the last link's has its LinkDown, and nothing of a link comes before the one or after the other.
    private static int UnbalancedLinks(IReadOnlyList<NodeInput> inputs)
    {
        var open = new HashSet<long>();
        foreach (var input in inputs)
        {
            switch (input)
            {
                case NodeInput.LinkUp up:
                    Assert.True(open.Add(up.Link));
                    break;
                case NodeInput.Received received:
                    Assert.Contains(received.Link, open);
                    break;
                case NodeInput.LinkDown down:
                    Assert.True(open.Remove(down.Link));
                    break;
            }
        }
        return open.Count - 1;
    }
}
