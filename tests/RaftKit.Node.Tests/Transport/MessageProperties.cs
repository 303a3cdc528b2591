using FsCheck;
using FsCheck.Fluent;
using RaftKit.Consensus;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Tests.Transport;

/// <summary>The codec, for any values: what is written is read back, and is written the same way again.</summary>
public sealed class MessageProperties
{
    private static readonly Config Fixed = Config.QuickThrowOnFailure.WithMaxTest(400).WithReplay(2026, 3);

    // A number of every width on the wire, and the ones beside them.
    private static readonly Gen<long> Number =
        from bits in Gen.Choose(0, 62)
        from offset in Gen.Choose(-1, 1)
        select Math.Max(0, (1L << bits) + offset);

    private static readonly Gen<MemberId> Member = Gen.Choose(1, MemberId.GreatestObserver).Select(id => new MemberId(id));

    private static readonly Gen<byte[]> Payload =
        from length in Gen.OneOf(Gen.Choose(0, 40), Gen.Choose(0, 40), Gen.Elements(40, 255, 256, 300, 65_535, 65_536))
        select Samples.Bytes(length, (byte)length);

    private static readonly Gen<Entry[]> Entries =
        from count in Gen.Choose(0, 6)
        from terms in Number.ArrayOf(6)
        from stamps in Number.ArrayOf(6)
        from payloads in Payload.ArrayOf(6)
        from kinds in Gen.Elements(EntryKind.NoOp, EntryKind.Command, EntryKind.Membership).ArrayOf(6)
        select Enumerable.Range(0, count).Select(
            i => new Entry(new Term(terms[i]), new LogIndex(1 + i), kinds[i], stamps[i], payloads[i])).ToArray();

    [Fact]
    public void Entries_and_their_place_come_back_as_they_were_sent() =>
        Prop.ForAll(
            (from head in Number.ArrayOf(4) from @from in Member from to in Member select (head, @from, to)).ToArbitrary(),
            Entries.ToArbitrary(),
            (head, entries) =>
            {
                var previous = new LogIndex(Math.Min(head.head[1], long.MaxValue - 10));
                var sent = new AppendRequest
                {
                    From = head.@from, To = head.to, Term = new Term(head.head[0]), PreviousIndex = previous,
                    PreviousTerm = new Term(head.head[2]),
                    Commit = new LogIndex(head.head[3]), Entries = [.. entries.Select((e, i) => e with { Index = previous + 1 + i })],
                };
                var bytes = MessageCodecTests.Encode(new PeerMessage.Raft(sent, head.head[3]));
                var read = (PeerMessage.Raft)MessageCodec.Decode(bytes);
                var got = (AppendRequest)read.Message;
                return read.DurableBatch == head.head[3] && (got.From, got.To, got.Term, got.PreviousIndex, got.PreviousTerm, got.Commit)
                        == (sent.From, sent.To, sent.Term, sent.PreviousIndex, sent.PreviousTerm, sent.Commit)
                    && got.Entries.Count == sent.Entries.Count
                        && got.Entries.Zip(sent.Entries).All(pair => Log.LogModel.Same(pair.First, pair.Second))
                    && MessageCodecTests.Encode(read).AsSpan().SequenceEqual(bytes);
            }).Check(Fixed);

    [Fact]
    public void Answers_of_every_kind_come_back_as_they_were_sent() =>
        Prop.ForAll(
            Number.ArrayOf(4).ToArbitrary(), Member.ToArbitrary(), Gen.Elements(true, false).ToArbitrary(),
            (numbers, member, flag) =>
            {
                var term = new Term(numbers[0]);
                var index = new LogIndex(numbers[1]);
                Message[] messages =
                [
                    new VoteRequest { From = member, To = new(1), Term = term, PreVote = flag, LastIndex = index,
                        LastTerm = new Term(numbers[2]), Transfer = !flag },
                    new VoteReply { From = member, To = new(1), Term = term, PreVote = flag, Granted = !flag },
                    new AppendReply { From = member, To = new(1), Term = term, Accepted = flag, Index = index,
                        HintIndex = new LogIndex(numbers[2]), HintTerm = new Term(numbers[3]), HasRot = !flag },
                    new Heartbeat { From = member, To = new(1), Term = term, Commit = index, ReadToken = (ulong)numbers[2] << 1 },
                    new SnapshotReply { From = member, To = new(1), Term = term, SnapshotIndex = index, NextOffset = numbers[2],
                        Installed = flag },
                ];
                return messages.All(message =>
                {
                    var bytes = MessageCodecTests.Encode(new PeerMessage.Raft(message, numbers[3]));
                    var read = MessageCodec.Decode(bytes);
                    return MessageCodecTests.Encode(read).AsSpan().SequenceEqual(bytes)
                        && ((PeerMessage.Raft)read).Message.GetType() == message.GetType()
                        && ((PeerMessage.Raft)read).Message.Term == term && ((PeerMessage.Raft)read).Message.From == member;
                });
            }).Check(Fixed);

    [Fact]
    public void Proposals_come_back_as_they_were_sent() =>
        Prop.ForAll(
            Number.ArrayOf(2).ToArbitrary(), Member.ToArbitrary(), Payload.ListOf(3).ToArbitrary(),
            (numbers, member, payloads) =>
            {
                var first = Math.Min(numbers[0], long.MaxValue - 10);
                var sent = new PeerMessage.ForwardProposals(
                    new ProposerId(member, 1, numbers[1]), first, [.. payloads.Select(p => (ReadOnlyMemory<byte>)p)]);
                var read = (PeerMessage.ForwardProposals)MessageCodec.Decode(MessageCodecTests.Encode(sent));
                return read.Proposer == sent.Proposer && read.FirstSequence == first
                    && read.Envelopes.Count == payloads.Count
                        && read.Envelopes.Zip(payloads).All(pair => pair.First.Span.SequenceEqual(pair.Second));
            }).Check(Fixed);
}
