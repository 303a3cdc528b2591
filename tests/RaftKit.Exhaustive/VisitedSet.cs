namespace RaftKit.Exhaustive;

/// <summary>The hashes of all states seen: 16 bytes each, in one table that is at most three quarters full.</summary>
internal sealed class VisitedSet
{
    private (ulong A, ulong B)[] _table = new (ulong, ulong)[1 << 16];

    public int Count { get; private set; }

    public long Bytes => _table.LongLength * 16;

    /// <returns>Whether it was not there.</returns>
    public bool Add((ulong A, ulong B) hash)
    {
        // Zero marks an empty place.
        if (hash is (0, 0))
            hash = (0, 1);
        if (Count >= _table.Length / 4 * 3)
            Grow();
        if (!Place(_table, hash))
            return false;
        Count++;
        return true;
    }

    private static bool Place((ulong A, ulong B)[] table, (ulong A, ulong B) hash)
    {
        int mask = table.Length - 1;
        for (int at = (int)hash.A & mask; ; at = (at + 1) & mask)
        {
            ref var place = ref table[at];
            if (place is (0, 0))
            {
                place = hash;
                return true;
            }
            if (place == hash)
                return false;
        }
    }

    private void Grow()
    {
        var table = new (ulong, ulong)[_table.Length * 2];
        foreach (var hash in _table)
        {
            if (hash is not (0, 0))
                Place(table, hash);
        }
        _table = table;
    }
}
