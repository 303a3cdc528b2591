namespace RaftKit.Consensus;

/// <summary>A message between two members' cores. Immutable once sent.</summary>
internal abstract class Message
{
    public required MemberId From { get; init; }

    public required MemberId To { get; init; }

    /// <summary>The sender's term; for a pre-vote request, the term that it would campaign in.</summary>
    public required Term Term { get; init; }
}

/// <summary>Asks for a vote (Raft 5.2), or, as a pre-vote, whether one would be given (thesis 9.6).</summary>
internal sealed class VoteRequest : Message
{
    public required bool PreVote { get; init; }

    public required LogIndex LastIndex { get; init; }

    public required Term LastTerm { get; init; }

    /// <summary>The leader itself asked for this election, so that stickiness to it does not apply (thesis 4.2.3).</summary>
    public bool Transfer { get; init; }
}

/// <summary>Answers a <see cref="VoteRequest"/>. A granted pre-vote's reply carries the request's term.</summary>
internal sealed class VoteReply : Message
{
    public required bool PreVote { get; init; }

    public required bool Granted { get; init; }
}

/// <summary>Replicates entries that follow (<see cref="PreviousIndex"/>, <see cref="PreviousTerm"/>) (Raft 5.3).</summary>
internal sealed class AppendRequest : Message
{
    public required LogIndex PreviousIndex { get; init; }

    public required Term PreviousTerm { get; init; }

    public required LogIndex Commit { get; init; }

    /// <summary>Contiguous; empty for a probe.</summary>
    public required IReadOnlyList<Entry> Entries { get; init; }

    /// <summary>Whether any leader could have sent this: contiguous, no term going down or beyond the leader's own.</summary>
    public bool IsWellFormed
    {
        get
        {
            LogIndex index = PreviousIndex;
            Term term = PreviousTerm;
            foreach (var entry in Entries)
            {
                if (entry.Index != index.Next || entry.Term < term || entry.Term > Term)
                    return false;
                if (entry.Kind == EntryKind.Membership && !MembershipCodec.TryDecode(entry.Payload.Span, out _))
                    return false;
                (index, term) = (entry.Index, entry.Term);
            }
            return index.Value >= 0;
        }
    }
}

/// <summary>Answers an <see cref="AppendRequest"/>. An acceptance promises durability, so it is sent only after the fsync.</summary>
internal sealed class AppendReply : Message
{
    public required bool Accepted { get; init; }

    /// <summary>Accepted: the last index now known to match the leader's log. Refused: the request's previous index.</summary>
    public required LogIndex Index { get; init; }

    /// <summary>Refused: the largest index at which the logs may still agree, and the term there (fast back-off, Raft 5.3).</summary>
    public LogIndex HintIndex { get; init; }

    public Term HintTerm { get; init; }

    /// <summary>
    /// Refused: what the sender acknowledged beyond <see cref="HintIndex"/> it cannot read any more. It has not forgotten it, and wants it
    /// again.
    /// </summary>
    public bool HasRot { get; init; }
}

/// <summary>
/// Tells that the leader lives, up to where the receiver may commit, and carries a round's token, which the reply echoes. Without a token
/// it is a mere notice of commits, and is not answered.
/// </summary>
internal sealed class Heartbeat : Message
{
    /// <summary>Never above what the leader knows to match at the receiver.</summary>
    public required LogIndex Commit { get; init; }

    /// <summary>The round that the reply confirms; 0 for none. Unique within the leader's life (etcd 20418).</summary>
    public ulong ReadToken { get; init; }

    /// <summary>For how long the receiver is asked to let nobody else lead; zero: it is not asked.</summary>
    public TimeSpan Promise { get; init; }
}

/// <summary>Answers a <see cref="Heartbeat"/>.</summary>
internal sealed class HeartbeatReply : Message
{
    public ulong ReadToken { get; init; }

    /// <summary>The sender lets nobody else lead for as long as it was asked to, from now on.</summary>
    public bool Promised { get; init; }
}

/// <summary>A follower asks the leader for a read index (thesis 6.4).</summary>
internal sealed class ReadIndexRequest : Message
{
    public required ulong Token { get; init; }

    /// <summary>The leader may answer by its lease, without a round of heartbeats.</summary>
    public bool ByLease { get; init; }
}

/// <summary>
/// Answers a <see cref="ReadIndexRequest"/>; refused when the sender cannot tell (it does not lead, or has not committed in its term).
/// </summary>
internal sealed class ReadIndexReply : Message
{
    public required ulong Token { get; init; }

    public required bool Refused { get; init; }

    public LogIndex Index { get; init; }

    /// <summary>The leader's lease proves it, and no round of heartbeats.</summary>
    public bool ByLease { get; init; }
}

/// <summary>A piece of a snapshot (Raft 7). The node fills the bytes; the core only decides when, to whom and from which offset.</summary>
internal sealed class SnapshotChunk : Message
{
    public required SnapshotMark Snapshot { get; init; }

    public required long Offset { get; init; }

    public required ReadOnlyMemory<byte> Data { get; init; }

    /// <summary>CRC32C of <see cref="Data"/>.</summary>
    public required uint Checksum { get; init; }

    public bool IsLast => Offset + Data.Length == Snapshot.Length;
}

/// <summary>Answers a <see cref="SnapshotChunk"/>: where to go on, or that the snapshot is installed and durable.</summary>
internal sealed class SnapshotReply : Message
{
    public required LogIndex SnapshotIndex { get; init; }

    /// <summary>The offset wanted next.</summary>
    public required long NextOffset { get; init; }

    /// <summary>The receiver's log and state now cover <see cref="SnapshotIndex"/>, durably.</summary>
    public required bool Installed { get; init; }
}

/// <summary>
/// An observer asks a member to feed it with what is committed, and says how far its log goes. Sent again with every heartbeat's time: who
/// does not ask is not fed.
/// </summary>
internal sealed class ObserveRequest : Message
{
    public required LogIndex LastIndex { get; init; }

    /// <summary>The term of the entry there.</summary>
    public required Term LastTerm { get; init; }

    /// <summary>Something on its way was lost: go on from <see cref="LastIndex"/>.</summary>
    public bool Again { get; init; }

    /// <summary>Only asks how far the receiver is.</summary>
    public bool IsProbe { get; init; }

    /// <summary>It has every byte of a snapshot, and takes it over.</summary>
    public bool IsInstalling { get; init; }
}

/// <summary>Answers an <see cref="ObserveRequest"/>, and tells of a new leader or term.</summary>
internal sealed class ObserveReply : Message
{
    /// <summary>The leader of the sender's term, as far as it knows; nobody if it knows none.</summary>
    public required MemberId Leader { get; init; }

    /// <summary>Up to where the sender knows that entries are committed.</summary>
    public required LogIndex Commit { get; init; }

    public bool IsProbe { get; init; }

    /// <summary>What the observer's log ends with is not what is committed there.</summary>
    public bool Diverged { get; init; }
}

/// <summary>The leader tells its chosen successor to campaign at once (thesis 3.10).</summary>
internal sealed class TimeoutNow : Message;

/// <summary>What a snapshot replaces: the log up to and including <see cref="Index"/>.</summary>
/// <param name="Index">The last entry it covers.</param>
/// <param name="Term">That entry's term.</param>
/// <param name="Stamp">That entry's stamp.</param>
/// <param name="Membership">The membership in effect there.</param>
/// <param name="Length">Its bytes in the store.</param>
internal sealed record SnapshotMark(LogIndex Index, Term Term, long Stamp, Membership Membership, long Length);
