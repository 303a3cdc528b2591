using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Levels;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Node.Tests.Loop;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Proposals;

/// <summary>
/// What a leader does with a forwarded proposal whose envelope is whole and whose command is not: it must neither throw out of its turn,
/// nor let it into the log, nor leave it with its proposer.
/// </summary>
public sealed class ForwardedProposalsTests : IDisposable
{
    private static readonly ProposerId Proposer = new(LoopHarness.Other, 1, 1);

    private readonly LoopHarness _harness = new LoopHarness([new RegisterMachine()]).Lead();

    [Theory, MemberData(nameof(Unfit))]
    public void A_command_of_another_shape_is_refused_in_the_log_and_what_is_behind_it_goes_on(string what, string machine, byte[] command)
    {
        var last = _harness.Core.LastIndex;
        Forward(1, machine, command);
        Forward(2, "register", new byte[8]);

        Assert.Null(_harness.Loop.Failure);
        Assert.True(_harness.Core.LastIndex == last.Next.Next, what);
        Assert.Empty(Refusals);
        Assert.Single(_harness.Logger.Lines, l => l.Contains("proposes command 1 to state machine", StringComparison.Ordinal));
        _harness.Acknowledge();
        Assert.Equal(last.Next.Next, _harness.Loop.Status.Applied);
        var table = _harness.Loop.Applier.Proposers;
        Assert.True(table.TryGetResult(Proposer, 1, out var refused, out var reason), what);
        Assert.True(refused.IsRefusal);
        Assert.StartsWith("Leader 1 ", System.Text.Encoding.UTF8.GetString(reason!), StringComparison.Ordinal);
        Assert.True(table.TryGetResult(Proposer, 2, out var applied, out _) && !applied.IsRefusal, what);
        // A late copy is known.
        Forward(1, machine, command);
        Assert.Equal(last.Next.Next, _harness.Core.LastIndex);
    }

    [Fact]
    public void Bytes_that_make_no_sense_are_asked_for_again_once_and_then_refused_in_the_log()
    {
        var last = _harness.Core.LastIndex;
        var damaged = Envelope.Encode(Proposer, 1, 0, Envelope.Name("register"), new byte[8]);
        damaged[^1] ^= 1;
        _harness.Hear(new PeerMessage.ForwardProposals(Proposer, 1, [damaged]));
        Assert.Equal((1L, ForwardRefusal.Busy), Assert.Single(Refusals) is var refusal ? (refusal.NextSequence, refusal.Refusal) : default);
        Assert.Equal(last, _harness.Core.LastIndex);

        _harness.Hear(new PeerMessage.ForwardProposals(Proposer, 1, [damaged]));

        _harness.Acknowledge();
        Assert.Equal(last.Next, _harness.Loop.Status.Applied);
        Assert.True(_harness.Loop.Applier.Proposers.TryGetResult(Proposer, 1, out var refused, out _) && refused.IsRefusal);
    }

    [Fact]
    public void Bytes_that_were_damaged_on_the_way_only_are_taken_in_when_they_come_again()
    {
        var whole = Envelope.Encode(Proposer, 1, 0, Envelope.Name("register"), new byte[8]);
        byte[] damaged = [.. whole[..^1], (byte)(whole[^1] ^ 1)];
        _harness.Hear(new PeerMessage.ForwardProposals(Proposer, 1, [damaged]));
        _harness.Hear(new PeerMessage.ForwardProposals(Proposer, 1, [whole]));
        _harness.Acknowledge();
        Assert.True(_harness.Loop.Applier.Proposers.TryGetResult(Proposer, 1, out var applied, out _) && !applied.IsRefusal);
    }

    [Theory, MemberData(nameof(Fit))]
    public void A_command_that_every_member_can_apply_is_taken_in(string what, string machine, byte[] command)
    {
        var last = _harness.Core.LastIndex;
        Forward(1, machine, command);
        Assert.True(_harness.Core.LastIndex == last.Next, what);
        _harness.Acknowledge();
        Assert.Null(_harness.Loop.Failure);
        Assert.True(_harness.Loop.Status.Applied >= last.Next, what);
    }

    public static TheoryData<string, string, byte[]> Unfit => new()
    {
        { "a level without its number", Applier.NodeSection, Bytes("level", "orders") },
        { "a level that is a text", Applier.NodeSection, Bytes("level", "orders", "two", null) },
        { "a level with more behind it", Applier.NodeSection, Bytes("level", "orders", 2, null, 5) },
        { "a level of no feature that there can be", Applier.NodeSection, Bytes("level", "or\nders", 2, null) },
        { "a level that cannot be", Applier.NodeSection, Bytes("level", "orders", 0, null) },
        { "a level that brings along what only the leader knows", Applier.NodeSection,
            new FinalizeLevel("orders", 2, [new(new(new(1), 1), new(1, 2))]).Encode().ToArray() },
        { "a kind of a newer build", Applier.NodeSection, Bytes("quota", 5) },
        { "an observer without a number", Applier.NodeSection, Bytes("observer") },
        { "an observer with a member's number", Applier.NodeSection, Bytes("observer", 7) },
        { "nothing", Applier.NodeSection, [] },
        { "a cluster's id", Applier.NodeSection, Bytes(Guid.NewGuid().ToByteArray()) },
        { "an epoch break", Applier.NodeSection, Bytes(1) },
        { "a change of the membership that is cut short", Applier.NodeSection,
            new MembershipChange.Remove(new Dictionary<MemberId, string>(), new(2)).Encode().ToArray()[..^1] },
        { "a change of a kind that is not known", Applier.NodeSection, [0x93, 9, 0x90, 0xc4, 0] },
        { "a member at no address", Applier.NodeSection,
            new MembershipChange.Add(new Dictionary<MemberId, string>(), new(3), "nowhere", true).Encode().ToArray() },
        { "a member at port 0", Applier.NodeSection,
            new MembershipChange.Add(new Dictionary<MemberId, string>(), new(3), "10.0.0.3:0", true).Encode().ToArray() },
        { "a member at every address", Applier.NodeSection,
            new MembershipChange.Replace(new Dictionary<MemberId, string>(), new(2), new(3), "*:3").Encode().ToArray() },
        { "a member with no member's number", Applier.NodeSection,
            new MembershipChange.Add(new Dictionary<MemberId, string>(), new(70_000), "127.0.0.1:3", true).Encode().ToArray() },
        { "an observer that asks to be added", Applier.NodeSection,
            new MembershipChange.AddItself(new Dictionary<MemberId, string>(), new(256), "127.0.0.1:3", FeatureRanges.Own).Encode().ToArray() },
        { "one that asks to be added and supports what cannot be", Applier.NodeSection, new MembershipChange.AddItself(
            new Dictionary<MemberId, string>(), new(3), "127.0.0.1:3", new FeatureRanges([new("orders", new FeatureRange(3, 2))])).Encode().ToArray() },
        { "a machine that the leader lacks", "newer", [1] },
        { "a refusal, which only leaders write", Applier.NodeSection, Bytes("refused", "no") },
    };

    public static TheoryData<string, string, byte[]> Fit => new()
    {
        { "a level", Applier.NodeSection, new FinalizeLevel("orders", 2).Encode().ToArray() },
        { "an observer", Applier.NodeSection, Applier.MintObserverLife(new MemberId(256)).ToArray() },
        { "a new member", Applier.NodeSection, new MembershipChange.Add(
            new Dictionary<MemberId, string> { [new(1)] = "127.0.0.1:1", [new(2)] = "" }, new(3), "127.0.0.1:3", true).Encode().ToArray() },
        { "a new member beside one of a quorum of one", Applier.NodeSection, new MembershipChange.Add(
            new Dictionary<MemberId, string> { [new(1)] = "127.0.0.1:0" }, new(3), "host_3:3", true).Encode().ToArray() },
        { "one that asks to be added", Applier.NodeSection, new MembershipChange.AddItself(
            new Dictionary<MemberId, string>(), new(3), "127.0.0.1:3", FeatureRanges.Own).Encode().ToArray() },
        { "a member less", Applier.NodeSection,
            new MembershipChange.Remove(new Dictionary<MemberId, string>(), new(9)).Encode().ToArray() },
        { "a replacement", Applier.NodeSection,
            new MembershipChange.Replace(new Dictionary<MemberId, string>(), new(2), new(3), "[::1]:3").Encode().ToArray() },
        { "a set", Applier.NodeSection, new MembershipChange.Set(
            new Dictionary<MemberId, string>(), new Dictionary<MemberId, string> { [new(1)] = "a:1" }).Encode().ToArray() },
    };

    private List<PeerMessage.ForwardRefused> Refusals => [.. _harness.Sent.Select(s => s.Message).OfType<PeerMessage.ForwardRefused>()];

    public void Dispose() => _harness.Dispose();

    private static byte[] Bytes(params object?[] values)
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(output);
        foreach (var value in values)
        {
            switch (value)
            {
                case null: writer.WriteNil(); break;
                case int number: writer.Write(number); break;
                case string text: writer.Write(text); break;
                case byte[] bytes: writer.Write(bytes.AsSpan()); break;
            }
        }
        writer.Flush();
        return output.WrittenSpan.ToArray();
    }

    private void Forward(long sequence, string machine, byte[] command) =>
        _harness.Hear(
            new PeerMessage.ForwardProposals(
                Proposer, sequence, [Envelope.Encode(Proposer, sequence, 0, Envelope.Name(machine), command)]));
}
