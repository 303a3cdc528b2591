using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>
/// Reads this member's copy of the tree all the time: that must go on whether or not there is a leader. A read fails if it throws, if it
/// goes back in time, if what it found before is gone, or if it does not return while this process runs on for a second.
/// </summary>
internal sealed class LocalReader(IZnodeView view, PauseDetector pauses, Cluster cluster)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan Stall = TimeSpan.FromSeconds(1);

    private readonly bool[] _seen = new bool[cluster.Partitions];
    private long _zxid;
    private long _reads;
    private long _failures;

    public long Reads => Volatile.Read(ref _reads);

    public long Failures => Volatile.Read(ref _failures);

    public async Task RunAsync(CancellationToken stop)
    {
        using var timer = new PeriodicTimer(Interval);
        for (var partition = 0; await timer.WaitForNextTickAsync(stop); partition = (partition + 1) % cluster.Partitions)
        {
            var began = pauses.RunningTime;
            var read = TryRead(partition) && pauses.RunningTime - began < Stall;
            Interlocked.Increment(ref read ? ref _reads : ref _failures);
        }
    }

    private bool TryRead(int partition)
    {
        try
        {
            var state = view.Get(Paths.State(partition));
            if (state is null)
                return !_seen[partition];
            if (state.Zxid < _zxid)
                return false;
            _seen[partition] = true;
            _zxid = state.Zxid;
            _ = PartitionState.Parse(state.Data.Span);
            return true;
        }
        catch (Exception e)
        {
            Console.Error.WriteLine($"A local read failed: {e}");
            return false;
        }
    }
}
