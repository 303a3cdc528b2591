namespace RaftKit.Consensus;

/// <summary>
/// The core's only source of chance: PCG-XSH-RR, written out here so that one seed gives the same elections on every runtime, forever.
/// </summary>
internal sealed class SeededRandom
{
    private const ulong Multiplier = 6364136223846793005;
    private const ulong Increment = 1442695040888963407;

    private ulong _state;

    /// <summary>
    /// A generator for one life of one member. Members may all be given one seed, and two that drew the same timeouts would split
    /// every vote forever: so all three numbers are mixed until no bit of one stands for a bit of another.
    /// </summary>
    public SeededRandom(ulong seed, MemberId member, uint boot) => _state = Mix(Mix(Mix(seed) + (ulong)member.Value) + boot);

    /// <summary>A number from 0 up to, not including, <paramref name="limit"/>; 0 when there is no choice.</summary>
    public int Below(int limit) => limit <= 1 ? 0 : (int)(((ulong)Draw() * (uint)limit) >> 32);

    /// <summary>SplitMix64's finalizer.</summary>
    private static ulong Mix(ulong value)
    {
        value += 0x9e3779b97f4a7c15;
        value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
        value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
        return value ^ (value >> 31);
    }

    private uint Draw()
    {
        ulong old = _state;
        _state = (old * Multiplier) + Increment;
        uint shifted = (uint)(((old >> 18) ^ old) >> 27);
        return uint.RotateRight(shifted, (int)(old >> 59));
    }
}
