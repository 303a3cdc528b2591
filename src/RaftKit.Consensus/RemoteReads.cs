namespace RaftKit.Consensus;

/// <summary>
/// Read indexes that this member asked of the leader. All reads of one turn share one request (one for those that a lease may answer, one
/// for those it may not). The number on the wire carries the life and the boot number: an answer that a former life of this member asked
/// for must not answer this one's read. Boots alone are not enough, a new life begins to count them again (simulator seed 680 of 60 s).
/// </summary>
internal sealed class RemoteReads(RaftCore core)
{
    // Lives spread over all numbers, far from each other: their boots, which are few, do not meet.
    private readonly ulong _start = (ulong)unchecked(core.Options.Boot + ((uint)(core.Options.Incarnation - 1) * 0x9E3779B1)) << 32;
    private readonly List<ulong> _fresh = [];
    private readonly List<ulong> _freshByLease = [];
    private readonly List<Batch> _asked = [];
    private uint _count;

    public void Ask(ulong token, bool byLease) => (byLease ? _freshByLease : _fresh).Add(token);

    public void EndTurn()
    {
        Send(_fresh, byLease: false);
        Send(_freshByLease, byLease: true);
    }

    private void Send(List<ulong> fresh, bool byLease)
    {
        if (fresh.Count == 0)
            return;
        ulong token = _start | ++_count;
        _asked.Add(new Batch(token, [.. fresh]));
        fresh.Clear();
        core.Effects.Messages.Add(
            new ReadIndexRequest { From = core.Self, To = core.Leader, Term = core.Term, Token = token, ByLease = byLease });
    }

    public void Answer(ReadIndexReply reply)
    {
        int at = _asked.FindIndex(b => b.Token == reply.Token);
        if (at < 0)
            return;
        foreach (ulong token in _asked[at].Reads)
        {
            core.Effects.Reads.Add(reply.Refused
                ? new ReadGrant(token, LogIndex.Zero, Refused: true)
                : new ReadGrant(token, reply.Index, Refused: false, reply.ByLease, reply.Term));
        }
        _asked.RemoveAt(at);
    }

    public void Tick()
    {
        foreach (var batch in _asked)
            batch.Ticks++;
        while (_asked.Count > 0 && _asked[0].Ticks >= core.Options.ElectionTicks)
        {
            Refuse(_asked[0].Reads);
            _asked.RemoveAt(0);
        }
    }

    /// <summary>The leader or the term changed, or the link broke: no answer can be trusted to come.</summary>
    public void RefuseAll()
    {
        foreach (var batch in _asked)
            Refuse(batch.Reads);
        Refuse(_fresh);
        Refuse(_freshByLease);
        _asked.Clear();
        _fresh.Clear();
        _freshByLease.Clear();
    }

    private void Refuse(IReadOnlyList<ulong> tokens)
    {
        foreach (ulong token in tokens)
            core.Effects.Reads.Add(new ReadGrant(token, LogIndex.Zero, Refused: true));
    }

    private sealed class Batch(ulong token, ulong[] reads)
    {
        public ulong Token => token;

        public ulong[] Reads => reads;

        public int Ticks { get; set; }
    }
}
