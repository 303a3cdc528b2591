namespace PartitionLeaders.Supervision;

/// <summary>What is done to a broker.</summary>
internal enum Fault
{
    Kill,
    Freeze,
}

/// <summary>Says when to do what to whom: the quorum's leader and another broker in turn.</summary>
internal sealed class FaultSchedule
{
    private readonly Dictionary<Fault, (TimeSpan Every, TimeSpan Due, TimeSpan Last, int Count)> _faults = [];
    private int _other;

    public FaultSchedule(RunOptions options, TimeSpan now)
    {
        if (options.KillEvery > TimeSpan.Zero)
            _faults[Fault.Kill] = (options.KillEvery, now + options.KillEvery, TimeSpan.Zero, 0);
        if (options.FreezeEvery > TimeSpan.Zero)
            _faults[Fault.Freeze] = (options.FreezeEvery, now + options.FreezeEvery, TimeSpan.Zero, 0);
    }

    /// <summary>
    /// The fault that is due and was not done for longest, if any. Asked only while everybody is well: one fault at a time is what a quorum
    /// of three survives.
    /// </summary>
    public Fault? Due(TimeSpan now)
    {
        var due = _faults.Where(fault => fault.Value.Due <= now).ToArray();
        return due.Length == 0 ? null : due.MinBy(fault => (fault.Value.Last, fault.Value.Due)).Key;
    }

    /// <summary>Chooses whom to do it to, and schedules the next.</summary>
    public BrokerProcess Take(Fault fault, TimeSpan now, IReadOnlyList<BrokerProcess> brokers)
    {
        var (every, _, _, count) = _faults[fault];
        _faults[fault] = (every, now + every, now, count + 1);
        var leader = brokers.FirstOrDefault(broker => broker.Member.Leader);
        var others = brokers.Where(broker => broker != leader).ToArray();
        return count % 2 == 0 && leader is not null || others.Length == 0 ? leader ?? brokers[0] : others[_other++ % others.Length];
    }
}
