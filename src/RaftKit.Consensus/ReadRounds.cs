namespace RaftKit.Consensus;

/// <summary>
/// Reads that wait for a heartbeat round to prove that this leader still led after they were asked (thesis 6.4). Each round has a number
/// of its own, which is never used again (etcd 20418): an answer to an older round proves nothing for a newer read.
/// </summary>
internal sealed class ReadRounds
{
    private readonly Queue<Waiting> _waiting = new();
    private ulong _round;

    /// <summary>Reads were asked since the newest round went out.</summary>
    public bool HasFresh { get; private set; }

    /// <summary>The newest round.</summary>
    public ulong Newest => _round;

    /// <param name="from">Who asked: this member or another.</param>
    /// <param name="token">The asker's token.</param>
    /// <param name="commit">The commit index when it was asked.</param>
    public void Ask(MemberId from, ulong token, LogIndex commit)
    {
        _waiting.Enqueue(new Waiting(_round + 1, from, token, commit));
        HasFresh = true;
    }

    /// <summary>A round starts now: it answers for everything asked before.</summary>
    public ulong Start()
    {
        HasFresh = false;
        return ++_round;
    }

    /// <summary>A quorum answered this round: takes one read that it confirms.</summary>
    public bool TryTake(ulong confirmed, out Waiting read)
    {
        if (_waiting.TryPeek(out read) && read.Round <= confirmed)
        {
            _waiting.Dequeue();
            return true;
        }
        return false;
    }

    /// <summary>A read; <c>Round</c> is the first round whose answers prove it.</summary>
    internal readonly record struct Waiting(ulong Round, MemberId From, ulong Token, LogIndex Index);
}
