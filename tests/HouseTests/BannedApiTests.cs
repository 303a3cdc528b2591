using System.Text.RegularExpressions;
using Xunit;

namespace HouseTests;

/// <summary>What must not be called really fails the build: proved on a copy of the project with such calls in it.</summary>
public sealed class BannedApiTests
{
    private static readonly string[] BannedInTheCore =
    [
        "_ = System.DateTime.UtcNow;",
        "_ = System.Diagnostics.Stopwatch.GetTimestamp();",
        "_ = new System.Random();",
        "_ = System.Guid.NewGuid();",
        "System.Threading.Tasks.Task.CompletedTask.Wait();",
        "System.Threading.Thread.Sleep(1);",
        "System.IO.File.Delete(\"x\");",
        "new System.Net.Sockets.TcpClient().Dispose();",
    ];

    private static readonly string[] BannedEverywhere =
    [
        "System.IO.RandomAccess.FlushToDisk(null!);",
        "new System.IO.FileStream(\"x\", System.IO.FileMode.Open).Flush(true);",
    ];

    [Fact]
    public async Task The_core_does_not_build_with_clocks_randomness_tasks_threads_files_or_sockets()
    {
        using var copy = new TemporaryFolder();
        CopyProject("RaftKit.Consensus", copy);

        await RefusesEachLineAsync(copy, "RaftKit.Consensus", [.. BannedInTheCore, .. BannedEverywhere]);
    }

    [Fact]
    public async Task No_project_builds_with_the_fsync_calls_that_swallow_errors()
    {
        using var copy = new TemporaryFolder();
        CopyRoot(copy);

        // The rule comes with the repository's root, so a project that lies anywhere below it has it: a sample, a tool, a test.
        copy.Write("samples/Any/Any.csproj", """<Project Sdk="Microsoft.NET.Sdk" />""");
        await RefusesEachLineAsync(copy, "samples/Any", BannedEverywhere);
    }

    private static async Task RefusesEachLineAsync(TemporaryFolder copy, string project, string[] lines)
    {
        var folder = project.Contains('/') ? project : $"src/{project}";
        const int first = 7;
        copy.Write($"{folder}/Banned.cs", $$"""
            namespace Copy;

            internal static class Banned
            {
                public static void Call()
                {
            {{string.Join('\n', lines)}}
                }
            }
            """);

        var (exitCode, output) = await Dotnet.RunAsync(Path.Combine(copy.Path, folder), "build", "-nologo");

        Assert.True(exitCode != 0, "It built:\n" + output);
        var refused = Regex.Matches(output, @"Banned\.cs\((\d+),\d+\): error RS0030").Select(m => int.Parse(m.Groups[1].Value)).ToHashSet();
        Assert.Empty(lines.Where((_, index) => !refused.Contains(first + index)));

        // And for no other reason: the copy is the project as it is.
        var others = Regex.Matches(output, @"error (?!RS0030)\w+\d+:.*").Select(m => m.Value).Distinct();
        Assert.Empty(others);
    }

    private static void CopyRoot(TemporaryFolder copy)
    {
        foreach (var name in new[] { "Directory.Build.props", "Directory.Packages.props", "BannedSymbols.txt", "global.json",
            ".editorconfig" })
            File.Copy(Path.Combine(Repository.Root, name), Path.Combine(copy.Path, name));
    }

    private static void CopyProject(string project, TemporaryFolder copy)
    {
        CopyRoot(copy);
        copy.Sub("src");
        foreach (var name in new[] { "Directory.Build.props", "icon.png" })
            File.Copy(Path.Combine(Repository.Root, "src", name), Path.Combine(copy.Path, "src", name));
        var from = Repository.ProjectFolder(project);
        foreach (var path in Directory.GetFiles(from, "*", SearchOption.AllDirectories))
        {
            var relative = Path.GetRelativePath(from, path);
            if (relative.Split(Path.DirectorySeparatorChar)[0] is "bin" or "obj")
                continue;
            var target = Path.Combine(copy.Path, "src", project, relative);
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            File.Copy(path, target);
        }
    }
}
