namespace PartitionLeaders.Supervision;

/// <summary>Where the brokers keep their data and logs: the user's folder, or a temporary one that goes when it is disposed.</summary>
internal sealed class DataFolder : IDisposable
{
    private bool _keep;

    private DataFolder(string path, bool keep) => (Path, _keep) = (path, keep);

    public string Path { get; }

    public static DataFolder Open(string? path) => path is null
        ? new(Directory.CreateTempSubdirectory("partition-leaders-").FullName, keep: false)
        : new(Directory.CreateDirectory(path).FullName, keep: true);

    public string Broker(int broker) => System.IO.Path.Combine(Path, $"broker-{broker}");

    public string Log(int broker) => System.IO.Path.Combine(Path, $"broker-{broker}.log");

    /// <summary>The last line that a broker logged, stack traces left out.</summary>
    public string LastErrorOf(int broker) =>
        File.ReadLines(Log(broker)).LastOrDefault(line => line.Length > 0 && !line.StartsWith("   at ", StringComparison.Ordinal))
            ?? "(nothing)";

    /// <summary>Something went wrong: it may be seen from these files what.</summary>
    public void Keep() => _keep = true;

    public void Dispose()
    {
        if (!_keep)
            Directory.Delete(Path, recursive: true);
    }
}
