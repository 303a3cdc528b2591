using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Proposals;

public sealed class PendingProposalsTests
{
    private static readonly byte[] Machine = Envelope.Name("m");

    private readonly PendingProposals _pending = new(maxCount: 8, maxBytes: 10_000) { Proposer = new ProposerId(new MemberId(2), 1, 3) };

    [Fact]
    public void Proposals_are_sent_in_sequence_and_once()
    {
        Add(3);
        var (first, envelopes) = _pending.TakeUnsent(2, 1 << 20);
        Assert.Equal(1, first);
        Assert.Equal([1, 2], envelopes.Select(Sequence));
        (first, envelopes) = _pending.TakeUnsent(2, 1 << 20);
        Assert.Equal(3, first);
        Assert.Equal([3], envelopes.Select(Sequence));
        Assert.False(_pending.HasUnsent);
    }

    [Fact]
    public void After_a_change_of_leader_everything_without_a_result_is_sent_again()
    {
        Add(4);
        _pending.TakeUnsent(10, 1 << 20);
        Complete(1);
        _pending.Resend();
        Assert.Equal([2, 3, 4], _pending.TakeUnsent(10, 1 << 20).Envelopes.Select(Sequence));
    }

    [Fact]
    public void A_leader_that_misses_one_gets_everything_from_there()
    {
        Add(4);
        _pending.TakeUnsent(10, 1 << 20);
        _pending.ResendFrom(3);
        Assert.Equal([3, 4], _pending.TakeUnsent(10, 1 << 20).Envelopes.Select(Sequence));
    }

    [Fact]
    public void A_full_queue_refuses_as_surely_not_applied_and_loses_nothing()
    {
        var callbacks = Add(8);
        var refused = new Callback();
        Assert.False(_pending.TryAdd(Machine, new byte[1], refused));
        Assert.Equal(ProposalFailure.NotApplied, refused.Failure);
        Assert.Equal(8, _pending.Count);
        Assert.All(callbacks, c => Assert.Null(c.Failure));
    }

    [Fact]
    public void The_queue_is_bounded_in_bytes_too()
    {
        Assert.True(_pending.TryAdd(Machine, new byte[9_000], null));
        var refused = new Callback();
        Assert.False(_pending.TryAdd(Machine, new byte[2_000], refused));
        Assert.Contains("10000", refused.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void When_the_node_ends_only_what_was_sent_is_unknown()
    {
        var callbacks = Add(3);
        _pending.TakeUnsent(1, 1 << 20);
        _pending.NoteSent();
        _pending.Resend();
        _pending.FailAll("over");
        Assert.Equal(
            [ProposalFailure.Unknown, ProposalFailure.NotApplied, ProposalFailure.NotApplied], callbacks.Select(c => c.Failure!.Value));
    }

    [Fact]
    public void The_floor_names_the_results_that_were_seen()
    {
        Add(3);
        Complete(1);
        Complete(2);
        Add(1);
        var envelope = _pending.TakeUnsent(10, 1 << 20).Envelopes[^1];
        Assert.Equal(2, Decode(envelope).Floor);
    }

    [Fact]
    public void Results_come_in_sequence_or_the_node_stops()
    {
        Add(2);
        Assert.Throws<InvariantBrokenException>(() => Complete(2));
    }

    [Fact]
    public void A_command_that_rotted_on_its_way_is_not_applied()
    {
        var payload = Envelope.Encode(_pending.Proposer, 1, 0, Machine, new byte[] { 1, 2, 3 });
        payload[^1] ^= 1;
        Assert.Throws<InvariantBrokenException>(() => Decode(payload));
    }

    private static Envelope Decode(ReadOnlyMemory<byte> payload) =>
        Envelope.Decode(new Entry(new Term(1), new LogIndex(1), EntryKind.Command, 0, payload));

    private static long Sequence(ReadOnlyMemory<byte> payload) => Decode(payload).Sequence;

    private void Complete(long sequence) =>
        _pending.CompleteFirst(sequence, new CommandContext(new LogIndex(sequence), new Term(1), 0, sequence), default);

    private List<Callback> Add(int count)
    {
        var callbacks = new List<Callback>();
        for (var i = 0; i < count; i++)
        {
            callbacks.Add(new Callback());
            Assert.True(_pending.TryAdd(Machine, new byte[] { (byte)i }, callbacks[^1]));
        }
        return callbacks;
    }

    private sealed class Callback : IProposalCallback
    {
        public ProposalFailure? Failure { get; private set; }

        public string Reason { get; private set; } = "";

        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result)
        {
        }

        public void Failed(ProposalFailure failure, string reason) => (Failure, Reason) = (failure, reason);
    }
}
