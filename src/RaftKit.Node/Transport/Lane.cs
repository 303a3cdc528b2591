using RaftKit.Consensus;

namespace RaftKit.Node.Transport;

/// <summary>What overtakes what on a link. Order is kept within a lane only.</summary>
internal enum Lane : byte
{
    /// <summary>Small and urgent: heartbeats, votes, replies, read indexes, session touches. Load must never delay them.</summary>
    Priority,

    /// <summary>Entries and proposals, in order: an append that overtook another would be refused by the log's matching.</summary>
    Bulk,

    /// <summary>Snapshot chunks: huge, and sent again on request.</summary>
    Snapshot,
}

internal static class Lanes
{
    public const int Count = 3;

    public static Lane Of(PeerMessage message) => message switch
    {
        PeerMessage.Raft { Message: AppendRequest } => Lane.Bulk,
        PeerMessage.Raft { Message: SnapshotChunk } => Lane.Snapshot,
        PeerMessage.ForwardProposals => Lane.Bulk,
        _ => Lane.Priority,
    };
}
