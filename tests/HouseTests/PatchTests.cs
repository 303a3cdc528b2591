using System.ComponentModel;
using System.Diagnostics;
using Xunit;

namespace HouseTests;

/// <summary>
/// The mutants' patches against the code that they are made for: a change of product code that leaves one behind is noticed here, and not
/// by the next hunt, which takes an hour.
/// </summary>
public sealed class PatchTests
{
        [Theory]
    [InlineData("RaftKit.Simulation")]
    [InlineData("RaftKit.Exhaustive")]
    public async Task Every_mutant_applies_to_the_code_as_it_is(string project)
    {
        var patches = Directory.GetFiles(Path.Combine(Repository.Root, "tests", project, "Mutants"), "*.patch");
        Assert.NotEmpty(patches);
        var refused = new List<string>();
        foreach (var patch in patches.Order(StringComparer.Ordinal))
        {
            var (code, said) = await Check(patch);
            if (code != 0)
                refused.Add($"{Path.GetFileName(patch)}: {said}");
        }
        Assert.True(refused.Count == 0, $"bring these up to date:\n{string.Join('\n', refused)}");
    }

    [Fact]
    public async Task A_patch_of_what_is_not_there_is_refused()
    {
        using var folder = new TemporaryFolder();
        var patch = Path.Combine(folder.Path, "stale.patch");
        folder.Write("stale.patch", "--- a/RaftKit.sln\n+++ b/RaftKit.sln\n@@ -1,1 +1,1 @@\n-a line that was never there\n+another\n");
        Assert.NotEqual(0, (await Check(patch)).Code);
    }

    private static async Task<(int Code, string Said)> Check(string patch)
    {
        var start = new ProcessStartInfo("git", ["apply", "--check", patch])
        {
            WorkingDirectory = Repository.Root,
            RedirectStandardError = true,
        };
        // Sources that were unpacked amid another repository: git would pass over, in silence, what is not below the folder it runs in there.
        start.Environment["GIT_CEILING_DIRECTORIES"] = Path.GetDirectoryName(Repository.Root);
        try
        {
            using var process = Process.Start(start)!;
            var said = await process.StandardError.ReadToEndAsync();
            await process.WaitForExitAsync();
            return (process.ExitCode, said);
        }
        catch (Win32Exception missing)
        {
            throw new InvalidOperationException("git is missing, without which no patch can be held against the code.", missing);
        }
    }
}
