using System.Reflection;
using System.Text.RegularExpressions;
using Xunit;

namespace HouseTests;

/// <summary>The public surface is sealed, and every room opens with its page.</summary>
public sealed class SurfaceTests
{
    /// <summary>Public classes that are neither sealed nor static, each with its reason.</summary>
    private static readonly Dictionary<string, string> Open = new()
    {
        ["RaftKit.Znodes.ZnodeOperation"] = "a closed set of nested records: its only constructor is private",
    };

    public static TheoryData<string> Projects => [.. Repository.Projects];

    [Theory]
    [MemberData(nameof(Projects))]
    public void Public_classes_are_sealed(string project)
    {
        var open = Assembly.Load(project).GetExportedTypes().Where(type => type.IsClass && !type.IsSealed).Select(type => type.FullName!);
        Assert.Empty(open.Except(Open.Keys));
    }

    [Fact]
    public void What_may_be_open_cannot_be_derived_from_outside()
    {
        foreach (var name in Open.Keys)
        {
            var type = Repository.Projects.Select(project => Assembly.Load(project).GetType(name)).Single(type => type is not null)!;
            var constructors = type.GetConstructors(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic);
            Assert.DoesNotContain(constructors, c => c.IsPublic || (c.IsFamily && c.GetParameters().Length == 0));
        }
    }

    [Theory]
    [MemberData(nameof(Projects))]
    public void A_project_opens_with_a_page_that_says_what_it_is_for(string project)
    {
        var page = Path.Combine(Repository.ProjectFolder(project), "README.md");
        Assert.True(File.Exists(page), $"src/{project}/README.md is missing.");
        Assert.StartsWith($"# {project}\n", File.ReadAllText(page).ReplaceLineEndings("\n"));
    }

    [Theory]
    [MemberData(nameof(Projects))]
    public void No_source_file_outgrows_its_idea(string project)
    {
        // About 600 is the rule; this is where it ends.
        var long_ = Repository.Sources(Repository.ProjectFolder(project)).Where(path => File.ReadLines(path).Count() > 600);
        Assert.Empty(long_.Select(path => Path.GetRelativePath(Repository.Root, path)));
    }

    [Fact]
    public void A_logged_event_has_a_number_of_its_own()
    {
        // Whoever alerts on a number means one message; all are logged by types of one prefix, and read side by side.
        var numbers = Repository.Projects.SelectMany(project => Repository.Sources(Repository.ProjectFolder(project)))
            .SelectMany(path => Regex.Matches(File.ReadAllText(path), @"\[LoggerMessage\(\s*(?<number>\d+)").Select(m => m.Groups["number"].Value)).ToList();
        Assert.True(numbers.Count > 30, $"only {numbers.Count} were found");
        Assert.Empty(numbers.GroupBy(n => n).Where(g => g.Count() > 1).Select(g => g.Key));
    }

    [Theory]
    [InlineData("RaftKit.Recipes")]
    [InlineData("RaftKit.Znodes/Client")]
    public void Continuations_run_where_the_caller_wants_them(string folder)
    {
        // The simulator owns the scheduler on which applications and recipes run; each of these would leave it (DESIGN, style).
        string[] leaving = ["ConfigureAwait(false)", "Task.Run(", "RunContinuationsAsynchronously", "Task.Factory.StartNew", "ThreadPool."];
        var found =
            from path in Repository.Sources(Path.Combine(Repository.Root, "src", folder))
            from line in File.ReadLines(path).Select((text, index) => (Text: text, Number: index + 1))
            where leaving.Any(line.Text.Contains)
            select $"{Path.GetRelativePath(Repository.Root, path)}:{line.Number}: {line.Text.Trim()}";

        Assert.Empty(found);
    }
}
