using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Transport;

public sealed class CrossingTests : IDisposable
{
    private readonly List<RawPeer> _dialled = [];

    /// <summary>
    /// Both sides dial within microseconds of each other: the race that the tie-break is for, often enough to meet each interleaving.
    /// </summary>
    [Fact]
    public async Task Dials_that_cross_leave_one_link_that_stays()
    {
        // A thread that does not run for half a second is no black hole: else a crowded machine would have a link give way to another one.
        var options = TestMember.Options() with { HandshakeTimeout = TimeSpan.FromHours(10), CrossedFor = TimeSpan.FromHours(1) };
        for (var round = 0; round < 150; round++)
        {
            await using var one = new TestMember(1, options);
            await using var two = new TestMember(2, options);
            await Task.WhenAll(Task.Run(() => one.Join(two)), Task.Run(() => two.Join(one)));
            await one.LinkUp();
            await two.LinkUp();
            await LinkTests.Exchange(one, two);
            Assert.True(
                one.Inbox.All.OfType<NodeInput.LinkUp>().Count() == 1 && two.Inbox.All.OfType<NodeInput.LinkUp>().Count() == 1,
                $"Round {round}:\n1: {string.Join("\n   ", one.Logger.Lines)}\n2: {string.Join("\n   ", two.Logger.Lines)}");
        }
    }

    // Chaos: a dial that connected and then went into a black hole kept the two apart for as long as a handshake may take, longer than
    // sessions last.
    [Fact]
    public async Task A_dial_whose_hello_is_never_answered_keeps_the_other_sides_away_for_a_moment_only()
    {
        using var hole = new TcpListener(IPAddress.Loopback, 0);
        hole.Start();
        var time = new SkippedTime();
        var options = TestMember.Options() with { HandshakeTimeout = TimeSpan.FromHours(10), CrossedFor = TimeSpan.FromHours(1) };
        await using var one = new TestMember(1, options, time);
        one.Join((new MemberId(2), hole.LocalEndpoint.ToString()!));
        using var swallowed = await hole.AcceptSocketAsync();
        await swallowed.ReceiveAsync(new byte[1]);

        for (var attempt = 1; attempt <= 3; attempt++)
            Assert.Equal(RefusalCode.Crossed, Assert.IsType<LinkFrame.Refusal>(await DialAsync(attempt)).Code);

        time.Skip(options.CrossedFor);
        Assert.IsType<LinkFrame.Hello>(await DialAsync(4));
        await one.LinkUp();

        async Task<LinkFrame> DialAsync(int attempt)
        {
            var two = await RawPeer.Dial(one);
            _dialled.Add(two);
            two.Write(new LinkFrame.Hello(ProtocolRange.Spoken, attempt, RawPeer.HelloOf(2)));
            return two.ReadLinkFrame();
        }
    }

    public void Dispose() => _dialled.ForEach(static peer => peer.Dispose());

    /// <summary>Timers run as ever; what the clock shows may jump.</summary>
    private sealed class SkippedTime : TimeProvider
    {
        private long _skipped;

        public void Skip(TimeSpan time) => Interlocked.Add(ref _skipped, (long)(time.TotalSeconds * TimestampFrequency));

        public override long GetTimestamp() => base.GetTimestamp() + Interlocked.Read(ref _skipped);
    }

    // Chaos: both sides' dials went into black holes, and the two were apart for as long as a handshake may take.
    [Fact]
    public async Task A_dial_that_is_not_answered_soon_is_made_again_long_before_a_handshake_may_end()
    {
        using var hole = new TcpListener(IPAddress.Loopback, 0);
        hole.Start();
        await using var one = new TestMember(
            1, TestMember.Options() with { HandshakeTimeout = TimeSpan.FromMinutes(10), CrossedFor = TimeSpan.FromMilliseconds(50) });
        one.Join((new MemberId(2), hole.LocalEndpoint.ToString()!));

        var waited = new List<TimeSpan>();
        using var limit = new CancellationTokenSource(TimeSpan.FromMinutes(1));
        for (var dials = 0; dials < 4; dials++)
        {
            using var swallowed = await hole.AcceptSocketAsync(limit.Token);
            var clock = Stopwatch.StartNew();
            while (await swallowed.ReceiveAsync(new byte[4096], limit.Token) > 0)
            {
            }
            waited.Add(clock.Elapsed);
        }

        // A slow peer gets more time with each: the fourth dial waits for 400 ms.
        Assert.True(waited[3] > TimeSpan.FromMilliseconds(300), string.Join(' ', waited));
    }
}
