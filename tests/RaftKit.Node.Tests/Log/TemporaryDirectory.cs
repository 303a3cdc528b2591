namespace RaftKit.Node.Tests.Log;

/// <summary>A real directory of its own, deleted at the end.</summary>
internal sealed class TemporaryDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("raftkit-log-").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
