using System.Diagnostics;

namespace PartitionLeaders.Supervision;

/// <summary>Acknowledged writes a second, by broker, over the last full second.</summary>
internal sealed class WriteRates
{
    private readonly Dictionary<int, long> _counts = [];
    private Dictionary<int, double> _rates = [];
    private long _since = Stopwatch.GetTimestamp();

    public void Acknowledged(int broker, long writes) => _counts[broker] = _counts.GetValueOrDefault(broker) + writes;

    public double Of(int broker)
    {
        var passed = Stopwatch.GetElapsedTime(_since).TotalSeconds;
        if (passed >= 1)
        {
            _rates = _counts.ToDictionary(count => count.Key, count => count.Value / passed);
            _counts.Clear();
            _since = Stopwatch.GetTimestamp();
        }

        return _rates.GetValueOrDefault(broker);
    }
}
