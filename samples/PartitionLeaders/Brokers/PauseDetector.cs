using System.Diagnostics;
using PartitionLeaders.Reports;

namespace PartitionLeaders.Brokers;

/// <summary>Notices when this process did not run for a while: frozen, or starved of processors.</summary>
internal sealed class PauseDetector(ReportSink reports)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(25);
    private static readonly TimeSpan WorthTelling = TimeSpan.FromMilliseconds(500);

    private long _runningTicks;

    /// <summary>For how long this process has run, pauses left out; in steps of the interval.</summary>
    public TimeSpan RunningTime => Interval * Volatile.Read(ref _runningTicks);

    public async Task RunAsync(CancellationToken stop)
    {
        using var timer = new PeriodicTimer(Interval);
        var last = Stopwatch.GetTimestamp();
        while (await timer.WaitForNextTickAsync(stop))
        {
            var now = Stopwatch.GetTimestamp();
            if (Stopwatch.GetElapsedTime(last, now) > WorthTelling)
                reports.Send(new BrokerReport.Suspended(last, now));
            last = now;
            Interlocked.Increment(ref _runningTicks);
        }
    }
}
