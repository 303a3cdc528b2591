using System.Diagnostics;
using System.Runtime.InteropServices;

namespace RaftKit.Simulation;

/// <summary>
/// A copy of the code that mutants are made in, one after the other, so that each builds only what its patch touches. Nothing of it stays:
/// not when Ctrl-C or SIGTERM ends the hunt, and what a SIGKILL left behind goes with the next hunt.
/// </summary>
internal sealed class ScratchCopy : IDisposable
{
    private const string Prefix = "raftkit-mutant-";

    // Locked for as long as its process lives, whatever ends that.
    private const string OwnerFile = ".owner";

    private static readonly string[] Order = ["RaftKit.Consensus", "RaftKit.Node", "RaftKit.Znodes", "RaftKit.Recipes", "RaftKit.TestKit"];

    private readonly string _root;
    private readonly string _project;
    private readonly List<string> _changed = [];
    private readonly FileStream _owned;
    private readonly PosixSignalRegistration[] _signals;
    // Whoever ends the process takes it and keeps it: nobody then begins anything more, nor tidies up a second time.
    private readonly Lock _going = new();
    private Process? _running;
    private bool _isBuilt;

    /// <param name="root">The repository.</param>
    /// <param name="project">The program, below tests/.</param>
    /// <param name="beside">Projects that it takes files of.</param>
    public ScratchCopy(string root, string project, params IReadOnlyList<string> beside)
    {
        _root = root;
        Sweep(Path.GetTempPath());
        Folder = Directory.CreateTempSubdirectory(Prefix).FullName;
        _owned = Own(Folder);
        _signals = [PosixSignalRegistration.Create(PosixSignal.SIGINT, End), PosixSignalRegistration.Create(PosixSignal.SIGTERM, End)];
        using var making = _going.EnterScope();
        foreach (var file in Directory.GetFiles(root).Where(
            f => Path.GetExtension(f) is ".props" or ".json" or ".txt" || Path.GetFileName(f) == ".editorconfig"))
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
        Process process;
        lock (_going)
        {
            _running = process = Process.Start(new ProcessStartInfo(program, arguments)
            {
                WorkingDirectory = Folder, RedirectStandardOutput = true, RedirectStandardError = true,
            })!;
        }
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        var code = process.ExitCode;
        lock (_going)
        {
            _running = null;
            process.Dispose();
        }
        return (code, errors.Result + output);
    }

    /// <summary>
    /// Builds what was changed, and what was changed for the last time, in the order of the projects' references. Where what others are
    /// compiled against is still the same, which it is as long as only bodies of methods change, that is enough: a few seconds, where a
    /// build of everything takes ten times as many.
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
            File.Copy(Path.Combine(Folder, Bin(folder), project + ".dll"), Path.Combine(Folder, Bin(_project), project + ".dll"),
                overwrite: true);
        }
        return null;
    }

    public void Dispose()
    {
        lock (_going)
        {
            Directory.Delete(Folder, recursive: true);
            _owned.Dispose();
        }
        foreach (var signal in _signals)
            signal.Dispose();
    }

    /// <summary>Deletes the copies whose processes are gone.</summary>
    public static void Sweep(string folder)
    {
        foreach (var copy in Directory.GetDirectories(folder, Prefix + "*"))
        {
            try
            {
                // Held by its process, it cannot be opened; a folder without it is being made, or what is left of one that could not be
                // deleted whole.
                var owner = Path.Combine(copy, OwnerFile);
                if (!File.Exists(owner) && TimeProvider.System.GetUtcNow() - Directory.GetCreationTimeUtc(copy) < TimeSpan.FromDays(1))
                    continue;
                using var left = new FileStream(owner, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
                Directory.Delete(copy, recursive: true);
            }
            catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
            {
                // Somebody's, and still at work.
            }
        }
    }

    /// <summary>Marks a copy as one that a living process works in.</summary>
    public static FileStream Own(string copy) => new(Path.Combine(copy, OwnerFile), FileMode.Create, FileAccess.ReadWrite, FileShare.None);

    private void End(PosixSignalContext context)
    {
        context.Cancel = true;
        _going.Enter();
        try
        {
            if (_running is { } child)
            {
                // It must not write any more when the folder goes.
                child.Kill(entireProcessTree: true);
                child.WaitForExit();
            }
        }
        catch (Exception failure) when (failure is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            // It has ended by itself.
        }
        try
        {
            if (Directory.Exists(Folder))
                Directory.Delete(Folder, recursive: true);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // A compiler server wrote to it still: a later hunt sweeps it.
            using var left = new FileStream(Path.Combine(Folder, OwnerFile), FileMode.OpenOrCreate);
        }
        Environment.Exit(context.Signal == PosixSignal.SIGINT ? 130 : 143);
    }

    private static string Bin(string project) => Path.Combine(project, "bin", "Release", "net10.0");

    private string? All() => Dotnet("build", _project, "-p:RunAnalyzers=false");

    private string? Dotnet(params string[] arguments) =>
        Command("dotnet", [.. arguments, "-c", "Release", "-v", "q", "-nologo"]) is { Code: not 0 } broken ? broken.Output : null;

    private void Copy(string folder)
    {
        Directory.CreateDirectory(Path.Combine(Folder, folder));
        foreach (var file in Directory.GetFiles(Path.Combine(_root, folder)))
            File.Copy(file, Path.Combine(Folder, folder, Path.GetFileName(file)));
        foreach (var inner in Directory.GetDirectories(Path.Combine(_root, folder)).Select(Path.GetFileName).Where(
            f => f is not "bin" and not "obj"))
            Copy(Path.Combine(folder, inner!));
    }
}
