using RaftKit.Consensus;
using RaftKit.Node.Transport;

namespace RaftKit.TestKit;

/// <summary>How the network treats messages for a while: how likely each fault is, weighted by link and by type of message.</summary>
internal sealed class NetworkWeather
{
    private const int Types = 20;
    private const int LastType = 17;
    private readonly double[] _byType = [.. Enumerable.Repeat(1.0, Types)];
    private readonly Dictionary<(MemberId, MemberId), double> _byLink = [];

    /// <summary>Nothing but ordinary latency.</summary>
    public static readonly NetworkWeather Calm = new();

    public double Drop { get; init; }

    public double Duplicate { get; init; }

    public double Delay { get; init; }

    public double Reorder { get; init; }

    public TimeSpan LongestDelay { get; init; } = TimeSpan.FromMilliseconds(200);

    /// <summary>A storm: each fault on or off, up to a half, on some links and for some types of message more than for others.</summary>
    public static NetworkWeather Storm(SimulatedRandom random, IReadOnlyList<MemberId> members)
    {
        var weather = Draw(random, () => random.Chance(0.5) ? 0.5 * random.NextDouble() * random.NextDouble() : 0);
        var uneven = random.Chance(0.5);
        for (var i = 0; i < Types; i++)
            weather._byType[i] = uneven ? random.Between(0.0, 2.0) : 1;
        foreach (var from in members)
        {
            foreach (var to in members)
                weather._byLink[(from, to)] = uneven ? random.Between(0.0, 2.0) : 1;
        }
        return weather;
    }

    /// <summary>Each fault up to a half, for one type of message, or over one link, alone.</summary>
    public static NetworkWeather Focused(SimulatedRandom random, IReadOnlyList<MemberId> members, bool onType)
    {
        var weather = Draw(random, () => random.Chance(0.6) ? random.Between(0.1, 0.5) : 0);
        var (type, a, b) = (random.Next(Types), random.Pick(members), random.Pick(members));
        for (var i = 0; i < Types; i++)
            weather._byType[i] = !onType || i == type % LastType ? 1 : 0;
        foreach (var from in members)
        {
            foreach (var to in members)
                weather._byLink[(from, to)] = onType || (from == a && to == b) || (from == b && to == a) ? 1 : 0;
        }
        return weather;
    }

    private static NetworkWeather Draw(SimulatedRandom random, Func<double> chance) => new()
    {
        Drop = chance(),
        Duplicate = chance(),
        Delay = chance(),
        Reorder = chance(),
        LongestDelay = random.Between(TimeSpan.FromMilliseconds(2), TimeSpan.FromMilliseconds(400)),
    };

    public double Factor(MemberId from, MemberId to, PeerMessage message) =>
        _byLink.GetValueOrDefault((from, to), 1) * _byType[TypeOf(message)];

    private static int TypeOf(PeerMessage message) => message switch
    {
        PeerMessage.Raft { Message: VoteRequest } => 1,
        PeerMessage.Raft { Message: VoteReply } => 2,
        PeerMessage.Raft { Message: AppendRequest } => 3,
        PeerMessage.Raft { Message: AppendReply } => 4,
        PeerMessage.Raft { Message: Heartbeat } => 5,
        PeerMessage.Raft { Message: HeartbeatReply } => 6,
        PeerMessage.Raft { Message: ReadIndexRequest } => 7,
        PeerMessage.Raft { Message: ReadIndexReply } => 8,
        PeerMessage.Raft { Message: SnapshotChunk } => 9,
        PeerMessage.Raft { Message: SnapshotReply } => 10,
        PeerMessage.Raft { Message: TimeoutNow } => 11,
        PeerMessage.ForwardProposals => 12,
        PeerMessage.ForwardRefused => 13,
        PeerMessage.Channel => 14,
        PeerMessage.BootstrapProbe or PeerMessage.BootstrapAnswer => 15,
        PeerMessage.JoinRequest or PeerMessage.JoinReply => 16,
        _ => 0,
    };
}
