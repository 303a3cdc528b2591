using PartitionLeaders.Reports;

namespace PartitionLeaders.Brokers;

/// <summary>
/// Writes reports to the supervisor. Each is in the pipe when <see cref="Send"/> returns, so a report survives its sender. Any thread.
/// </summary>
internal sealed class ReportSink
{
    private readonly Lock _lock = new();
    private readonly StreamWriter _output = new(Console.OpenStandardOutput()) { NewLine = "\n" };

    public void Send(BrokerReport report)
    {
        var line = report.ToLine();
        lock (_lock)
        {
            _output.WriteLine(line);
            _output.Flush();
        }
    }
}
