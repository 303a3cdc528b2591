namespace RaftKit.Znodes.Sessions;

/// <summary>What happened to sessions, as this member applied it since it started. Written on the loop, read by any thread.</summary>
internal sealed class SessionCounters
{
    internal long OpenedCount, ClosedCount, SilenceCount, HostDiedCount, HostRefusedCount, SparedCount, GivenUpCount;

    public long Opened => Volatile.Read(ref OpenedCount);

    public long Closed => Volatile.Read(ref ClosedCount);

    /// <summary>Expired, whatever the cause.</summary>
    public long Expired => ExpiredBySilence + ExpiredByHostDeath + ExpiredByRefusal;

    public long ExpiredBySilence => Volatile.Read(ref SilenceCount);

    public long ExpiredByHostDeath => Volatile.Read(ref HostDiedCount);

    public long ExpiredByRefusal => Volatile.Read(ref HostRefusedCount);

    /// <summary>Expiries that were proposed and voided.</summary>
    public long Spared => Volatile.Read(ref SparedCount);

    /// <summary>Sessions of this process that it gave up for want of an answer.</summary>
    public long GivenUp => Volatile.Read(ref GivenUpCount);

    internal void Count(SessionEnd end)
    {
        switch (end)
        {
            case SessionEnd.Closed:
                ClosedCount++;
                break;
            case SessionEnd.Silence:
                SilenceCount++;
                break;
            case SessionEnd.HostDied:
                HostDiedCount++;
                break;
            case SessionEnd.HostRefused:
                HostRefusedCount++;
                break;
        }
    }
}
