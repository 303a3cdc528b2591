using System.Text.RegularExpressions;
using Xunit;

namespace HouseTests;

/// <summary>Tests leave nothing running: xUnit 2 ends a test class that is an IDisposable or an IAsyncLifetime, and no other.</summary>
public sealed partial class TestClassTests
{
    [Fact]
    public void No_test_class_waits_for_an_end_that_its_runner_never_calls()
    {
        var files = new[] { "tests", "samples" }.SelectMany(folder => Directory.EnumerateFiles(
            Path.Combine(Repository.Root, folder), "*.cs", SearchOption.AllDirectories));
        var deaf = files.Select(File.ReadAllText).SelectMany(text => AsyncDisposable().Matches(text)).Select(m => m.Groups[1].Value);

        Assert.Empty(deaf);
    }

    [GeneratedRegex(@"class (\w+Tests)\b[^\n{]*:[^\n{]*\bIAsyncDisposable\b")]
    private static partial Regex AsyncDisposable();
}
