using System.Reflection;
using System.Text.RegularExpressions;

namespace RaftKit.Consensus.Tests;

/// <summary>
/// The table of rules in this project's README names tests: it must not name one that is gone, nor leave out one that states a rule.
/// </summary>
public sealed partial class RuleTableTests
{
    private const string Head = "| where | rule | shown by |";

    private static readonly string[] MustBeThere =
    [
        "figure 2, state", "figure 2, AppendEntries 1", "figure 2, AppendEntries 2", "figure 2, AppendEntries 3",
        "figure 2, AppendEntries 4",
        "figure 2, AppendEntries 5", "figure 2, RequestVote 1", "figure 2, RequestVote 2",
        "figure 2, all", "figure 2, followers", "figure 2, candidates", "figure 2, leaders", "figure 3",
        "5.1", "5.2", "5.3", "5.3, figure 7", "5.4.1", "5.4.2", "5.4.3", "5.5", "5.6", "6", "7", "8",
        "thesis 3.10", "thesis 4.1", "thesis 4.2.1", "thesis 4.2.2", "thesis 4.2.3", "thesis 4.3", "thesis 6.2", "thesis 6.4",
        "thesis 6.4.1", "8, thesis 6.3", "thesis 9.6",
    ];

    private static readonly IReadOnlyList<(string Where, string Rule, string[] Tests)> Rows = Read();

    [Fact]
    public void Every_rule_names_a_test_and_every_test_named_exists()
    {
        Assert.NotEmpty(Rows);
        Assert.All(Rows, row => Assert.True(row.Tests.Length > 0, $"nothing shows that {row.Rule} ({row.Where})"));
        var stories = Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Scenarios"), "*.txt").Select(f => Path.GetFileName(f));
        var known = Tests().Select(NameOf).Concat(stories).Concat(TestsOfTheNode()).ToHashSet();
        Assert.DoesNotContain(Rows.SelectMany(r => r.Tests), t => !known.Contains(t));
    }

    [Fact]
    public void Every_test_of_a_section_is_in_the_table()
    {
        var named = Rows.SelectMany(r => r.Tests).ToHashSet();
        Assert.DoesNotContain(Tests().Where(StatesARule).Select(NameOf), t => !named.Contains(t));
    }

    [Fact]
    public void Every_section_that_the_core_keeps_to_is_in_the_table() =>
        Assert.Empty(MustBeThere.Except(Rows.Select(r => r.Where)));

    // As they stand in the sources, which are copied beside this: that project is none that this one references.
    private static IEnumerable<string> TestsOfTheNode() =>
        Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "RaftKit.Node.Tests"), "*.cs").SelectMany(file =>
            Fact().Matches(File.ReadAllText(file).ReplaceLineEndings("\n"))
                .Select(m => $"RaftKit.Node.Tests/{Path.GetFileNameWithoutExtension(file)}.{m.Groups[1].Value}"));

    private static string NameOf(MethodInfo test) => $"{test.DeclaringType!.Name}.{test.Name}";

    // A theory is a fact, too.
    private static IEnumerable<MethodInfo> Tests() =>
        typeof(RuleTableTests).Assembly.GetTypes().SelectMany(t => t.GetMethods()).Where(
            m => m.GetCustomAttribute<FactAttribute>() is not null);

    private static bool StatesARule(MethodInfo test) => test.GetCustomAttributesData()
        .Any(a => a.AttributeType == typeof(TraitAttribute) && a.ConstructorArguments[0].Value is "Raft" or "Thesis");

    private static List<(string Where, string Rule, string[] Tests)> Read()
    {
        var rows = new List<(string, string, string[])>();
        bool isTable = false;
        foreach (string line in File.ReadLines(Path.Combine(AppContext.BaseDirectory, "README.md")))
        {
            isTable = line.StartsWith('|') && (isTable || line == Head);
            if (!isTable || line == Head || line.StartsWith("|---", StringComparison.Ordinal))
                continue;
            // A row that cannot be read must not be a row that is not checked.
            if (line.Split('|') is not [_, var where, var rule, var tests, _])
                throw new FormatException($"not a row of three cells: {line}");
            rows.Add((where.Trim(), rule.Trim(), [.. Quoted().Matches(tests).Select(m => m.Groups[1].Value)]));
        }
        return rows;
    }

    [GeneratedRegex(@"\[(?:Fact|Theory)\b[^\n]*\n(?:\s*\[[^\n]*\n)*\s*public (?:async )?(?:void|Task) (\w+)\(")]
    private static partial Regex Fact();

    [GeneratedRegex("`([^`]+)`")]
    private static partial Regex Quoted();
}
