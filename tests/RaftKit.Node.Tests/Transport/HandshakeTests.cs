using System.Buffers;
using System.Net;
using System.Net.Sockets;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Transport;

public sealed class HandshakeTests
{
    private static readonly (MemberId, string) Two = (new MemberId(2), "127.0.0.1:1");

    [Fact]
    public async Task A_hello_of_later_protocol_versions_alone_is_refused_with_both_ranges_whatever_follows_them()
    {
        await using var one = new TestMember(1);
        one.Join(Two);
        using var peer = await RawPeer.Dial(one);
        var output = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(5);
        writer.Write((byte)FrameKind.Hello);
        writer.Write("RaftKit");
        writer.Write(ProtocolRange.Spoken.Highest + 2);
        writer.Write(ProtocolRange.Spoken.Highest + 1);
        writer.Write("whatever that version says here");
        writer.Flush();
        peer.WriteFrame(output.WrittenSpan.ToArray());
        var refusal = Assert.IsType<LinkFrame.Refusal>(peer.ReadLinkFrame());
        Assert.Equal(RefusalCode.Version, refusal.Code);
        Assert.Contains($"Member 1 speaks protocol versions 4..4, the other side speaks 5..6: none of them is both's", refusal.Reason);
        Assert.Null(peer.ReadBody());
        Assert.Equal(1, one.Transport.Counters.Refused);
    }

    [Fact]
    public async Task A_hello_of_before_there_were_ranges_is_refused_with_its_version()
    {
        await using var one = new TestMember(1);
        one.Join(Two);
        using var peer = await RawPeer.Dial(one);
        var output = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(12);
        writer.Write((byte)FrameKind.Hello);
        writer.Write("RaftKit");
        writer.Write(3);
        // Its attempt must not be taken for a range's lowest version.
        for (var i = 3; i < 12; i++)
            writer.Write(1);
        writer.Flush();
        peer.WriteFrame(output.WrittenSpan.ToArray());
        Assert.Contains("the other side speaks 3..3", Assert.IsType<LinkFrame.Refusal>(peer.ReadLinkFrame()).Reason);
    }

    [Theory]
    [InlineData(3, 4, 3, 3, 3)]
    [InlineData(3, 3, 3, 4, 3)]
    [InlineData(4, 6, 3, 5, 5)]
    [InlineData(4, 4, 4, 4, 4)]
    public async Task Two_builds_link_in_the_highest_version_that_both_speak(
        int lowest, int highest, int otherLowest, int otherHighest, int used)
    {
        await using var one = new TestMember(1, TestMember.Options() with { Versions = new(lowest, highest) });
        await using var two = new TestMember(2, TestMember.Options() with { Versions = new(otherLowest, otherHighest) });
        one.Join(two);
        two.Join(one);
        await one.LinkUp();
        await two.LinkUp();
        await LinkTests.Logged(one, $"came up, protocol version {used}");
        await LinkTests.Logged(two, $"came up, protocol version {used}");
        await LinkTests.Exchange(one, two);
    }

    [Fact]
    public async Task Two_builds_without_a_version_in_common_refuse_each_other_and_both_say_both_ranges()
    {
        await using var one = new TestMember(1, TestMember.Options() with { Versions = new(3, 4) });
        await using var two = new TestMember(2, TestMember.Options() with { Versions = new(5, 7) });
        one.Join(two);
        two.Join(one);
        foreach (var member in new[] { one, two })
        {
            await LinkTests.Logged(member, "3..4");
            await LinkTests.Logged(member, "5..7");
            Assert.Empty(member.Inbox.All.OfType<NodeInput.LinkUp>());
        }
    }

    [Fact]
    public void What_a_later_version_adds_to_its_hello_is_passed_over()
    {
        var buffer = new FrameBuffer();
        var hello = new LinkFrame.Hello(new ProtocolRange(4, 5), 1, RawPeer.HelloOf(9));
        HandshakeCodec.Encode(hello, buffer);
        var body = buffer.Written[4..].ToArray();
        Assert.Equal(0x9d, body[0]);
        Assert.Equal(hello, HandshakeCodec.Decode((byte[])[0x9f, .. body[1..], 0xc2, 0x92, 1, 2]));
        Assert.Throws<MalformedFrameException>(() => HandshakeCodec.Decode((byte[])[0x9f, .. body[1..], 0xc2]));
        // Whether it asks to be added, as nothing.
        Assert.Throws<MalformedFrameException>(() => HandshakeCodec.Decode((byte[])[0x9e, .. body[1..], 0xc0]));
    }

    [Fact]
    public async Task Members_of_different_clusters_refuse_each_other_and_both_say_why()
    {
        await using var one = new TestMember(1);
        await using var two = new TestMember(2);
        two.Hello = two.Hello with { ClusterId = Samples.Cluster };
        one.Join(two);
        two.Join(one);
        await LinkTests.Logged(one, $"is of cluster {Samples.Cluster}");
        await LinkTests.Logged(two, $"is of cluster {Samples.Cluster}");
        Assert.Empty(one.Inbox.All.OfType<NodeInput.LinkUp>());
        Assert.Empty(two.Inbox.All.OfType<NodeInput.LinkUp>());
    }

    [Fact]
    public async Task A_member_that_is_not_formed_yet_links_with_any_cluster()
    {
        await using var one = new TestMember(1);
        await using var two = new TestMember(2);
        two.Hello = two.Hello with { ClusterId = Guid.Empty, Incarnation = 0 };
        one.Join(two);
        two.Join(one);
        Assert.Equal(Guid.Empty, (await one.LinkUp()).Hello.ClusterId);
        Assert.Equal(TestMember.Cluster, (await two.LinkUp()).Hello.ClusterId);
    }

    [Fact]
    public async Task An_endpoint_that_another_member_answers_at_is_told_and_not_linked()
    {
        await using var one = new TestMember(1);
        await using var three = new TestMember(3);
        three.Join((one.Id, "127.0.0.1:1"));
        one.Join((new MemberId(2), three.Endpoint), (three.Id, "127.0.0.1:1"));
        await LinkTests.Logged(one, "dialled member 2 and member 3 answered");
        Assert.DoesNotContain(one.Inbox.All, i => i is NodeInput.LinkUp { Hello.Member.Value: 2 });
    }

    [Fact]
    public async Task A_member_that_nobody_configured_is_refused_unless_unknown_members_are_accepted()
    {
        await using var strict = new TestMember(1);
        strict.Join(Two);
        using (var peer = await RawPeer.Dial(strict))
        {
            peer.Write(new LinkFrame.Hello(ProtocolRange.Spoken, 1, RawPeer.HelloOf(9)));
            var refusal = Assert.IsType<LinkFrame.Refusal>(peer.ReadLinkFrame());
            Assert.Equal(RefusalCode.Member, refusal.Code);
            Assert.Contains("knows no member 9", refusal.Reason);
        }

        await using var open = new TestMember(1, TestMember.Options() with { AcceptUnknownMembers = true });
        open.Join(Two);
        using var joiner = await RawPeer.Link(open, RawPeer.HelloOf(9));
        Assert.Equal(9, (await open.LinkUp()).Hello.Member.Value);
        open.Send(new MemberId(9), new PeerMessage.Channel(1, Samples.Bytes(3)));
        Assert.IsType<PeerMessage.Channel>(MessageCodec.Decode(joiner.ReadBody()));
    }

    [Fact]
    public async Task Who_asks_to_be_added_is_linked_where_that_is_allowed_and_only_while_it_asks()
    {
        var asks = RawPeer.HelloOf(9, boot: 0, cluster: Guid.Empty) with { Incarnation = 0, AsksToBeAdded = true, RunEnds = RunEnds.None };
        await using (var strict = new TestMember(1))
        {
            strict.Join(Two);
            using var refused = await RawPeer.Dial(strict);
            refused.Write(new LinkFrame.Hello(ProtocolRange.Spoken, 1, asks));
            Assert.Equal(
                "Member 9 asks to be added, and member 1 adds nobody by their own wish: AllowAutoJoin is false there. "
                + "Have an operator call IQuorumMembership.AddAsync(9, \"127.0.0.1:1\") on a member, or allow it there.",
                Assert.IsType<LinkFrame.Refusal>(refused.ReadLinkFrame()).Reason);
        }

        await using var open = new TestMember(1, TestMember.Options() with { AdmitsJoiners = true });
        open.Join(Two);
        using (var joiner = await RawPeer.Link(open, asks))
        {
            Assert.True((await open.LinkUp()).Hello.AsksToBeAdded);
            // Another change of the members, which does not name it either.
            open.Join(Two, (new MemberId(3), "127.0.0.1:1"));
            open.Send(new MemberId(9), new PeerMessage.Channel(1, Samples.Bytes(3)));
            Assert.IsType<PeerMessage.Channel>(MessageCodec.Decode(joiner.ReadBody()));
        }
        // Its asking made no member of it: it was added nowhere, and has a life from somewhere.
        foreach (var stranger in new[] { RawPeer.HelloOf(9), asks with { AsksToBeAdded = false }, asks with { Incarnation = 1 } })
        {
            using var peer = await RawPeer.Dial(open);
            peer.Write(new LinkFrame.Hello(ProtocolRange.Spoken, 2, stranger));
            Assert.Contains("knows no member 9", Assert.IsType<LinkFrame.Refusal>(peer.ReadLinkFrame()).Reason);
        }
    }

    [Fact]
    public void A_hello_is_the_bytes_that_it_was_and_who_asks_to_be_added_says_so_behind_them()
    {
        var hello = new PeerHello(Guid.Empty, new MemberId(9), 0, 0, "h:1", HostProcess.Unknown);
        var plain = Frame(hello);
        Assert.Equal(
            "9d01a7526166744b6974" + "040401" + "c41000000000000000000000000000000000" + "090000" + "a3683a31" + "94a0000000" + "90"
            + "9193a7726166746b69740101", Convert.ToHexStringLower(plain));
        var asking = Frame(hello with { AsksToBeAdded = true });
        Assert.Equal([0x9e, .. plain[1..], 0xc3], asking);
        Assert.True(Said(asking).AsksToBeAdded);
        Assert.False(Said(plain).AsksToBeAdded);
        // What a later version says behind it is passed over.
        Assert.True(Said([0x9f, .. asking[1..], 0x01]).AsksToBeAdded);

        static PeerHello Said(byte[] body) => Assert.IsType<LinkFrame.Hello>(HandshakeCodec.Decode(body)).Said!;

        static byte[] Frame(PeerHello hello)
        {
            var buffer = new FrameBuffer();
            HandshakeCodec.Encode(new LinkFrame.Hello(new ProtocolRange(4, 4), 1, hello), buffer);
            return buffer.Written[FrameBuffer.LengthBytes..].ToArray();
        }
    }

    [Fact]
    public async Task A_member_without_an_identity_links_with_whoever_is_of_a_cluster_and_with_no_other_stranger()
    {
        await using var empty = new TestMember(1);
        empty.Hello = empty.Hello with { ClusterId = Guid.Empty, Incarnation = 0, Boot = 0 };
        empty.Join(Two);
        using (var peer = await RawPeer.Dial(empty))
        {
            peer.Write(new LinkFrame.Hello(ProtocolRange.Spoken, 1, RawPeer.HelloOf(9, cluster: Guid.Empty)));
            Assert.Contains("knows no member 9", Assert.IsType<LinkFrame.Refusal>(peer.ReadLinkFrame()).Reason);
        }

        using var member = await RawPeer.Link(empty, RawPeer.HelloOf(8));
        Assert.Equal(TestMember.Cluster, (await empty.LinkUp()).Hello.ClusterId);
    }

    [Fact]
    public async Task A_second_member_with_our_own_id_is_refused()
    {
        await using var one = new TestMember(1);
        one.Join(Two);
        using var peer = await RawPeer.Dial(one);
        peer.Write(new LinkFrame.Hello(ProtocolRange.Spoken, 1, RawPeer.HelloOf(1)));
        Assert.Contains("Both sides are member 1", Assert.IsType<LinkFrame.Refusal>(peer.ReadLinkFrame()).Reason);
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\n\r\n")]
    [InlineData("\0\0\0\0")]
    [InlineData("\x02\0\0\0\x91\x03")]
    [InlineData("\x05\0\0\0\xff\xff\xff\xff\xff")]
    public async Task A_stranger_is_refused_and_the_member_serves_on(string bytes)
    {
        await using var one = new TestMember(1);
        one.Join(Two);
        using (var stranger = await RawPeer.Dial(one))
        {
            stranger.Write(bytes.Select(c => (byte)c).ToArray());
            Assert.Equal(RefusalCode.Malformed, Assert.IsType<LinkFrame.Refusal>(stranger.ReadLinkFrame()).Code);
            Assert.Null(stranger.ReadBody());
        }
        Assert.Equal(1, one.Transport.Counters.Malformed);
        using var member = await RawPeer.Link(one, RawPeer.HelloOf(2));
        await one.LinkUp();
    }

    [Fact]
    public async Task Who_connects_and_says_nothing_is_hung_up_on_after_the_deadline()
    {
        await using var one = new TestMember(1, TestMember.Options() with { HandshakeTimeout = TimeSpan.FromMilliseconds(100) });
        one.Join(Two);
        using var silent = await RawPeer.Dial(one);
        Assert.Null(silent.ReadBody());
        await LinkTests.Logged(one, "it took too long");
    }

    [Fact]
    public async Task More_handshakes_than_allowed_are_hung_up_on_at_once()
    {
        await using var one = new TestMember(1, TestMember.Options() with { MaxHandshakes = 1 });
        one.Join(Two);
        using var first = await RawPeer.Dial(one);
        using var second = await RawPeer.Dial(one);
        Assert.Null(second.ReadBody());
        await LinkTests.Logged(one, "1 others are under way");
        first.Write(new LinkFrame.Hello(ProtocolRange.Spoken, 1, RawPeer.HelloOf(2)));
        Assert.IsType<LinkFrame.Hello>(first.ReadLinkFrame());
    }

    [Fact]
    public async Task Handshakes_wait_until_the_member_knows_its_peers_and_itself()
    {
        await using var one = new TestMember(1);
        using var peer = await RawPeer.Dial(one);
        peer.Write(new LinkFrame.Hello(ProtocolRange.Spoken, 1, RawPeer.HelloOf(2)));
        one.Transport.SetHello(one.Hello);
        one.Transport.SetPeers(new Dictionary<MemberId, string> { [Two.Item1] = Two.Item2 });
        Assert.Equal(one.Hello, Assert.IsType<LinkFrame.Hello>(peer.ReadLinkFrame()).Said);
    }

    [Fact]
    public async Task Listening_off_loopback_in_plain_text_needs_AllowPlainText()
    {
        var open = new TcpTransportOptions { Listen = "*:0" };
        await using (var refused = Transport(open))
        {
            var message = Assert.Throws<InvalidOperationException>(refused.Start).Message;
            Assert.Contains("AllowPlainText", message);
            Assert.Contains("*:0", message);
        }
        await using var allowed = Transport(open with { AllowPlainText = true });
        allowed.Start();
        Assert.StartsWith("[::]:", allowed.Endpoint);
        await using var local = Transport(new TcpTransportOptions { Listen = "[::1]:0" });
        local.Start();
    }

    [Fact]
    public async Task A_port_in_use_says_so_at_start()
    {
        await using var one = new TestMember(1);
        await using var second = Transport(TestMember.Options(LinkTests.Port(one)));
        var refusal = Assert.Throws<SocketException>(second.Start);
        Assert.Equal(SocketError.AddressAlreadyInUse, refusal.SocketErrorCode);
        Assert.Matches(@"127\.0\.0\.1:[0-9]+ \(Listen, or else .* Members\), .* give this member another port\.", refusal.Message);
    }

    [Theory]
    [InlineData("host")]
    [InlineData(":7000")]
    [InlineData("host:")]
    [InlineData("host:65536")]
    [InlineData("host:-1")]
    [InlineData("::1:7000")]
    public void An_address_without_host_and_port_is_refused(string text) =>
        Assert.Contains(text, Assert.Throws<FormatException>(() => NetworkAddress.Parse(text)).Message);

    [Fact]
    public void An_address_reads_as_it_is_written()
    {
        Assert.Equal(new NetworkAddress("host", 7000), NetworkAddress.Parse("host:7000"));
        Assert.Equal("[::1]:7000", NetworkAddress.Parse("[::1]:7000").ToString());
        Assert.Equal(new IPEndPoint(IPAddress.IPv6Loopback, 7000), NetworkAddress.Parse("[::1]:7000").ToEndPoint());
    }

    [Fact]
    public void The_links_own_frames_survive_the_wire_and_every_mutation_is_refused_as_malformed()
    {
        var random = new Random(77);
        LinkFrame[] frames =
        [
            new LinkFrame.Hello(ProtocolRange.Spoken, long.MaxValue, RawPeer.HelloOf(255, long.MaxValue)),
            new LinkFrame.Refusal(RefusalCode.Unwanted, "because\nof that"), new LinkFrame.Goodbye(new string('x', 2000)),
        ];
        foreach (var frame in frames)
        {
            var buffer = new FrameBuffer();
            HandshakeCodec.Encode(frame, buffer);
            var body = buffer.Written[4..].ToArray();
            if (frame is LinkFrame.Hello)
                Assert.Equal(frame, HandshakeCodec.Decode(body));
            for (var length = 0; length < body.Length; length++)
                Assert.Throws<MalformedFrameException>(() => HandshakeCodec.Decode(body.AsMemory(0, length)));
            for (var round = 0; round < 5000; round++)
            {
                try
                {
                    Assert.NotNull(HandshakeCodec.Decode(MessageCodecTests.Mutate(body, random)));
                }
                catch (MalformedFrameException)
                {
                    // As it should be, unless the mutation is a frame still.
                }
            }
        }
        Assert.Equal("because of that", Assert.IsType<LinkFrame.Refusal>(Decoded(frames[1])).Reason);
        Assert.Equal(500, Assert.IsType<LinkFrame.Goodbye>(Decoded(frames[2])).Reason.Length);
    }

    private static LinkFrame Decoded(LinkFrame frame)
    {
        var buffer = new FrameBuffer();
        HandshakeCodec.Encode(frame, buffer);
        return HandshakeCodec.Decode(buffer.Written[4..]);
    }

    private static TcpTransport Transport(TcpTransportOptions options) =>
        new(options, new RecordingInbox(), TimeProvider.System, new RecordingLogger());
}
