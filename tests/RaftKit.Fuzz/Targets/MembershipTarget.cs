using RaftKit.Consensus;
using RaftKit.Node.Tests.Transport;

namespace RaftKit.Fuzz.Targets;

/// <summary>Memberships, as they stand in entries and snapshots.</summary>
internal sealed class MembershipTarget : FuzzTarget
{
    private readonly byte[][] _memberships =
    [
        MembershipCodec.Encode(Membership.Empty),
        MembershipCodec.Encode(Samples.Joint),
        MembershipCodec.Encode(
            new Membership(Enumerable.Range(1, 255).Select(id => new MemberIncarnation(new MemberId(id), id * 300)), [], [])),
    ];

    private byte[] _input = [];

    public override string Name => "memberships";

    public override string Describe() => Convert.ToHexString(_input);

    public override long InputBytes => _input.Length;

    public override void Draw(Random random)
    {
        var bytes = _memberships[random.Next(_memberships.Length)];
        _input = random.Next(8) == 0 ? bytes : Mutator.Mutate(bytes, random);
    }

    public override string? Read()
    {
        if (!MembershipCodec.TryDecode(_input, out var membership))
            return "not a membership";
        if (!MembershipCodec.TryDecode(MembershipCodec.Encode(membership), out var again) || !again.Equals(membership))
            throw new WrongAnswerException($"{membership} is read back as {again}");
        Quorum.Reached(membership, new Everybody());
        return null;
    }

    private readonly struct Everybody : IMemberValues
    {
        public long Of(MemberId member) => member.Value;
    }
}
