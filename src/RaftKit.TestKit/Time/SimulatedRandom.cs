namespace RaftKit.TestKit;

/// <summary>
/// The simulator's only source of chance (SplitMix64). Each concern gets a stream of its own by <see cref="Split"/>, so that one more draw
/// by the disk does not change what the network does: a seed stays close to itself while the code under it is changed.
/// </summary>
internal sealed class SimulatedRandom
{
    private readonly ulong _seed;
    private ulong _state;

    public SimulatedRandom(ulong seed)
    {
        _seed = seed;
        _state = seed;
    }

    /// <summary>A stream of its own for a concern, the same for the same seed and name.</summary>
    public SimulatedRandom Split(string concern) => new(Mix(_seed ^ StableHash.Of(concern)));

    public ulong NextUInt64()
    {
        _state += 0x9E3779B97F4A7C15;
        return Mix(_state);
    }

    /// <summary>0 to <paramref name="exclusive"/> - 1.</summary>
    public int Next(int exclusive) => (int)((UInt128)NextUInt64() * (ulong)exclusive >> 64);

    /// <summary><paramref name="from"/> to <paramref name="to"/>, both included.</summary>
    public int Between(int from, int to) => from + Next(to - from + 1);

    public double NextDouble() => (NextUInt64() >> 11) * (1.0 / (1UL << 53));

    public double Between(double from, double to) => from + (NextDouble() * (to - from));

    public bool Chance(double probability) => probability > 0 && NextDouble() < probability;

    public TimeSpan Between(TimeSpan from, TimeSpan to) => new(from.Ticks + (long)(NextDouble() * (to.Ticks - from.Ticks + 1)));

    public T Pick<T>(IReadOnlyList<T> list) => list[Next(list.Count)];

    public void Shuffle<T>(IList<T> list)
    {
        for (var i = list.Count - 1; i > 0; i--)
        {
            var j = Next(i + 1);
            (list[i], list[j]) = (list[j], list[i]);
        }
    }

    private static ulong Mix(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
