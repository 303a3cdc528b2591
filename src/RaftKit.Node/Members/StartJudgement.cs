using RaftKit.Consensus;

namespace RaftKit.Node.Members;

/// <summary>
/// Whether this start may vote and acknowledge already. Its directory may be an old copy, which only those can tell who were told what it
/// has forgotten: so it waits until every other member has judged its hello. Not for ever, or one member that is down would keep another
/// from coming back; who cannot be reached for an election timeout judges later, when it can. Loop thread only.
/// </summary>
internal sealed class StartJudgement(IEnumerable<MemberId> others, int patience)
{
    private readonly HashSet<MemberId> _awaited = [.. others];
    private int _ticks;

    /// <summary>A start that has nothing behind it: the directory was empty, and is this process's own.</summary>
    public static StartJudgement NotNeeded => new([], 0);

    public bool IsOver => _awaited.Count == 0 || _ticks >= patience;

    public void Tick() => _ticks++;

    /// <summary>The member knows of nothing that this start has forgotten.</summary>
    public void Admitted(MemberId by) => _awaited.Remove(by);
}
