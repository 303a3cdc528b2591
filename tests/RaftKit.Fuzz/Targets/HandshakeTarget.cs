using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Tests.Transport;
using RaftKit.Node.Transport;

namespace RaftKit.Fuzz.Targets;

/// <summary>What strangers may send: hellos, refusals and goodbyes.</summary>
internal sealed class HandshakeTarget : FuzzTarget
{
    private readonly byte[][] _frames =
    [
        Encode(new LinkFrame.Hello(ProtocolRange.Spoken, 7, new PeerHello(
            Samples.Cluster, new MemberId(3), 2, 9, "10.0.0.3:7420", new HostProcess("a machine's boot", 4026531836, 4242, 123456))
        {
            RunEnds = new RunEnds([new RunEnd(7, 100), new RunEnd(8, 70_000)]),
            Features = new FeatureRanges([new("orders", new FeatureRange(1, 2)), new("a.b-c_d", new FeatureRange(300, 70_000))]),
        })),
        Encode(new LinkFrame.Refusal(RefusalCode.Cluster, "another cluster")),
        Encode(new LinkFrame.Goodbye("stopping")),
    ];

    private byte[] _input = [];

    public override string Name => "handshakes";

    public override string Describe() => Convert.ToHexString(_input);

    public override long InputBytes => _input.Length;

    public override void Draw(Random random)
    {
        var frame = _frames[random.Next(_frames.Length)];
        _input = random.Next(8) == 0 ? frame : Mutator.Mutate(frame, random);
    }

    public override string? Read()
    {
        try
        {
            var read = HandshakeCodec.Decode(_input);
            var reason = read switch { LinkFrame.Refusal refusal => refusal.Reason, LinkFrame.Goodbye goodbye => goodbye.Reason, _ => "" };
            return reason.Length <= 500 && !reason.Any(char.IsControl) ? null
                : throw new WrongAnswerException($"a reason of {reason.Length} characters goes to our log: {reason}");
        }
        catch (MalformedFrameException refused)
        {
            return refused.Message;
        }
    }

    private static byte[] Encode(LinkFrame frame)
    {
        var buffer = new FrameBuffer();
        HandshakeCodec.Encode(frame, buffer);
        return buffer.Written.Span[4..].ToArray();
    }
}
