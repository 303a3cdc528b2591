using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;

namespace RaftKit.TestKit;

/// <summary>One process's end of the network.</summary>
internal sealed class SimulatedTransport(
    SimulatedNetwork network, SimulatedProcess process, MemberId self, string endpoint, INodeInbox inbox) : ITransport
{
    private readonly Dictionary<MemberId, PeerHello> _seen = [];
    private IReadOnlyDictionary<MemberId, string> _peers = new Dictionary<MemberId, string>();

    /// <summary>Sees each message before it leaves: what may promise durability is checked here.</summary>
    public Action<MemberId, PeerMessage>? Sending { get; set; }

    /// <summary>Says whether what is sent still leaves the process; null: it does.</summary>
    public Func<bool>? Gate { get; set; }

    public SimulatedProcess Process => process;

    public MemberId Self => self;

    public INodeInbox Inbox => inbox;

    public PeerHello? Hello { get; private set; }

    public string Endpoint => endpoint;

    /// <summary>Whether it dials this one, and where this one listens.</summary>
    public bool Finds(SimulatedTransport other) => _peers.GetValueOrDefault(other.Self) == other.Endpoint;

    public PeerHello? HelloOf(MemberId peer) => _seen.GetValueOrDefault(peer);

    /// <summary>Notes who is at the other end now.</summary>
    /// <returns>An earlier process of the same member that this one proves to be over; null if none.</returns>
    public PeerHello? Remember(PeerHello peer)
    {
        var before = _seen.GetValueOrDefault(peer.Member);
        _seen[peer.Member] = peer;
        return before is { Incarnation: > 0 } && before.Process != peer.Process
            && (peer.Incarnation > before.Incarnation || (peer.Incarnation == before.Incarnation && peer.Boot > before.Boot))
            ? before
            : null;
    }

    public void Send(MemberId to, PeerMessage message)
    {
        if (Gate?.Invoke() == false)
            return;
        Sending?.Invoke(to, message);
        network.Send(this, to, message);
    }

    public void Flush()
    {
        // Each message was given its own latency when it was sent.
    }

    public void SetPeers(IReadOnlyDictionary<MemberId, string> endpoints)
    {
        _peers = endpoints;
        network.PeersChanged(this);
    }

    public void SetHello(PeerHello hello) => Hello = hello;

    public void Relink(long link, string reason) => network.Refuse(this, link, reason);

    public void Refuse(long link, string reason) => network.Refuse(this, link, reason);
}

/// <summary>A link between two processes: each direction keeps its order, with one lane for what is urgent.</summary>
internal sealed class SimulatedLink(long number, SimulatedTransport a, SimulatedTransport b)
{
    private readonly TimeSpan[] _lastArrival = new TimeSpan[4];
    private readonly bool[] _up = new bool[2];

    public long Number => number;

    public SimulatedTransport A => a;

    public SimulatedTransport B => b;

    public bool IsOpen { get; private set; } = true;

    public bool Joins(SimulatedTransport end) => a == end || b == end;

    public SimulatedTransport Other(SimulatedTransport end) => a == end ? b : a;

    public bool IsUpAt(SimulatedTransport end) => _up[a == end ? 0 : 1];

    public void SetUpAt(SimulatedTransport end) => _up[a == end ? 0 : 1] = true;

    public void Close() => IsOpen = false;

    /// <summary>When a message that would arrive at this time may, so that it overtakes none before it in its lane.</summary>
    public TimeSpan InOrder(SimulatedTransport from, bool urgent, TimeSpan arrival)
    {
        ref var last = ref _lastArrival[(from == a ? 0 : 2) + (urgent ? 1 : 0)];
        last = arrival > last ? arrival : last;
        return last;
    }
}
