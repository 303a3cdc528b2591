using RaftKit.Simulation;

namespace RaftKit.Exhaustive;

/// <summary>
/// Known bugs, put back into a copy of this repository's code: what finds none of them would prove nothing by its silence.
/// </summary>
internal static class Mutants
{
    public static int Run(string name, string[] flags, bool json)
    {
        string root = FindRoot();
        string? patch = new[] { "RaftKit.Exhaustive", "RaftKit.Simulation" }
            .Select(project => Path.Combine(root, "tests", project, "Mutants", name + ".patch")).FirstOrDefault(File.Exists);
        if (patch is null)
        {
            Console.Error.WriteLine($"There is no mutant {name}.");
            return 2;
        }
        using var copy = new ScratchCopy(root, "RaftKit.Exhaustive", "RaftKit.Simulation");
        string project = Path.Combine(copy.Folder, "tests", "RaftKit.Exhaustive");
        if (copy.Command("git", ["apply", "--whitespace=nowarn", patch]) is { Code: not 0 } refused)
        {
            Console.Error.WriteLine($"The patch of mutant {name} no longer applies: bring it up to date.\n{refused.Output}");
            return 2;
        }
        if (copy.Command("dotnet", ["build", project, "-c", "Release", "-v", "q", "-nologo"]) is { Code: not 0 } broken)
        {
            Console.Error.WriteLine($"Mutant {name} does not build.\n{broken.Output}");
            return 2;
        }
        var (code, output) = copy.Command(
            "dotnet", [Path.Combine(project, "bin", "Release", "net10.0", "RaftKit.Exhaustive.dll"), .. flags, "--json"]);
        Console.WriteLine(json ? output.TrimEnd().Split('\n')[^1] : output);
        return code;
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
