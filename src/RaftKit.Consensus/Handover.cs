namespace RaftKit.Consensus;

/// <summary>
/// A leadership transfer under way (thesis 3.10): proposals wait, the target catches up and is told to campaign. Given up after an
/// election timeout, since the target may be dead.
/// </summary>
internal sealed class Handover(RaftCore core)
{
    private int _ticks;
    private bool _told;

    public MemberId Target { get; private set; }

    /// <returns>True: it is on its way.</returns>
    public bool To(MemberId target)
    {
        if (target != Target)
            (Target, _ticks, _told) = (target, 0, false);
        return true;
    }

    public void Tick()
    {
        if (!Target.IsNone && ++_ticks >= core.Options.ElectionTicks)
            Target = MemberId.None;
    }

    public void MembershipChanged()
    {
        if (!core.Membership.IsVoter(Target))
            Target = MemberId.None;
    }

    /// <summary>The target has everything and is to be told; again with each heartbeat, since messages get lost.</summary>
    public bool IsDue(Replicator peers, bool beatDue)
    {
        if (Target.IsNone || peers.Find(Target) is not { } peer || peer.Match < core.Log.Last || (_told && !beatDue))
            return false;
        _told = true;
        return true;
    }
}
