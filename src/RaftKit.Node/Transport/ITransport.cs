using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;

namespace RaftKit.Node.Transport;

/// <summary>Moves messages between members; may drop, never garbles, keeps the order of what it does not drop within a lane.</summary>
internal interface ITransport
{
    /// <summary>Sends to a peer if a link is up and its queue has room; drops otherwise. Loop thread only.</summary>
    void Send(MemberId to, PeerMessage message);

    /// <summary>Flushes what was sent during the turn: one write per peer.</summary>
    void Flush();

    /// <summary>
    /// The members to keep links with, and where they listen; "" where that is not known: such a one is only waited for. Called when the
    /// membership or an address changes.
    /// </summary>
    void SetPeers(IReadOnlyDictionary<MemberId, string> endpoints);

    /// <summary>What this member says of itself from the next handshake on.</summary>
    void SetHello(PeerHello hello);

    /// <summary>Ends a link that was made under what this member said of itself before, with a goodbye: it is made again at once.</summary>
    void Relink(long link, string reason);

    /// <summary>
    /// Ends a link that the loop does not want (a stale boot, a wiped member that is not admitted), with a reason for the peer's log.
    /// </summary>
    void Refuse(long link, string reason);
}

/// <summary>What a member says first on a link.</summary>
/// <param name="ClusterId">The cluster's id; empty while it is not formed.</param>
/// <param name="Member">Who it is.</param>
/// <param name="Incarnation">Which life; 0 while it has none.</param>
/// <param name="Boot">Which start.</param>
/// <param name="Endpoint">Where it listens.</param>
/// <param name="Process">Its process.</param>
internal sealed record PeerHello(
    Guid ClusterId, MemberId Member, int Incarnation, long Boot, string Endpoint, HostProcess Process)
{
    /// <summary>What its disk held at this start: where each of the runs before it left the log.</summary>
    public RunEnds RunEnds { get; init; } = RunEnds.None;

    /// <summary>Which levels of which features its process supports.</summary>
    public FeatureRanges Features { get; init; } = FeatureRanges.Own;

    /// <summary>It has no life yet, and asks to be made a member by its own wish: nobody need have named it before.</summary>
    public bool AsksToBeAdded { get; init; }
}
