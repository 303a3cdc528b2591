using System.Text.RegularExpressions;
using RaftKit.Consensus.Tests.Harness;

namespace RaftKit.Consensus.Tests;

public sealed partial class ScenarioTests
{
    private const int LeastStories = 60;
    private const int LeastDirectives = 1000;
    private const int LeastDifferentExpectations = 300;

    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "Scenarios");

    public static TheoryData<string> Scenarios =>
        [.. Directory.GetFiles(Folder, "*.txt").Select(f => Path.GetFileNameWithoutExtension(f)).Order()];

    [Theory]
    [MemberData(nameof(Scenarios))]
    public void The_story_goes_as_told(string scenario) => Transcript.Play(Path.Combine(Folder, scenario + ".txt"));

    [Theory]
    [MemberData(nameof(Scenarios))]
    public void Every_story_says_what_it_tells_and_where_it_comes_from_and_ends_with_an_outcome(string scenario)
    {
        string file = Path.Combine(Folder, scenario + ".txt");
        string opening = File.ReadLines(file).First();
        Assert.StartsWith("# ", opening);
        Assert.Matches(Source(), opening);
        Assert.StartsWith("expect ", Transcript.Directives(file).Last().Directive);
    }

    [Fact]
    public void There_are_stories_enough()
    {
        string[] files = Directory.GetFiles(Folder, "*.txt");
        var directives = files.SelectMany(Transcript.Directives).Select(d => d.Directive).ToList();
        int expectations = directives.Where(d => d.StartsWith("expect ", StringComparison.Ordinal)).Distinct().Count();
        Assert.True(files.Length >= LeastStories, $"{files.Length} stories, at least {LeastStories} are promised");
        Assert.True(directives.Count >= LeastDirectives, $"{directives.Count} directives, at least {LeastDirectives} are promised");
        Assert.True(
            expectations >= LeastDifferentExpectations,
            $"{expectations} different expectations, at least {LeastDifferentExpectations} are promised");
    }

    [Fact]
    public void A_story_that_goes_otherwise_says_where_and_how()
    {
        var failure = Assert.Throws<TranscriptException>(() => Play("members 1 2 3", "elect 1", "# a comment", "expect leader 2"));
        Assert.Contains(":4: expect leader 2", failure.Message);
        Assert.Contains("expected '2', but it is '1'", failure.Message);
    }

    [Theory]
    [InlineData("expect nonsense 1", "nothing is known about 'expect nonsense'")]
    [InlineData("elevate 1", "there is no directive 'elevate'")]
    [InlineData("deliver append 1 2", "no append from 1 to 2 is in flight")]
    [InlineData("propose 1 x", "expected 'appended', but it is 'not-leader'")]
    [InlineData("expect read 1 7 0", "expected '0', but it is 'waiting'")]
    [InlineData("expect message vote 1 2 term 1", "expected 'term 1', but it is 'none'")]
    public void A_directive_that_cannot_be_followed_fails(string directive, string why) =>
        Assert.Contains(why, Assert.Throws<TranscriptException>(() => Play("members 1 2 3", directive)).Message);

    private static void Play(params string[] lines)
    {
        string file = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():n}.txt");
        try
        {
            File.WriteAllLines(file, lines);
            Transcript.Play(file);
        }
        finally
        {
            File.Delete(file);
        }
    }

    // The paper, the thesis, DESIGN.md, the bug list, another project's issue, or this project's own random walk.
    [GeneratedRegex(
        @"Raft \d|[Tt]hesis \d|[Pp]romise \d|DESIGN|[Ff]ault menu|raft-dev|RATIS-\d+|[A-Za-z][\w-]*(/[\w-]+)? \d{2,}|random walk")]
    private static partial Regex Source();
}
