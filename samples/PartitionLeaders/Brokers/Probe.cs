using System.Diagnostics;
using PartitionLeaders.Reports;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>
/// Submits a small write every few milliseconds, whether or not the earlier ones were answered, and notes when each was submitted and
/// acknowledged. From the probes of all brokers the supervisor sees for how long the quorum took no writes.
/// </summary>
internal sealed class Probe(IZnodeSession session, int broker, Func<NodeStatus?> status, WriteGate gate, ProgressLog progress)
{
    private const int MostOutstanding = 256;
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(5);

    private readonly string _path = Paths.Probe(broker);
    private int _outstanding;

    public async Task RunAsync(CancellationToken cancel)
    {
        using var timer = new PeriodicTimer(Interval);
        while (await timer.WaitForNextTickAsync(cancel))
        {
            if (Volatile.Read(ref _outstanding) >= MostOutstanding)
                continue;
            if (!gate.TryEnter())
                return;
            Interlocked.Increment(ref _outstanding);
            _ = WriteAsync(cancel);
        }
    }

    private async Task WriteAsync(CancellationToken cancel)
    {
        var submitted = Stopwatch.GetTimestamp();
        try
        {
            await session.SetAsync(_path, BitConverter.GetBytes(submitted), cancellationToken: cancel);
            progress.Acknowledged(new ProbeAck(submitted, Stopwatch.GetTimestamp(), status()!.Term.Value));
        }
        catch (Exception e) when (e is NotAppliedException or OutcomeUnknownException or SessionExpiredException or OperationCanceledException)
        {
            // Not acknowledged: that is what the supervisor sees.
        }
        finally
        {
            Interlocked.Decrement(ref _outstanding);
            gate.Leave();
        }
    }
}
