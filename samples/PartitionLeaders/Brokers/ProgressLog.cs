using System.Diagnostics;
using PartitionLeaders.Reports;

namespace PartitionLeaders.Brokers;

/// <summary>
/// Gathers what was acknowledged and tells it in batches: a line for every write would cost more than the write. Any thread.
/// </summary>
internal sealed class ProgressLog(ReportSink reports, LocalReader reader)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(50);

    private readonly Lock _lock = new();
    private readonly Dictionary<(int Partition, long Token), AckedRange> _acked = [];
    private readonly List<ProbeAck> _probes = [];

    /// <summary>A leader's record was acknowledged; each leader's come in order.</summary>
    public void Acknowledged(int partition, long token, long number)
    {
        lock (_lock)
        {
            var range = _acked.GetValueOrDefault((partition, token), new(partition, token, number, number));
            _acked[(partition, token)] = range with { Last = number };
        }
    }

    public void Acknowledged(ProbeAck probe)
    {
        lock (_lock)
            _probes.Add(probe);
    }

    public async Task RunAsync(CancellationToken stop)
    {
        using var timer = new PeriodicTimer(Interval);
        while (await timer.WaitForNextTickAsync(stop))
            Flush();
    }

    public void Flush()
    {
        BrokerReport.Progress progress;
        lock (_lock)
        {
            progress = new(Stopwatch.GetTimestamp(), [.. _acked.Values], [.. _probes], reader.Reads, reader.Failures);
            _acked.Clear();
            _probes.Clear();
        }

        reports.Send(progress);
    }
}
