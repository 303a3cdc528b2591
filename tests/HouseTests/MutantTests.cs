using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using Xunit;

namespace HouseTests;

/// <summary>
/// The simulator's table of mutants, which its command writes, against the mutants that there are and the invariants that its README
/// numbers.
/// </summary>
public sealed class MutantTests
{
    private const int Invariants = 37;

    private static readonly string Project = Path.Combine(Repository.Root, "tests", "RaftKit.Simulation");

    private static IReadOnlyList<string> Patches { get; } =
        [.. Directory.GetFiles(Path.Combine(Project, "Mutants"), "*.patch").Order(StringComparer.Ordinal)];

    private static IReadOnlyList<Line> Table { get; } =
    [
        .. File.ReadLines(Path.Combine(Project, "README.md")).Where(
            line => line.StartsWith("{\"mutant\":", StringComparison.Ordinal)).Select(line =>
        {
            using var parsed = JsonDocument.Parse(line);
            var root = parsed.RootElement;
            return new Line(
                root.GetProperty("mutant").GetString()!, root.GetProperty("seeds_to_catch").GetInt32(),
                root.GetProperty("invariant").GetString()!);
        }),
    ];

    [Fact]
    public void The_table_names_every_mutant_once() =>
        Assert.Equal(Patches.Select(Path.GetFileNameWithoutExtension), Table.Select(line => line.Mutant));

    [Fact]
    public void At_least_thirty_mutants_are_caught_each_within_a_thousand_seeds()
    {
        Assert.True(Table.Count >= 30, $"only {Table.Count} mutants");
        Assert.All(Table, line => Assert.InRange(line.Seeds, 1, 1000));
    }

    [Fact]
    public void Every_numbered_invariant_catches_a_mutant()
    {
        var catching = Table.Select(line => line.Invariant).Distinct().ToHashSet();
        Assert.All(Enumerable.Range(1, Invariants), number => Assert.Contains(number.ToString(CultureInfo.InvariantCulture), catching));
    }

    // What a mutant falls to may be the first of several checks; none that its head does not name.
    [Fact]
    public void Every_mutant_falls_to_a_check_that_its_head_expects()
    {
        foreach (var line in Table)
        {
            var expected = File.ReadLines(Path.Combine(Project, "Mutants", line.Mutant + ".patch")).First(
                text => text.StartsWith("Expected: ", StringComparison.Ordinal));
            Assert.True(
                Regex.IsMatch(expected, $@"\b{line.Invariant}\b"), $"{line.Mutant} falls to {line.Invariant}, and its head says \"{expected}\"");
        }
    }

    [Fact]
    public void Every_mutant_tells_its_bug_its_source_and_what_should_catch_it()
    {
        foreach (var patch in Patches)
        {
            var head = File.ReadLines(patch).TakeWhile(line => line.Length > 0).ToList();
            foreach (var field in new[] { "Bug: ", "Source: ", "Expected: " })
                Assert.True(
                    head.Any(line => line.StartsWith(field, StringComparison.Ordinal) && line.Length > field.Length),
                    $"{Path.GetFileName(patch)} has no {field}");
        }
    }

    private sealed record Line(string Mutant, int Seeds, string Invariant);
}
