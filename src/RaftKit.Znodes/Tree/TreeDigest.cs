using System.Buffers.Binary;

namespace RaftKit.Znodes.Tree;

/// <summary>
/// The digest of a tree: the sum of a 64-bit hash of each node over its path, its data, every field of its Stat and its create counter. A
/// sum does not depend on order and is kept up by subtracting a node's old hash and adding its new one. It is made to find members that
/// diverged, not to withstand somebody who forges; it is in snapshots, so the function never changes.
/// </summary>
internal static class TreeDigest
{
    private const ulong Seed = 0x243F6A8885A308D3;
    private const ulong Multiplier = 0x9E3779B97F4A7C15;
    private const ulong Increment = 0xD1B54A32D192ED03;

    /// <summary>The hash of what seldom changes: the path and the data (null, which is <c>default</c> here, is not empty).</summary>
    public static ulong Content(ReadOnlySpan<char> path, ReadOnlyMemory<byte> data)
    {
        var hash = Seed;
        var length = path.Length;
        for (; path.Length >= 4; path = path[4..])
            hash = Mix(hash, path[0] | ((ulong)path[1] << 16) | ((ulong)path[2] << 32) | ((ulong)path[3] << 48));
        foreach (var c in path)
            hash = Mix(hash, c);
        hash = Mix(hash, (ulong)length);
        if (data.Equals(default))
            return Mix(hash, ulong.MaxValue);

        var bytes = data.Span;
        for (; bytes.Length >= 8; bytes = bytes[8..])
            hash = Mix(hash, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
        ulong rest = 0;
        for (var i = bytes.Length - 1; i >= 0; i--)
            rest = (rest << 8) | bytes[i];
        return Mix(Mix(hash, rest), (ulong)data.Length);
    }

    /// <summary>The hash of a node as it is now.</summary>
    public static ulong Of(TreeNode node)
    {
        var hash = Mix(node.ContentHash, (ulong)node.CreatedZxid);
        hash = Mix(hash, (ulong)node.ModifiedZxid);
        hash = Mix(hash, (ulong)node.CreatedTime);
        hash = Mix(hash, (ulong)node.ModifiedTime);
        hash = Mix(hash, (uint)node.Version);
        hash = Mix(hash, (ulong)node.Owner);
        hash = Mix(hash, (ulong)node.Creates);
        hash = Mix(hash, (uint)node.ChildCount);
        return Mix(hash, (ulong)node.ChildrenZxid);
    }

    // The two halves of a 128-bit product, folded: each input bit reaches about half of the output bits. The increment keeps a zero from
    // sticking.
    private static ulong Mix(ulong hash, ulong value)
    {
        var high = Math.BigMul((hash ^ value) + Increment, Multiplier, out var low);
        return high ^ low;
    }
}
