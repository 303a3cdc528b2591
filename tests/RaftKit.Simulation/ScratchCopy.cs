using System.Diagnostics;

namespace RaftKit.Simulation;

/// <summary>A copy of the code that mutants are made in, one after the other, so that each builds only what its patch touches.</summary>
internal sealed class ScratchCopy : IDisposable
{
    private readonly string _root;

    public ScratchCopy(string root, params string[] projects)
    {
        _root = root;
        Folder = Directory.CreateTempSubdirectory("raftkit-mutant-").FullName;
        foreach (var file in Directory.GetFiles(root).Where(f => Path.GetExtension(f) is ".props" or ".json" or ".txt" || Path.GetFileName(f) == ".editorconfig"))
            File.Copy(file, Path.Combine(Folder, Path.GetFileName(file)));
        Copy("src");
        Directory.CreateDirectory(Path.Combine(Folder, "tests"));
        File.Copy(Path.Combine(root, "tests", "Directory.Build.props"), Path.Combine(Folder, "tests", "Directory.Build.props"));
        foreach (string project in projects)
            Copy(Path.Combine("tests", project));
    }

    public string Folder { get; }

    public (int Code, string Output) Command(string program, string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = Folder, RedirectStandardOutput = true, RedirectStandardError = true,
        })!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, errors.Result + output);
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);

    private void Copy(string folder)
    {
        Directory.CreateDirectory(Path.Combine(Folder, folder));
        foreach (var file in Directory.GetFiles(Path.Combine(_root, folder)))
            File.Copy(file, Path.Combine(Folder, folder, Path.GetFileName(file)));
        foreach (var inner in Directory.GetDirectories(Path.Combine(_root, folder)).Select(Path.GetFileName).Where(f => f is not "bin" and not "obj"))
            Copy(Path.Combine(folder, inner!));
    }
}
