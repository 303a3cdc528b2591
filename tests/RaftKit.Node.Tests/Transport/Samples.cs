using RaftKit.Consensus;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Tests.Transport;

/// <summary>One or more messages of every kind, with numbers at the edges of their ranges.</summary>
internal static class Samples
{
    public static readonly Guid Cluster = new("01234567-89ab-cdef-0123-456789abcdef");

    public static readonly Membership Joint = new(
        [new(new MemberId(1), 1), new(new MemberId(2), 3)], [new(new MemberId(200), 1)],
        [new(new MemberId(1), 1), new(new MemberId(3), 70000)]);

    public static IEnumerable<PeerMessage> All() =>
        Core().Select((m, i) => (PeerMessage)new PeerMessage.Raft(m, i == 0 ? long.MaxValue : i)).Concat(Node());

    public static byte[] Bytes(int length, byte first = 1) => [.. Enumerable.Range(0, length).Select(i => unchecked((byte)(first + i)))];

    public static AppendRequest Append(long previous, params int[] payloads) => new()
    {
        From = new MemberId(1), To = new MemberId(2), Term = new Term(7), PreviousIndex = new LogIndex(previous),
        PreviousTerm = new Term(6),
        Commit = new LogIndex(previous),
        Entries = [.. payloads.Select((length, i) => new Entry(
            new Term(7), new LogIndex(previous + 1 + i), length == 0 ? EntryKind.NoOp : EntryKind.Command, 1_790_000_000_000 + i,
            Bytes(length)))],
    };

    public static SnapshotChunk Chunk(int length) => new()
    {
        From = new MemberId(1), To = new MemberId(2), Term = new Term(9),
        Snapshot = new SnapshotMark(new LogIndex(1000), new Term(8), 1_790_000_000_000, Joint, 5_000_000_000), Offset = 4_000_000_000,
        Checksum = 0xdeadbeef, Data = Bytes(length),
    };

    public static Heartbeat Heartbeat(ulong token) =>
        new() { From = new MemberId(1), To = new MemberId(2), Term = new Term(7), Commit = new LogIndex(5), ReadToken = token };

    private static IEnumerable<Message> Core()
    {
        MemberId one = new(1), two = new(255);
        Term term = new(long.MaxValue);
        LogIndex index = new(1_234_567_890_123);
        yield return new VoteRequest { From = one, To = two, Term = term, PreVote = true, LastIndex = index, LastTerm = new Term(3),
            Transfer = false };
        yield return new VoteRequest { From = one, To = two, Term = term, PreVote = false, LastIndex = default, LastTerm = default,
            Transfer = true };
        yield return new VoteReply { From = two, To = one, Term = term, PreVote = true, Granted = false };
        yield return Append(0);
        yield return Append(41, 0, 1, 300, 70_000);
        yield return new AppendReply { From = two, To = one, Term = new Term(128), Accepted = false, Index = index,
            HintIndex = new LogIndex(255), HintTerm = new Term(2), HasRot = true };
        yield return Heartbeat(ulong.MaxValue);
        yield return new Heartbeat { From = one, To = two, Term = term, Commit = index, ReadToken = 1, Promise = TimeSpan.MaxValue };
        yield return new HeartbeatReply { From = two, To = one, Term = new Term(1), ReadToken = 1UL << 63 };
        yield return new HeartbeatReply { From = two, To = one, Term = new Term(1), ReadToken = 1, Promised = true };
        yield return new ReadIndexRequest { From = two, To = one, Term = new Term(1), Token = 65536 };
        yield return new ReadIndexRequest { From = two, To = one, Term = new Term(1), Token = 65536, ByLease = true };
        yield return new ReadIndexReply { From = one, To = two, Term = new Term(1), Token = 65535, Refused = false, Index = index,
            ByLease = true };
        yield return new ReadIndexReply { From = one, To = two, Term = new Term(1), Token = 65535, Refused = true, Index = default };
        yield return Chunk(1000);
        yield return Chunk(0);
        yield return new SnapshotReply { From = two, To = one, Term = new Term(1), SnapshotIndex = index, NextOffset = long.MaxValue,
            Installed = true };
        MemberId observer = new(MemberId.GreatestObserver);
        yield return new ObserveRequest { From = observer, To = one, Term = term, LastIndex = index, LastTerm = new Term(7), Again = true };
        yield return new ObserveRequest { From = new MemberId(256), To = two, Term = default, LastIndex = default, LastTerm = default,
            IsProbe = true, IsInstalling = true };
        yield return new ObserveReply { From = one, To = observer, Term = new Term(1), Leader = two, Commit = index, IsProbe = true };
        yield return new ObserveReply { From = two, To = observer, Term = new Term(1), Leader = default, Commit = default,
            Diverged = true };
        yield return new TimeoutNow { From = one, To = two, Term = new Term(32767) };
    }

    private static IEnumerable<PeerMessage> Node()
    {
        var proposer = new ProposerId(new MemberId(3), 2, 99);
        yield return new PeerMessage.ForwardProposals(proposer, 17, [Bytes(1), Bytes(0), Bytes(5000)]);
        yield return new PeerMessage.ForwardRefused(proposer, 18, ForwardRefusal.Gap);
        yield return new PeerMessage.Channel(1, Bytes(33));
        yield return new PeerMessage.BootstrapProbe([new(1), new(2), new(255)]);
        yield return new PeerMessage.BootstrapAnswer(BootstrapState.Forming, Cluster, [new(4)]);
        yield return new PeerMessage.JoinRequest(new MemberId(2), "[::1]:7001");
        yield return new PeerMessage.JoinReply(true, Cluster, 4, new MemberId(3), "", Term: new Term(1L << 40));
        yield return new PeerMessage.StartJudged(70_000, long.MaxValue, "batch 9 was on its disk");
        yield return new PeerMessage.StartJudged(1, 1, "");
        yield return new PeerMessage.StartJudged(0, 0, "level 2 of orders is finalised", IsUnready: true);
        yield return new PeerMessage.JoinReply(false, Guid.Empty, 0, MemberId.None, "no leader is known; ask again – später");
        yield return new PeerMessage.JoinReply(false, Cluster, 0, new MemberId(2), "not the leader", "10.0.0.2:7420");
    }
}
