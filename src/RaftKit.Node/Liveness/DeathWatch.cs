namespace RaftKit.Node.Liveness;

/// <summary>What a probe of a peer's listening endpoint met.</summary>
internal enum ProbeOutcome
{
    /// <summary>Nobody listens there.</summary>
    Refused,

    /// <summary>Somebody accepted, but did not shake hands: a dying or stopped process does that, too. Proves nothing.</summary>
    Accepted,

    /// <summary>No answer, or no way there. Proves nothing.</summary>
    Unanswered,
}

/// <summary>What is known so far of a peer whose link broke.</summary>
internal enum DeathVerdict
{
    /// <summary>Nothing yet: go on probing.</summary>
    None,

    /// <summary>Evidence: nobody has listened there for long enough. Not proof.</summary>
    Believed,

    /// <summary>The process is gone.</summary>
    Proven,
}

/// <summary>
/// Watches one start of a peer from the end of its link on (DESIGN, promise 6): refused probes become evidence when they stay refused, the
/// process table gives proof. Whoever shakes hands ends the watch by dropping it.
/// </summary>
internal sealed class DeathWatch(HostProcess process, HostProcess observer, TimeSpan refusedForDeath, TimeSpan now)
{
    // A paused observer sees few probes far apart: time alone does not say that the peer stayed refused.
    private const int FewestRefusals = 5;

    // A process that still exits when its port is closed already is asked about for so long.
    private static readonly TimeSpan ProofWindow = TimeSpan.FromMilliseconds(200);

    // Dialling goes on all along; after so long without any answer it falls back to its usual pace.
    private static readonly TimeSpan FastWindow = TimeSpan.FromSeconds(2);

    private readonly TimeSpan _started = now;
    private TimeSpan _firstRefused;
    private int _refusals;
    private TimeSpan? _believed;

    /// <summary>When the refusals that count began.</summary>
    public int Refusals => _refusals;

    /// <summary>Whether nothing more can be found out.</summary>
    public bool IsOver { get; private set; }

    /// <summary>Whether to probe at the fast pace.</summary>
    public bool IsUrgent(TimeSpan now) => !IsOver && (_refusals > 0 || now - _started < FastWindow);

    /// <summary>Looks at the process table alone.</summary>
    public DeathVerdict Look() => Proven() ? DeathVerdict.Proven : DeathVerdict.None;

    /// <summary>Takes a probe in. Each verdict is given once; proof may follow belief.</summary>
    public DeathVerdict Observe(ProbeOutcome outcome, TimeSpan now)
    {
        if (IsOver)
            return DeathVerdict.None;
        // Beyond doubt, whatever the port says: a process that is gone cannot come back (only a new one can, which says so in its hello).
        if (Proven())
            return DeathVerdict.Proven;
        if (_believed is { } since)
        {
            IsOver = now - since >= ProofWindow;
            return DeathVerdict.None;
        }

        if (outcome != ProbeOutcome.Refused)
        {
            _refusals = 0;
            return DeathVerdict.None;
        }
        if (_refusals++ == 0)
            _firstRefused = now;
        // Where the process table shows that it is ending, one refusal says as much as those of 20 ms.
        if ((_refusals < FewestRefusals || now - _firstRefused < refusedForDeath) && !process.IsEnding(observer))
            return DeathVerdict.None;
        _believed = now;
        IsOver = !CanBeProven;
        return DeathVerdict.Believed;
    }

    /// <summary>It runs, or ran, where this process could see it.</summary>
    public bool CanBeProven =>
        process.MachineBootId.Length > 0 && process.MachineBootId == observer.MachineBootId
            && process.PidNamespace == observer.PidNamespace;

    private bool Proven()
    {
        if (IsOver || !process.IsSurelyGone(observer))
            return false;
        IsOver = true;
        return true;
    }
}
