using System.Runtime.InteropServices;

namespace RaftKit.TestKit;

/// <summary>
/// FNV-1a, the same in every process (string.GetHashCode is not): trace hashes and entry hashes are compared between processes.
/// </summary>
internal struct StableHash
{
    private const ulong Prime = 0x100000001B3;
    private ulong _value = 0xCBF29CE484222325;

    public StableHash()
    {
    }

    public readonly ulong Value => _value;

    public static ulong Of(string text)
    {
        var hash = new StableHash();
        hash.Add(text);
        return hash.Value;
    }

    public static ulong Of(ReadOnlySpan<byte> bytes)
    {
        var hash = new StableHash();
        hash.Add(bytes);
        return hash.Value;
    }

    public void Add(long value) => Add((ulong)value);

    // Eight bytes at once, mixed once more, because the trace hash is fed for every event.
    public void Add(ulong value)
    {
        _value = (_value ^ value) * Prime;
        _value ^= _value >> 29;
    }

    public void Add(ReadOnlySpan<byte> bytes)
    {
        Add((ulong)bytes.Length);
        foreach (var word in MemoryMarshal.Cast<byte, ulong>(bytes[..(bytes.Length & ~7)]))
            Add(word);
        foreach (var b in bytes[(bytes.Length & ~7)..])
            Add((ulong)b);
    }

    public void Add(string text) => Add(MemoryMarshal.AsBytes(text.AsSpan()));
}
