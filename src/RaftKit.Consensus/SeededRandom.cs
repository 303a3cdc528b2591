namespace RaftKit.Consensus;

/// <summary>
/// The core's only source of chance: PCG-XSH-RR, written out here so that one seed gives the same elections on every runtime, forever.
/// </summary>
internal sealed class SeededRandom
{
    private const ulong Multiplier = 6364136223846793005;
    private const ulong Increment = 1442695040888963407;

    private ulong _state;

    public SeededRandom(ulong seed)
    {
        _state = seed + Increment;
        // Neighbouring seeds (members 1, 2, 3 of one cluster) would draw similar first numbers without this.
        Draw();
        Draw();
    }

    /// <summary>A number from 0 up to, not including, <paramref name="limit"/>; 0 when there is no choice.</summary>
    public int Below(int limit) => limit <= 1 ? 0 : (int)(((ulong)Draw() * (uint)limit) >> 32);

    private uint Draw()
    {
        ulong old = _state;
        _state = (old * Multiplier) + Increment;
        uint shifted = (uint)(((old >> 18) ^ old) >> 27);
        return uint.RotateRight(shifted, (int)(old >> 59));
    }
}
