using System.Diagnostics;
using System.Text.Json;

namespace RaftKit.Simulation;

/// <summary>
/// Famous bugs, put back into a copy of this repository's own code: a simulator that does not catch them proves nothing by its silence. Product code holds
/// no switches; each mutant is a patch (Mutants/*.patch) whose head tells the bug, its source and what should catch it.
/// </summary>
internal static class Mutants
{
    private static string Root => FindRoot();

    private static string Folder => Path.Combine(Root, "tests", "RaftKit.Simulation", "Mutants");

    public static int List()
    {
        foreach (var patch in Directory.GetFiles(Folder, "*.patch").Order(StringComparer.Ordinal))
            Console.WriteLine($"{Path.GetFileNameWithoutExtension(patch)}: {Field(patch, "Bug")} ({Field(patch, "Source")}; expected: {Field(patch, "Expected")})");
        return 0;
    }

    public static int Run(string name, (ulong From, ulong To) seeds, bool json)
    {
        var patch = Path.Combine(Folder, name + ".patch");
        if (!File.Exists(patch))
            return Arguments.Refuse($"There is no mutant {name}; --list-mutants names them.");
        var copy = Directory.CreateTempSubdirectory("raftkit-mutant-").FullName;
        try
        {
            CopyCode(copy);
            if (Command(copy, "git", ["apply", "--whitespace=nowarn", patch]) is { Code: not 0 } refused)
                return Fail($"The patch of mutant {name} no longer applies: bring it up to date.\n{refused.Output}");
            var project = Path.Combine(copy, "tests", "RaftKit.Simulation");
            if (Command(copy, "dotnet", ["build", project, "-c", "Release", "-v", "q", "-nologo"]) is { Code: not 0 } broken)
                return Fail($"Mutant {name} does not build.\n{broken.Output}");
            var run = Command(
                copy, "dotnet", [Path.Combine(project, "bin", "Release", "net10.0", "RaftKit.Simulation.dll"), "--seeds", $"{seeds.From}..{seeds.To}", "--stop-at-first", "--json"]);
            return Judge(name, run.Output, json);
        }
        finally
        {
            Directory.Delete(copy, recursive: true);
        }
    }

    private static int Judge(string name, string output, bool json)
    {
        var lines = output.Split('\n');
        var violation = lines.FirstOrDefault(l => l.StartsWith("seed ", StringComparison.Ordinal) && l.Contains(" ms: ", StringComparison.Ordinal));
        var summary = lines.LastOrDefault(l => l.StartsWith('{'));
        if (violation is null || summary is null)
            return Fail($"Mutant {name} was not caught.\n{summary ?? output}");
        using var parsed = JsonDocument.Parse(summary);
        var run = parsed.RootElement.GetProperty("seeds").GetInt32();
        var what = violation[(violation.IndexOf(" ms: ", StringComparison.Ordinal) + 5)..];
        var caughtBy = what[..Math.Min(what.Length, what.IndexOf(':', StringComparison.Ordinal) is > 0 and var colon ? colon : what.Length)];
        Console.WriteLine(json
            ? $$"""{"mutant":{{Quote(name)}},"caught":true,"seeds_to_catch":{{run}},"invariant":{{Quote(caughtBy)}},"violation":{{Quote(what)}}}"""
            : $"{name} was caught within {run} seeds: {violation}");
        return 0;
    }

    private static string Quote(string text) => $"\"{JsonEncodedText.Encode(text)}\"";

    private static int Fail(string why)
    {
        Console.Error.WriteLine(why);
        return 1;
    }

    private static string Field(string patch, string name) =>
        File.ReadLines(patch).FirstOrDefault(l => l.StartsWith(name + ": ", StringComparison.Ordinal))?[(name.Length + 2)..] ?? "?";

    private static void CopyCode(string copy)
    {
        foreach (var file in Directory.GetFiles(Root).Where(f => Path.GetExtension(f) is ".props" or ".json" or ".txt" || Path.GetFileName(f) == ".editorconfig"))
            File.Copy(file, Path.Combine(copy, Path.GetFileName(file)));
        CopyFolder(Path.Combine(Root, "src"), Path.Combine(copy, "src"));
        Directory.CreateDirectory(Path.Combine(copy, "tests"));
        File.Copy(Path.Combine(Root, "tests", "Directory.Build.props"), Path.Combine(copy, "tests", "Directory.Build.props"));
        CopyFolder(Path.Combine(Root, "tests", "RaftKit.Simulation"), Path.Combine(copy, "tests", "RaftKit.Simulation"));
    }

    private static void CopyFolder(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (var file in Directory.GetFiles(from))
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
        foreach (var folder in Directory.GetDirectories(from).Where(f => Path.GetFileName(f) is not "bin" and not "obj"))
            CopyFolder(folder, Path.Combine(to, Path.GetFileName(folder)));
    }

    private static (int Code, string Output) Command(string folder, string program, string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            WorkingDirectory = folder, RedirectStandardOutput = true, RedirectStandardError = true,
        })!;
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return (process.ExitCode, errors.Result + output);
    }

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "RaftKit.sln")))
                return folder.FullName;
        }
        throw new InvalidOperationException("Mutants are made from a clone of the repository, and this does not run in one.");
    }
}
