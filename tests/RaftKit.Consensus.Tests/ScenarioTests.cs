using RaftKit.Consensus.Tests.Harness;

namespace RaftKit.Consensus.Tests;

public sealed class ScenarioTests
{
    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "Scenarios");

    public static TheoryData<string> Scenarios => [.. Directory.GetFiles(Folder, "*.txt").Select(f => Path.GetFileNameWithoutExtension(f)).Order()];

    [Theory]
    [MemberData(nameof(Scenarios))]
    public void The_story_goes_as_told(string scenario) => Transcript.Play(Path.Combine(Folder, scenario + ".txt"));

    [Fact]
    public void A_story_that_goes_otherwise_says_where_and_how()
    {
        string file = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid():n}.txt");
        try
        {
            File.WriteAllLines(file, ["members 1 2 3", "elect 1", "# a comment", "expect leader 2"]);
            var failure = Assert.Throws<TranscriptException>(() => Transcript.Play(file));
            Assert.Contains(":4: expect leader 2", failure.Message);
            Assert.Contains("expected '2', but it is '1'", failure.Message);
        }
        finally
        {
            File.Delete(file);
        }
    }
}
