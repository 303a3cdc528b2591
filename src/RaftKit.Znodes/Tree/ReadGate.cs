namespace RaftKit.Znodes.Tree;

/// <summary>
/// Lets any thread read the tree while the loop changes it, so that a reader never waits long and the loop hardly ever does. A version is
/// odd while an entry is being applied; a reader notes an even version, reads without a lock, and keeps what it read only if the version is
/// still the same: then no entry began meanwhile, so what it saw is whole. What readers walk over must stay harmless while it changes
/// (wrong answers are thrown away, exceptions and endless loops are not). Reads that keep losing the race take the lock, which an entry
/// also holds: uncontended that costs the loop some 20 ns an entry, and it bounds how long a reader can be put off.
/// </summary>
internal sealed class ReadGate
{
    private const int OptimisticAttempts = 8;

    private readonly Lock _entry = new();
    private long _version;

    /// <summary>Reads state that entries change; returns false when it gave up, which only an optimistic read may.</summary>
    /// <param name="source">What is read.</param>
    /// <param name="argument">What is asked.</param>
    /// <param name="exclusive">Whether nothing can change meanwhile; if so, the read must succeed.</param>
    /// <param name="result">The answer.</param>
    public delegate bool TryRead<TSource, TArgument, TResult>(TSource source, TArgument argument, bool exclusive, out TResult result);

    /// <summary>An entry begins to change the tree.</summary>
    public void Enter()
    {
        _entry.Enter();
        _version++;
        // No change of the entry may be seen before the odd version.
        Interlocked.MemoryBarrier();
    }

    /// <summary>The entry is whole.</summary>
    public void Exit()
    {
        Volatile.Write(ref _version, _version + 1);
        _entry.Exit();
    }

    public TResult Read<TSource, TArgument, TResult>(
        TSource source, TArgument argument, TryRead<TSource, TArgument, TResult> read)
    {
        var spin = new SpinWait();
        for (var attempt = 0; attempt < OptimisticAttempts; attempt++)
        {
            var version = Volatile.Read(ref _version);
            if ((version & 1) == 0 && read(source, argument, exclusive: false, out var seen))
            {
                // Nothing read above may be read again, or late, below.
                Interlocked.MemoryBarrier();
                if (Volatile.Read(ref _version) == version)
                    return seen;
            }
            spin.SpinOnce(sleep1Threshold: -1);
        }

        lock (_entry)
        {
            read(source, argument, exclusive: true, out var seen);
            return seen;
        }
    }
}
