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

    private static readonly Gen<bool> Flag = Gen.Elements(true, false);

    private static readonly Gen<string> Text = Gen.Elements("", "10.0.0.2:7420", "[::1]:7001", "später – ask again", new string('x', 300));

    private static readonly Gen<Guid> Cluster = Gen.Choose(0, 255).ArrayOf(16).Select(b => new Guid([.. b.Select(x => (byte)x)]));

    // Each of some members is nobody, votes, learns, or voted before.
    private static readonly Gen<Membership> AnyMembership =
        from places in Gen.Choose(0, 3).ArrayOf(8)
        from ids in Gen.Choose(0, 31).ArrayOf(8)
        from incarnations in Gen.Choose(1, int.MaxValue).ArrayOf(8)
        let lives = Enumerable.Range(0, 8).Select(
            i => (Place: places[i], Life: new MemberIncarnation(new MemberId((i * 31) + 1 + (ids[i] % 31)), incarnations[i]))).ToArray()
        select new Membership(At(lives, 1), At(lives, 2), At(lives, 3));

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

    [Fact]
    public void Reads_observers_and_snapshots_words_come_back_as_they_were_sent() =>
        Prop.ForAll(
            (from numbers in Number.ArrayOf(6) from @from in Member from to in Member select (numbers, @from, to)).ToArbitrary(),
            (from flags in Flag.ArrayOf(3) from data in Payload from membership in AnyMembership select (flags, data, membership)).ToArbitrary(),
            (head, rest) =>
            {
                var (numbers, from, to) = head;
                var flags = rest.flags;
                Term term = new(numbers[0]), last = new(numbers[2]);
                LogIndex index = new(numbers[1]);
                // Tokens use all 64 bits.
                var token = ((ulong)numbers[3] << 1) + (flags[2] ? 1UL : 0);
                var length = Math.Max(numbers[4], rest.data.Length);
                Message[] messages =
                [
                    new HeartbeatReply { From = from, To = to, Term = term, ReadToken = token, Promised = flags[0] },
                    new Heartbeat { From = from, To = to, Term = term, Commit = index, ReadToken = token, Promise = new TimeSpan(numbers[4]) },
                    new ReadIndexRequest { From = from, To = to, Term = term, Token = token, ByLease = flags[0] },
                    new ReadIndexReply { From = from, To = to, Term = term, Token = token, Refused = flags[0], Index = index, ByLease = flags[1] },
                    new ObserveRequest { From = from, To = to, Term = term, LastIndex = index, LastTerm = last, Again = flags[0],
                        IsProbe = flags[1], IsInstalling = flags[2] },
                    new ObserveReply { From = from, To = to, Term = term, Leader = flags[2] ? MemberId.None : to, Commit = index,
                        IsProbe = flags[0], Diverged = flags[1] },
                    new SnapshotChunk { From = from, To = to, Term = term,
                        Snapshot = new SnapshotMark(index, last, numbers[3], rest.membership, length),
                        Offset = Math.Min(numbers[5], length - rest.data.Length),
                        Data = rest.data, Checksum = unchecked((uint)numbers[5]) },
                    new TimeoutNow { From = from, To = to, Term = term },
                ];
                return messages.All(message => IsReadBack(message, numbers[5]));
            }).Check(Fixed);

    [Fact]
    public void Words_between_nodes_come_back_as_they_were_sent() =>
        Prop.ForAll(
            (from numbers in Number.ArrayOf(3) from small in Gen.Choose(0, int.MaxValue).ArrayOf(2) from flags in Flag.ArrayOf(2)
                select (numbers, small, flags)).ToArbitrary(),
            (from member in Member from leader in Member from count in Gen.Choose(0, 7) from ids in Member.ArrayOf(7)
                select (member, leader, ids: ids[..count])).ToArbitrary(),
            (from payload in Payload from text in Text.ArrayOf(2) from cluster in Cluster from channel in Gen.Choose(0, 255)
                from state in Gen.Elements(Enum.GetValues<BootstrapState>()) from refusal in Gen.Elements(Enum.GetValues<ForwardRefusal>())
                select (payload, text, cluster, channel: (byte)channel, state, refusal)).ToArbitrary(),
            (head, who, rest) =>
            {
                PeerMessage[] messages =
                [
                    new PeerMessage.ForwardRefused(new ProposerId(who.member, head.small[0], head.numbers[0]), head.numbers[1], rest.refusal),
                    new PeerMessage.Channel(rest.channel, rest.payload),
                    new PeerMessage.BootstrapProbe(who.ids),
                    new PeerMessage.BootstrapAnswer(rest.state, rest.cluster, who.ids),
                    new PeerMessage.JoinRequest(who.member, rest.text[0]),
                    new PeerMessage.JoinReply(
                        head.flags[0], rest.cluster, head.small[1], head.flags[1] ? MemberId.None : who.leader, rest.text[0], rest.text[1]),
                    new PeerMessage.StartJudged(head.small[0], head.numbers[2], rest.text[1], head.flags[0]),
                ];
                return messages.All(IsReadBack);
            }).Check(Fixed);

    private static IEnumerable<MemberIncarnation> At((int Place, MemberIncarnation Life)[] lives, int place) =>
        lives.Where(l => l.Place == place).Select(l => l.Life);

    private static bool IsReadBack(Message message, long durableBatch) => IsReadBack(new PeerMessage.Raft(message, durableBatch));

    private static bool IsReadBack(PeerMessage sent)
    {
        var bytes = MessageCodecTests.Encode(sent);
        var read = MessageCodec.Decode(bytes);
        return MessageCodecTests.Describe(read) == MessageCodecTests.Describe(sent)
            && MessageCodecTests.Encode(read).AsSpan().SequenceEqual(bytes);
    }
}
