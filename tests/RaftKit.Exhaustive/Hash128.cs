using System.Numerics;

namespace RaftKit.Exhaustive;

/// <summary>
/// 128 bits over a sequence of numbers: two lanes that share nothing but their input. Of 10^9 different states the chance that any two meet
/// in it is about 10^-21.
/// </summary>
internal struct Hash128
{
    private ulong _a = 0x9e3779b97f4a7c15;
    private ulong _b = 0xc2b2ae3d27d4eb4f;

    public Hash128()
    {
    }

    public readonly (ulong A, ulong B) Value => (Mix(_a, 0xbf58476d1ce4e5b9), Mix(_b, 0xd6e8feb86659fd93));

    public static (ulong A, ulong B) Of(ReadOnlySpan<int> numbers)
    {
        var hash = new Hash128();
        hash.Add(numbers.Length);
        int i = 0;
        for (; i + 1 < numbers.Length; i += 2)
            hash.Add(((long)numbers[i] << 32) | (uint)numbers[i + 1]);
        if (i < numbers.Length)
            hash.Add(numbers[i]);
        return hash.Value;
    }

    public void Add(long number)
    {
        // Each step is one to one in what was there before and in the number: nothing is lost on the way.
        _a = Mix(_a ^ (ulong)number, 0xff51afd7ed558ccd);
        _b = Mix(BitOperations.RotateLeft(_b, 23) + (ulong)number, 0xc4ceb9fe1a85ec53);
    }

    public void Add(ReadOnlySpan<byte> bytes)
    {
        Add(bytes.Length);
        foreach (byte one in bytes)
            Add(one);
    }

    private static ulong Mix(ulong value, ulong odd)
    {
        value = (value ^ (value >> 32)) * odd;
        value = (value ^ (value >> 29)) * 0x94d049bb133111eb;
        return value ^ (value >> 32);
    }
}
