namespace RaftKit.Consensus;

/// <summary>
/// A snapshot on its way in: which one, from whom, and up to where it is written aside. Chunks of two senders never mix, since two
/// members may write the same state as different bytes.
/// </summary>
internal sealed class SnapshotReceiver(RaftCore core)
{
    private MemberId _from;
    private SnapshotMark? _snapshot;
    private long _next;
    private bool _isWriting;

    /// <summary>
    /// The last chunk is with the owner, who installs the snapshot. Until then appends are left unanswered: the owner resets the log
    /// on disk, and must not lose an entry that was acknowledged meanwhile.
    /// </summary>
    public bool IsInstalling { get; private set; }

    public void Receive(SnapshotChunk chunk)
    {
        var mark = chunk.Snapshot;
        if (chunk.Offset < 0 || chunk.Offset > mark.Length - chunk.Data.Length || mark.Term > chunk.Term)
            return;
        if (core.Covers(mark))
        {
            // Installing what the log already holds would throw entries away that were acknowledged, and start an endless
            // loop when the entry after it conflicts (hashicorp/raft 697).
            core.CommitTo(mark.Index);
            ReplyInstalled(chunk.From, mark.Index);
            return;
        }
        if (IsInstalling)
            return;
        if (_snapshot is null || _from != chunk.From || _snapshot != mark)
            (_from, _snapshot, _next, _isWriting) = (chunk.From, mark, 0, false);
        if (_isWriting)
            return;
        if (chunk.Offset != _next)
        {
            Reply(chunk.From, mark.Index, _next);
            return;
        }
        _isWriting = true;
        IsInstalling = chunk.IsLast;
        core.Effects.SnapshotWrites.Add(chunk);
    }

    /// <summary>
    /// The owner wrote up to there; or asks for another offset, because it has more already, or because a chunk was damaged.
    /// </summary>
    public void Written(MemberId from, LogIndex index, long nextOffset)
    {
        if (_snapshot is null || _from != from || _snapshot.Index != index)
            return;
        _next = nextOffset;
        _isWriting = false;
        IsInstalling = IsInstalling && nextOffset >= _snapshot.Length;
        if (core.Source == from)
            Reply(from, index, nextOffset);
    }

    public void Installed(LogIndex index, MemberId from)
    {
        (_snapshot, _from, _next, _isWriting, IsInstalling) = (null, MemberId.None, 0, false, false);
        if (core.Source == from)
            ReplyInstalled(from, index);
    }

    /// <summary>This member's own snapshot reaches as far as the one on its way.</summary>
    public void Overtaken(LogIndex index)
    {
        if (_snapshot?.Index <= index)
            (_snapshot, _from, _next, _isWriting, IsInstalling) = (null, MemberId.None, 0, false, false);
    }

    private void Reply(MemberId to, LogIndex index, long nextOffset) => core.Effects.Messages.Add(new SnapshotReply
    {
        From = core.Self, To = to, Term = core.Term, SnapshotIndex = index, NextOffset = nextOffset, Installed = false,
    });

    // The owner made the snapshot durable before it said so; the term that this reply carries may still be on its way to the disk.
    private void ReplyInstalled(MemberId to, LogIndex index) => core.Effects.MessagesOncePersisted.Add(new SnapshotReply
    {
        From = core.Self, To = to, Term = core.Term, SnapshotIndex = index, NextOffset = 0, Installed = true,
    });
}
