namespace RaftKit.Consensus;

/// <summary>
/// What this member's own disk is known to hold. Requests complete in order. A cut takes back what the requests before it
/// promised: their completion must not count entries that were overwritten meanwhile, not even when the same entry came back under
/// a later leader, because a crash in between could still lose it (the async-storage ABA race).
/// </summary>
internal sealed class PersistLedger(Term term, MemberId vote, LogIndex log)
{
    private readonly List<Outstanding> _outstanding = [];

    /// <summary>The last index of the log that is durable.</summary>
    public LogIndex Log { get; private set; } = log;

    public Term Term { get; private set; } = term;

    public MemberId Vote { get; private set; } = vote;

    public void Issue(PersistRequest request) => _outstanding.Add(new Outstanding(request, request.LastIndex));

    /// <summary>The newest request was not taken yet, and grew.</summary>
    public void Replace(PersistRequest old, PersistRequest request)
    {
        Invariant.Holds(_outstanding.Count > 0 && ReferenceEquals(_outstanding[^1].Request, old), $"{old} is not the newest request");
        _outstanding[^1] = new Outstanding(request, request.LastIndex);
    }

    /// <summary>The request and everything before it are fsynced.</summary>
    /// <returns>Whether it was waited for; a request that is unknown, or counted already, says nothing.</returns>
    public bool Complete(PersistRequest request)
    {
        int at = _outstanding.FindIndex(o => o.Request == request);
        if (at < 0)
            return false;
        Invariant.Holds(request.Term >= Term, $"term {request.Term} became durable after {Term}");
        Log = LogIndex.Max(Log, _outstanding[at].UpTo);
        (Term, Vote) = (request.Term, request.Vote);
        _outstanding.RemoveRange(0, at + 1);
        return true;
    }

    /// <summary>Entries from there on were cut.</summary>
    public void CutFrom(LogIndex from)
    {
        Log = LogIndex.Min(Log, from.Previous);
        for (int i = 0; i < _outstanding.Count; i++)
            _outstanding[i] = _outstanding[i] with { UpTo = LogIndex.Min(_outstanding[i].UpTo, from.Previous) };
    }

    /// <summary>The log starts over after a durable snapshot.</summary>
    public void Reset(LogIndex snapshot)
    {
        Log = snapshot;
        for (int i = 0; i < _outstanding.Count; i++)
            _outstanding[i] = _outstanding[i] with { UpTo = LogIndex.Zero };
    }

    /// <param name="Request">What was handed to the disk.</param>
    /// <param name="UpTo">What of the log its completion still proves.</param>
    private readonly record struct Outstanding(PersistRequest Request, LogIndex UpTo);
}
