using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;

namespace RaftKit.TestKit;

/// <summary>
/// The network between simulated members: links come up with a handshake and go down as TCP's do, messages travel as the bytes of the real
/// codec, and the weather drops, delays, duplicates and reorders them. Only messages of the consensus core are duplicated and reordered:
/// they must stand it, while everything else relies on a link's order, as it may.
/// </summary>
internal sealed class SimulatedNetwork(SimulatedScheduler scheduler, SimulatedRandom random, FaultCounters counters, SimulatedTrace trace)
{
    private readonly SortedDictionary<MemberId, SimulatedTransport> _transports = [];
    private readonly Dictionary<(MemberId, MemberId), SimulatedLink> _links = [];
    private readonly HashSet<(MemberId, MemberId)> _connecting = [];
    private readonly HashSet<(MemberId From, MemberId To)> _blocked = [];
    private readonly ArrayBufferWriter<byte> _bytes = new();
    private readonly FrameBuffer _frames = new();
    private long _lastLink;
    private long _attempts;

    public NetworkWeather Weather { get; set; } = NetworkWeather.Calm;

    /// <summary>All members are processes of one machine, so that a death can be proven.</summary>
    public bool SameMachine { get; init; } = true;

    /// <summary>
    /// What cuts two machines off may answer in the name of either that nobody is there (a packet filter that rejects), until it ends;
    /// null: it is silent.
    /// </summary>
    public SimulatedRandom? RefusedOnTheWay { get; init; }

    /// <summary>
    /// How likely a bit of a snapshot's piece is another one when it arrives, though the link noticed nothing; null: never.
    /// </summary>
    public (SimulatedRandom Random, double Chance)? CorruptChunks { get; set; }

    /// <summary>How many messages were delivered.</summary>
    public long Delivered { get; private set; }

    public bool IsBlocked(MemberId from, MemberId to) => _blocked.Contains((from, to));

    /// <summary>Puts a process on the network, where it listens at this endpoint and nowhere else.</summary>
    public SimulatedTransport Attach(SimulatedProcess process, MemberId self, string endpoint, INodeInbox inbox)
    {
        var transport = new SimulatedTransport(this, process, self, endpoint, inbox);
        _transports[self] = transport;
        foreach (var other in _transports.Keys)
            ConnectLater(self, other, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(10));
        return transport;
    }

    /// <summary>
    /// A process ended: in order with a goodbye, by itself or by a kill with its links reset, or silently with its machine.
    /// </summary>
    public void Detach(SimulatedTransport transport, bool goodbye, bool silent)
    {
        if (_transports.TryGetValue(transport.Self, out var current) && current == transport)
            _transports.Remove(transport.Self);
        foreach (var link in _links.Values.Where(l => l.Joins(transport)).OrderBy(l => l.Number).ToArray())
        {
            var other = link.Other(transport);
            if (silent || IsBlocked(transport.Self, other.Self))
                scheduler.After(random.Between(TimeSpan.FromSeconds(0.5), TimeSpan.FromSeconds(2)), () => Close(link, goodbye: false));
            else
                CloseWithEvidence(link, transport, other, goodbye);
        }
    }

    /// <summary>Blocks messages in these directions, and in no other.</summary>
    public void Block(IEnumerable<(MemberId From, MemberId To)> directions)
    {
        _blocked.Clear();
        _blocked.UnionWith(directions);
        // TCP gives up on a silent link after a while.
        foreach (var link in _links.Values.Where(IsCut).OrderBy(l => l.Number).ToArray())
        {
            var givesUp = random.Between(TimeSpan.FromSeconds(0.2), TimeSpan.FromSeconds(3));
            var isRefused = RefusedOnTheWay?.Chance(0.4) == true;
            scheduler.After(isRefused ? RefusedOnTheWay!.Between(TimeSpan.Zero, TimeSpan.FromMilliseconds(5)) : givesUp, () =>
            {
                if (!IsCut(link))
                    return;
                Close(link, goodbye: false);
                if (!isRefused)
                    return;
                RefuseOnTheWay(link.A, link.B);
                RefuseOnTheWay(link.B, link.A);
            });
        }
    }

    /// <summary>Resets a link between two living processes: no evidence of death follows.</summary>
    public void Reset(MemberId a, MemberId b)
    {
        if (_links.TryGetValue(Pair(a, b), out var link))
            Close(link, goodbye: false);
    }

    public void Send(SimulatedTransport from, MemberId to, PeerMessage message)
    {
        if (!_links.TryGetValue(Pair(from.Self, to), out var link) || !link.IsOpen || !link.Joins(from) || !link.IsUpAt(from))
            return;
        if (IsBlocked(from.Self, to))
        {
            counters.Partition++;
            return;
        }
        if (message is PeerMessage.Raft { Message: SnapshotChunk chunk } whole)
            message = Sending(whole, chunk);
        // The first word over a link is not lost while the link stands: it is queued before anything else, and TCP keeps it.
        var factor = message is PeerMessage.StartJudged ? 0 : Weather.Factor(from.Self, to, message);
        var isLost = random.Chance(Math.Min(0.5, Weather.Drop * factor));
        _bytes.ResetWrittenCount();
        MessageCodec.Encode(message, _bytes);
        if (isLost)
        {
            counters.Drop++;
            counters.Coverage.Dropped(_bytes.WrittenSpan);
            return;
        }
        var bytes = _bytes.WrittenSpan.ToArray();
        var latency = random.Between(TimeSpan.FromMicroseconds(20), TimeSpan.FromMicroseconds(300));
        if (random.Chance(Math.Min(0.5, Weather.Delay * factor)))
        {
            counters.Delay++;
            counters.Coverage.Delayed(bytes);
            latency += random.Between(TimeSpan.FromMilliseconds(1), Weather.LongestDelay);
        }
        var isRaft = message is PeerMessage.Raft;
        if (isRaft && random.Chance(Math.Min(0.5, Weather.Duplicate * factor)))
        {
            counters.Duplicate++;
            counters.Coverage.Duplicated(bytes);
            Deliver(link, from, bytes, scheduler.Now + latency + random.Between(TimeSpan.Zero, Weather.LongestDelay));
        }
        if (isRaft && random.Chance(Math.Min(0.5, Weather.Reorder * factor)))
        {
            counters.Reorder++;
            counters.Coverage.Reordered(bytes);
            Deliver(link, from, bytes, scheduler.Now + latency + random.Between(TimeSpan.Zero, Weather.LongestDelay));
            return;
        }
        Deliver(link, from, bytes, link.InOrder(from, IsUrgent(message), scheduler.Now + latency));
    }

    private PeerMessage.Raft Sending(PeerMessage.Raft message, SnapshotChunk chunk)
    {
        counters.Coverage.Snapshots.Sent(chunk, scheduler.Now);
        if (CorruptChunks is not { } corrupt || chunk.Data.Length == 0 || !corrupt.Random.Chance(corrupt.Chance))
            return message;
        counters.Coverage.Struck(MenuItem.SnapshotChunkCorrupt);
        var data = chunk.Data.ToArray();
        data[corrupt.Random.Next(data.Length)] ^= (byte)(1 << corrupt.Random.Next(8));
        return message with
        {
            Message = new SnapshotChunk { From = chunk.From, To = chunk.To, Term = chunk.Term, Snapshot = chunk.Snapshot,
                Offset = chunk.Offset, Data = data, Checksum = chunk.Checksum },
        };
    }

    public void Refuse(SimulatedTransport by, long number, string reason)
    {
        foreach (var link in _links.Values.Where(l => l.Number == number && l.Joins(by)).ToArray())
        {
            Carry(new LinkFrame.Refusal(RefusalCode.Unwanted, reason));
            Close(link, goodbye: false);
        }
    }

    /// <summary>A frame of the link's own goes over the wire, as the bytes of the real codec.</summary>
    /// <returns>What the other end reads.</returns>
    private TFrame Carry<TFrame>(TFrame frame)
        where TFrame : LinkFrame
    {
        _frames.Clear();
        HandshakeCodec.Encode(frame, _frames);
        var body = _frames.Written[FrameBuffer.LengthBytes..].ToArray();
        counters.Coverage.Heard(body);
        return (TFrame)HandshakeCodec.Decode(body);
    }

    public void PeersChanged(SimulatedTransport transport)
    {
        foreach (var other in _transports.Keys)
            ConnectLater(transport.Self, other, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(10));
    }

    private static (MemberId, MemberId) Pair(MemberId a, MemberId b) => a.CompareTo(b) < 0 ? (a, b) : (b, a);

    private static bool IsUrgent(PeerMessage message) =>
        message is PeerMessage.Channel or PeerMessage.Raft { Message: Heartbeat or HeartbeatReply };

    private bool IsCut(SimulatedLink link) => link.IsOpen && (IsBlocked(link.A.Self, link.B.Self) || IsBlocked(link.B.Self, link.A.Self));

    private void Deliver(SimulatedLink link, SimulatedTransport from, byte[] bytes, TimeSpan at)
    {
        var to = link.Other(from);
        to.Process.After(at - scheduler.Now, () =>
        {
            if (!link.IsOpen)
                return;
            Delivered++;
            counters.Coverage.Heard(bytes);
            trace.Fold(StableHash.Of(bytes));
            to.Inbox.Post(new NodeInput.Received(link.Number, from.Self, MessageCodec.Decode(bytes), bytes.Length));
        });
    }

    private void ConnectLater(MemberId a, MemberId b, TimeSpan soonest, TimeSpan latest)
    {
        var pair = Pair(a, b);
        if (a == b || !_connecting.Add(pair))
            return;
        scheduler.After(random.Between(soonest, latest), () =>
        {
            _connecting.Remove(pair);
            Connect(pair);
        });
    }

    private void Connect((MemberId A, MemberId B) pair)
    {
        if (_links.ContainsKey(pair) || !_transports.TryGetValue(pair.A, out var a) || !_transports.TryGetValue(pair.B, out var b)
            || (!a.Finds(b) && !b.Finds(a)))
            return;
        // A stopped process accepts and never shakes hands.
        if (IsBlocked(pair.A, pair.B) || IsBlocked(pair.B, pair.A) || a.Process.IsPaused || b.Process.IsPaused
            || a.Hello is not { } helloOfA || b.Hello is not { } helloOfB || AreStrangers(helloOfA, helloOfB))
        {
            if (a.Hello is { } one && b.Hello is { } other && AreStrangers(one, other))
                Carry(new LinkFrame.Refusal(RefusalCode.Cluster, $"cluster {one.ClusterId} is not {other.ClusterId}"));
            ConnectLater(pair.A, pair.B, TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(60));
            return;
        }
        var link = new SimulatedLink(++_lastLink, a, b);
        _links[pair] = link;
        Raise(link, a, Said(helloOfB), helloOfA);
        Raise(link, b, Said(helloOfA), helloOfB);
    }

    private PeerHello Said(PeerHello hello) =>
        Carry(new LinkFrame.Hello(ProtocolRange.Spoken, ++_attempts, hello)).Said
        ?? throw new InvalidOperationException("A hello in the version of its reader was not read.");

    private static bool AreStrangers(PeerHello a, PeerHello b) =>
        a.ClusterId != Guid.Empty && b.ClusterId != Guid.Empty && a.ClusterId != b.ClusterId;

    private void Raise(SimulatedLink link, SimulatedTransport at, PeerHello peer, PeerHello told)
    {
        var when = link.InOrder(
            link.Other(at), false, scheduler.Now + random.Between(TimeSpan.FromMicroseconds(50), TimeSpan.FromMicroseconds(900)));
        link.InOrder(link.Other(at), true, when);
        at.Process.After(when - scheduler.Now, () =>
        {
            if (!link.IsOpen)
                return;
            link.SetUpAt(at);
            if (at.Remember(peer) is { } dead)
                at.Inbox.Post(new NodeInput.PeerDied(Evidence(dead, "a newer start shook hands")));
            at.Inbox.Post(new NodeInput.LinkUp(link.Number, peer, told));
        });
    }

    private DeathEvidence Evidence(PeerHello dead, string reason) => new(dead.Member, dead.Incarnation, dead.Boot, SameMachine, reason);

    private void CloseWithEvidence(SimulatedLink link, SimulatedTransport dead, SimulatedTransport observer, bool goodbye)
    {
        Close(link, goodbye);
        if (goodbye || observer.HelloOf(dead.Self) is not { } hello)
            return;
        // Probes that stay refused for 20 ms; one that is accepted or lost on the way proves nothing.
        observer.Process.After(random.Between(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(26)), () =>
        {
            if (!_transports.ContainsKey(dead.Self) && !IsBlocked(observer.Self, dead.Self) && !IsBlocked(dead.Self, observer.Self))
                observer.Inbox.Post(new NodeInput.PeerDied(Evidence(hello, "probes stayed refused")));
        });
    }

    /// <summary>Probes are refused by what cut the two off, for as long as it lasts: no proof, but all that there is to see.</summary>
    private void RefuseOnTheWay(SimulatedTransport living, SimulatedTransport observer)
    {
        if (observer.HelloOf(living.Self) is not { } hello)
            return;
        observer.Process.After(RefusedOnTheWay!.Between(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(26)), () =>
        {
            if (!IsBlocked(observer.Self, living.Self) && !IsBlocked(living.Self, observer.Self))
                return;
            counters.Coverage.Struck(MenuItem.RefusedOnTheWay);
            observer.Inbox.Post(new NodeInput.PeerDied(Evidence(hello, "probes stayed refused, by what is on the way")));
        });
    }

    private void Close(SimulatedLink link, bool goodbye)
    {
        if (!link.IsOpen)
            return;
        if (goodbye)
            Carry(new LinkFrame.Goodbye("it stops in order"));
        link.Close();
        _links.Remove(Pair(link.A.Self, link.B.Self));
        Tell(link.A, link.B.Self);
        Tell(link.B, link.A.Self);
        ConnectLater(link.A.Self, link.B.Self, TimeSpan.FromMilliseconds(2), TimeSpan.FromMilliseconds(40));

        void Tell(SimulatedTransport at, MemberId peer) =>
            at.Process.After(random.Between(TimeSpan.FromMicroseconds(20), TimeSpan.FromMicroseconds(500)), () =>
        {
            if (link.IsUpAt(at))
                at.Inbox.Post(new NodeInput.LinkDown(link.Number, peer, goodbye));
        });
    }
}
