using System.Diagnostics;
using System.Numerics;

namespace RaftKit.Load.Loads;

/// <summary>
/// Counts durations in buckets that are at most 1.6 % wide, from a nanosecond up. Any thread may record; costs no allocation.
/// </summary>
internal sealed class LatencyHistogram
{
    private const int SubBucketBits = 6;
    private const int SubBuckets = 1 << SubBucketBits;

    private readonly long[] _counts = new long[(64 - SubBucketBits) * SubBuckets];
    private long _max;

    public long Count => _counts.Sum();

    public double MaxMs => Milliseconds(Volatile.Read(ref _max));

    public void Record(long stopwatchTicks)
    {
        Interlocked.Increment(ref _counts[BucketOf(stopwatchTicks)]);
        for (var max = Volatile.Read(ref _max); stopwatchTicks > max;)
        {
            var seen = Interlocked.CompareExchange(ref _max, stopwatchTicks, max);
            if (seen == max)
                return;
            max = seen;
        }
    }

    /// <summary>The duration that this share of all stayed within.</summary>
    public double PercentileMs(double share)
    {
        var wanted = (long)Math.Ceiling(Count * share);
        long passed = 0;
        for (var bucket = 0; bucket < _counts.Length; bucket++)
        {
            passed += _counts[bucket];
            if (passed >= wanted && passed > 0)
                return Milliseconds(UpperBound(bucket));
        }

        return 0;
    }

    private static int BucketOf(long ticks)
    {
        var value = (ulong)Math.Max(0, ticks);
        if (value < SubBuckets)
            return (int)value;
        var shift = BitOperations.Log2(value) - SubBucketBits;
        return (shift + 1) * SubBuckets + (int)((value >> shift) - SubBuckets);
    }

    private static long UpperBound(int bucket)
    {
        if (bucket < SubBuckets)
            return bucket;
        var shift = bucket / SubBuckets - 1;
        return ((long)(bucket % SubBuckets + SubBuckets + 1) << shift) - 1;
    }

    private static double Milliseconds(long stopwatchTicks) => stopwatchTicks * 1000.0 / Stopwatch.Frequency;
}
