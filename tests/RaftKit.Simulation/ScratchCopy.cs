using System.Diagnostics;

namespace RaftKit.Simulation;

/// <summary>A copy of the code that mutants are made in, one after the other, so that each builds only what its patch touches.</summary>
internal sealed class ScratchCopy : IDisposable
{
    private static readonly string[] Order = ["RaftKit.Consensus", "RaftKit.Node", "RaftKit.Znodes", "RaftKit.Recipes", "RaftKit.TestKit"];

    private readonly string _root;
    private readonly string _project;
    private readonly List<string> _changed = [];
    private bool _isBuilt;

    /// <param name="root">The repository.</param>
    /// <param name="project">The program, below tests/.</param>
    /// <param name="beside">Projects that it takes files of.</param>
    public ScratchCopy(string root, string project, params IReadOnlyList<string> beside)
    {
        _root = root;
        Folder = Directory.CreateTempSubdirectory("raftkit-mutant-").FullName;
        foreach (var file in Directory.GetFiles(root).Where(f => Path.GetExtension(f) is ".props" or ".json" or ".txt" || Path.GetFileName(f) == ".editorconfig"))
            File.Copy(file, Path.Combine(Folder, Path.GetFileName(file)));
        Copy("src");
        Directory.CreateDirectory(Path.Combine(Folder, "tests"));
        File.Copy(Path.Combine(root, "tests", "Directory.Build.props"), Path.Combine(Folder, "tests", "Directory.Build.props"));
        _project = Path.Combine("tests", project);
        Copy(_project);
        foreach (var other in beside)
            Copy(Path.Combine("tests", other));
    }

    /// <summary>What the build made.</summary>
    public string Program => Path.Combine(Folder, Bin(_project), Path.GetFileName(_project) + ".dll");

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

    /// <summary>
    /// Builds what was changed, and what was changed for the last time, in the order of the projects' references. Where what others are compiled against is still the same,
    /// which it is as long as only bodies of methods change, that is enough: a few seconds, where a build of everything takes ten times as many.
    /// </summary>
    /// <returns>Why not; null if it was built.</returns>
    public string? Build(IReadOnlyList<string> projects)
    {
        if (!_isBuilt && All() is { } failed)
            return failed;
        _isBuilt = true;
        var due = projects.Concat(_changed).Distinct().OrderBy(p => Array.IndexOf(Order, p)).ToList();
        _changed.Clear();
        _changed.AddRange(projects);
        foreach (var project in due)
        {
            var folder = Path.Combine("src", project);
            var others = Path.Combine(Folder, folder, "obj", "Release", "net10.0", "ref", project + ".dll");
            var before = File.ReadAllBytes(others);
            if (Dotnet("build", folder, "--no-restore", "--no-dependencies", "-p:RunAnalyzers=false") is { } broken)
                return broken;
            if (!File.ReadAllBytes(others).AsSpan().SequenceEqual(before))
                return All();
            File.Copy(Path.Combine(Folder, Bin(folder), project + ".dll"), Path.Combine(Folder, Bin(_project), project + ".dll"), overwrite: true);
        }
        return null;
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);

    private static string Bin(string project) => Path.Combine(project, "bin", "Release", "net10.0");

    private string? All() => Dotnet("build", _project, "-p:RunAnalyzers=false");

    private string? Dotnet(params string[] arguments) =>
        Command("dotnet", [.. arguments, "-c", "Release", "-v", "q", "-nologo"]) is { Code: not 0 } broken ? broken.Output : null;

    private void Copy(string folder)
    {
        Directory.CreateDirectory(Path.Combine(Folder, folder));
        foreach (var file in Directory.GetFiles(Path.Combine(_root, folder)))
            File.Copy(file, Path.Combine(Folder, folder, Path.GetFileName(file)));
        foreach (var inner in Directory.GetDirectories(Path.Combine(_root, folder)).Select(Path.GetFileName).Where(f => f is not "bin" and not "obj"))
            Copy(Path.Combine(folder, inner!));
    }
}
