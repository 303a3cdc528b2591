using System.Globalization;
using System.Text.Json;

namespace RaftKit.Simulation;

/// <summary>
/// Famous bugs, put back into a copy of this repository's own code: a simulator that does not catch them proves nothing by its silence.
/// Product code holds no switches; each mutant is a patch (Mutants/*.patch) whose head tells the bug, its source and what should catch it.
/// </summary>
internal static class Mutants
{
    private const int BadFlags = 2;

    private static string Root => FindRoot();

    private static string Folder => Path.Combine(Root, "tests", "RaftKit.Simulation", "Mutants");

    public static int List()
    {
        foreach (var patch in Directory.GetFiles(Folder, "*.patch").Order(StringComparer.Ordinal))
            Console.WriteLine(
                $"{Path.GetFileNameWithoutExtension(patch)}: {Field(patch, "Bug")} ({Field(patch, "Source")}; expected: {Field(patch, "Expected")}{(JudgedBy(patch) is { Length: > 0 } alone ? $"; judged by {alone} alone" : "")})");
        return 0;
    }

    /// <summary>Puts one bug back, and runs seeds until one fails that passes without it.</summary>
    public static int Run(string name, (ulong From, ulong To) seeds, bool json)
    {
        if (!File.Exists(PatchOf(name)))
        {
            Console.Error.WriteLine($"There is no mutant {name}; --list-mutants names them.");
            return BadFlags;
        }
        using var copy = new ScratchCopy(Root, "RaftKit.Simulation");
        return Report(Try(copy, name, seeds), json) ? 0 : 1;
    }

    /// <summary>All of them, one after the other, a line each: the table in README.md.</summary>
    public static int RunAll((ulong From, ulong To) seeds, bool json)
    {
        using var copy = new ScratchCopy(Root, "RaftKit.Simulation");
        var verdicts = new List<Verdict>();
        foreach (var patch in Directory.GetFiles(Folder, "*.patch").Order(StringComparer.Ordinal))
        {
            verdicts.Add(Try(copy, Path.GetFileNameWithoutExtension(patch), seeds));
            Report(verdicts[^1], json);
        }

        var caught = verdicts.Where(v => v.Caught).ToList();
        Console.Error.WriteLine(
            $"{caught.Count} of {verdicts.Count} mutants were caught, by {caught.Select(v => v.Invariant).Distinct().Count()} different checks.");
        return caught.Count == verdicts.Count ? 0 : 1;
    }

    private static Verdict Try(ScratchCopy copy, string name, (ulong From, ulong To) seeds)
    {
        var patch = PatchOf(name);
        if (copy.Command("git", ["apply", "--whitespace=nowarn", patch]) is { Code: not 0 } refused)
            return new(name, $"The patch of mutant {name} no longer applies: bring it up to date.\n{refused.Output}");
        try
        {
            if (copy.Build(ProjectsOf(patch)) is { } broken)
                return new(name, $"Mutant {name} does not build.\n{broken}");
            var judgedBy = JudgedBy(patch).Split(", ", StringSplitOptions.RemoveEmptyEntries);
            var said = "";
            var hunt = new MutantHunt(
                (from, to) => Judge(said = SeedsOf(copy, (from, to), judgedBy)),
                seed => OnCleanCode(seed, judgedBy),
                nothing => Console.Error.WriteLine($"Mutant {name}: {nothing}"));
            return hunt.Run(seeds.From, seeds.To) is { } caught
                ? new(name, $"seed {caught.Seed}, which passes on the clean code: {caught.What}") { Caught = true,
                    Seeds = (int)(caught.Seed - seeds.From) + 1, Invariant = CheckOf(caught.What) }
                : new(name, $"Mutant {name} was not caught.\n{said.TrimEnd().Split('\n')[^1]}");
        }
        finally
        {
            copy.Command("git", ["apply", "--whitespace=nowarn", "--reverse", patch]);
        }
    }

    /// <summary>Whose sources the patch changes.</summary>
    private static IReadOnlyList<string> ProjectsOf(string patch) =>
        [.. File.ReadLines(patch).Where(l => l.StartsWith("+++ b/src/", StringComparison.Ordinal)).Select(l => l.Split('/')[2]).Distinct()];

    /// <summary>Runs seeds on what was built last, up to the first that fails, and gives what it wrote.</summary>
    private static string SeedsOf(ScratchCopy copy, (ulong From, ulong To) seeds, string[] judgedBy) => copy.Command(
        "dotnet",
        [
            copy.Program, "--seeds", $"{seeds.From}..{seeds.To}", "--stop-at-first", "--json",
            // One at a time: how many seeds it takes must not depend on the machine.
            "--jobs", "1", .. judgedBy.SelectMany(number => new[] { "--invariant", number }),
        ]).Output;

    /// <summary>This program was built from the sources that the copy was made of.</summary>
    private static string? OnCleanCode(ulong seed, string[] judgedBy) =>
        Sweep.RunAll(
            (seed, seed), TimeSpan.Zero, [.. judgedBy.Select(number => int.Parse(number, CultureInfo.InvariantCulture))], stopAtFirst: true,
            jobs: 1).Single().Violation;

    /// <summary>The line about the seed that failed: <c>seed 41, 3 members, at 1204.250 ms: what</c>.</summary>
    private static MutantHunt.Catch? Judge(string output)
    {
        const string Before = " ms: ";
        return output.Split('\n').FirstOrDefault(
            l => l.StartsWith("seed ", StringComparison.Ordinal) && l.Contains(Before, StringComparison.Ordinal)) is { } violation
            ? new(ulong.Parse(violation["seed ".Length..violation.IndexOf(',', StringComparison.Ordinal)], CultureInfo.InvariantCulture),
                violation[(violation.IndexOf(Before, StringComparison.Ordinal) + Before.Length)..])
            : null;
    }

    // The number of the invariant in README.md, or the name of another check. What the code itself asserts has no number.
    private static string CheckOf(string violation)
    {
        if (violation.StartsWith("invariant ", StringComparison.Ordinal))
            return violation["invariant ".Length..violation.IndexOf(':', StringComparison.Ordinal)];
        foreach (var check in new[] { "liveness", "linearizability", "levels", "members", "answers" })
        {
            if (violation.StartsWith(check, StringComparison.Ordinal))
                return check;
        }

        return violation.Contains("could not start", StringComparison.Ordinal) ? "recovery" : "own";
    }

    private static bool Report(Verdict verdict, bool json)
    {
        if (!verdict.Caught)
            Console.Error.WriteLine(verdict.Said);
        else if (json)
        {
            Console.WriteLine($$"""{"mutant":{{Quote(verdict.Name)}},"seeds_to_catch":{{verdict.Seeds}},"invariant":{{Quote(verdict.Invariant)}}}""");
            Console.Error.WriteLine(verdict.Said);
        }
        else
            Console.WriteLine($"{verdict.Name} was caught within {verdict.Seeds} seeds: {verdict.Said}");
        return verdict.Caught;
    }

    private static string PatchOf(string name) => Path.Combine(Folder, name + ".patch");

    private static string Quote(string text) => $"\"{JsonEncodedText.Encode(text)}\"";

    /// <summary>
    /// The invariants by which a mutant is judged, where others that come first would hide that this one catches it, too; empty: by
    /// everything.
    /// </summary>
    private static string JudgedBy(string patch) => Field(patch, "Judged by") is var numbers and not "?" ? numbers : "";

    private static string Field(string patch, string name) =>
        File.ReadLines(patch).FirstOrDefault(l => l.StartsWith(name + ": ", StringComparison.Ordinal))?[(name.Length + 2)..] ?? "?";

    private static string FindRoot()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "RaftKit.sln")))
                return folder.FullName;
        }
        throw new InvalidOperationException("Mutants are made from a clone of the repository, and this does not run in one.");
    }

    /// <summary>What came of a mutant: what it broke, or why it was not caught.</summary>
    private sealed record Verdict(string Name, string Said)
    {
        public bool Caught { get; init; }

        public int Seeds { get; init; }

        public string Invariant { get; init; } = "";
    }
}
