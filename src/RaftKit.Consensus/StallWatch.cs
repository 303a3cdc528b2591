namespace RaftKit.Consensus;

/// <summary>
/// Whether this leader's own disk stands still while those of a quorum go on (DESIGN, promise 6). What is committed beyond what its own
/// disk holds is their word: they acknowledge what they have fsynced. Where theirs stand still as well nothing is committed, and leading
/// elsewhere would be no better.
/// </summary>
internal sealed class StallWatch(RaftCore core)
{
    // Disks hiccup: one that comes back within an election timeout is forgiven, since the others commit meanwhile.
    private const int Patience = 2;

    private LogIndex _durable;
    private int _ticks;

    /// <returns>True each time that it has lasted for two election timeouts.</returns>
    public bool Tick()
    {
        if (core.Durable != _durable || core.Commit <= core.Durable)
        {
            (_durable, _ticks) = (core.Durable, 0);
            return false;
        }

        return ++_ticks % (Patience * core.Options.ElectionTicks) == 0;
    }
}
