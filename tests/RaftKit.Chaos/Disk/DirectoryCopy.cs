namespace RaftKit.Chaos.Disk;

/// <summary>The files of a member's directory as they were at a moment when it was stopped.</summary>
internal sealed class DirectoryCopy
{
    private readonly Dictionary<string, byte[]> _files;

    public DirectoryCopy(string folder) =>
        _files = Directory.GetFiles(folder).ToDictionary(file => Path.GetFileName(file), File.ReadAllBytes);

    public void WriteTo(string folder)
    {
        foreach (var (name, bytes) in _files)
            File.WriteAllBytes(Path.Combine(folder, name), bytes);
    }
}
