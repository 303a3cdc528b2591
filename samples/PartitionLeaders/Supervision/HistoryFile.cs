using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;
using PartitionLeaders.Reports;

namespace PartitionLeaders.Supervision;

/// <summary>
/// Writes the history clients' calls, one JSON object a line, as they end. A call whose process died in it is written as unknown.
/// </summary>
internal sealed class HistoryFile(string path) : IDisposable
{
    private readonly StreamWriter _file = new(path, append: false) { NewLine = "\n" };
    private readonly StreamWriter _local = new(path + ".local", append: false) { NewLine = "\n" };
    private readonly Dictionary<(BrokerProcess Broker, int Client), int> _clients = [];
    private readonly Dictionary<(BrokerProcess Broker, int Client), HistoryOperation> _open = [];

    public void Called(BrokerProcess broker, BrokerReport.HistoryCall call) => _open[(broker, call.Client)] = call.Operation;

    public void Returned(BrokerProcess broker, BrokerReport.HistoryReturn call)
    {
        _open.Remove((broker, call.Client));
        Write(broker, call.Client, call.Operation);
    }

    /// <summary>
    /// Reads of a member's own copy go into a file of their own: they are not linearizable, and do not claim to be. Those that wait until
    /// the copy is as new as asked are a client of their own beside those that do not.
    /// </summary>
    public void ReadLocally(BrokerProcess broker, HistoryOperation read) => _local.WriteLine(JsonSerializer.Serialize(
        read with { Client = read.Got is null ? broker.Pid : -broker.Pid }, HistoryJson.Default.HistoryOperation));

    public void Ended(BrokerProcess broker)
    {
        var now = (long)((Int128)Stopwatch.GetTimestamp() * 1_000_000_000 / Stopwatch.Frequency);
        foreach (var (key, operation) in _open.Where(open => open.Key.Broker == broker).ToArray())
        {
            _open.Remove(key);
            Write(broker, key.Client, operation with { Status = "info", Ret = now });
        }
    }

    public void Dispose()
    {
        foreach (var broker in _open.Keys.Select(key => key.Broker).Distinct().ToArray())
            Ended(broker);
        _file.Dispose();
        _local.Dispose();
    }

    private void Write(BrokerProcess broker, int client, HistoryOperation operation)
    {
        // Each life of a broker has clients of its own.
        if (!_clients.TryGetValue((broker, client), out var number))
            _clients[(broker, client)] = number = _clients.Count;
        _file.WriteLine(JsonSerializer.Serialize(operation with { Client = number }, HistoryJson.Default.HistoryOperation));
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(HistoryOperation))]
internal sealed partial class HistoryJson : JsonSerializerContext;
