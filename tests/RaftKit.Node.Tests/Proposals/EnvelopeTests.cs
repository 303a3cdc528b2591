using RaftKit.Consensus;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Proposals;

/// <summary>What a leader asks of a forwarded proposal before it takes it into the log.</summary>
public sealed class EnvelopeTests
{
    private static readonly ProposerId Proposer = new(new MemberId(2), 1, 3);
    private static readonly byte[] Command = [1, 2, 3, 4, 5, 6, 7, 8];

    private readonly byte[] _envelope = Envelope.Encode(Proposer, 9, 4, Envelope.Name("znodes"), Command);

    [Fact]
    public void What_the_proposer_made_as_that_number_is_sound()
    {
        Assert.True(Envelope.IsSound(_envelope, Proposer, 9));
        Assert.False(Envelope.IsSound(_envelope, Proposer, 10));
        Assert.False(Envelope.IsSound(_envelope, Proposer with { Boot = 4 }, 9));
        Assert.False(Envelope.IsSound(Envelope.Encode(Proposer, 9, 9, Envelope.Name("znodes"), Command), Proposer, 9));
    }

    [Fact]
    public void Cut_anywhere_or_with_more_behind_it_is_not_sound()
    {
        for (var length = 0; length < _envelope.Length; length++)
            Assert.False(Envelope.IsSound(_envelope.AsMemory(0, length), Proposer, 9), $"the first {length} bytes passed");
        Assert.False(Envelope.IsSound((byte[])[.. _envelope, 0], Proposer, 9));
    }

    [Fact]
    public void A_flipped_bit_of_the_command_is_not_sound()
    {
        for (var bit = 0; bit < Command.Length * 8; bit++)
        {
            var damaged = (byte[])_envelope.Clone();
            damaged[damaged.Length - Command.Length + (bit / 8)] ^= (byte)(1 << (bit % 8));
            Assert.False(Envelope.IsSound(damaged, Proposer, 9), $"flipped bit {bit} passed");
        }
    }
}
