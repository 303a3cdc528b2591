using RaftKit.Consensus.Tests.Harness;

namespace RaftKit.Consensus.Tests;

public sealed class MembershipCodecTests
{
    [Fact]
    public void A_membership_comes_back_as_it_was()
    {
        var random = new Random(3);
        for (int i = 0; i < 200; i++)
        {
            var membership = new Membership(Lives(random), Lives(random), Lives(random));
            byte[] bytes = MembershipCodec.Encode(membership);
            Assert.Equal(membership, MembershipCodec.Decode(bytes));
            Assert.Equal(bytes, MembershipCodec.Encode(MembershipCodec.Decode(bytes)));
        }
    }

    [Fact]
    public void The_bytes_are_three_MessagePack_arrays_of_numbers()
    {
        // In the log's format: never change. Voters 1 and 2, learner 200 in its 300th life, nobody outgoing.
        var membership = new Membership([new(new MemberId(2), 1), new(new MemberId(1), 1)], [new(new MemberId(200), 300)], []);
        Assert.Equal("939401010201" + "92CCC8CD012C" + "90", Convert.ToHexString(MembershipCodec.Encode(membership)));
    }

    [Fact]
    public void Bytes_that_are_cut_or_changed_never_throw_and_never_read_beyond()
    {
        byte[] good = MembershipCodec.Encode(TestCluster.Config([1, 2, 3, 200], [5], [6, 7]));
        for (int length = 0; length < good.Length; length++)
            Assert.False(MembershipCodec.TryDecode(good.AsSpan(0, length), out _));
        Assert.False(MembershipCodec.TryDecode([.. good, 0], out _));
        for (int bit = 0; bit < good.Length * 8; bit++)
        {
            byte[] bad = [.. good];
            bad[bit / 8] ^= (byte)(1 << (bit % 8));
            if (MembershipCodec.TryDecode(bad, out var other))
                Assert.All(other.All, m => Assert.InRange(m.Value, 1, 255));
        }
        Assert.Throws<FormatException>(() => MembershipCodec.Decode([0xdd, 0xff, 0xff, 0xff, 0xff]));
    }

    private static IEnumerable<MemberIncarnation> Lives(Random random) =>
        Enumerable.Range(1, 255).Where(_ => random.Next(20) == 0).Select(
            id => new MemberIncarnation(new MemberId(id), 1 + random.Next(100_000)));
}
