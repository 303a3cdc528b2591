using System.Diagnostics;

namespace RaftKit.Tests;

/// <summary>A run of one of the repository's programs, as its users run it.</summary>
internal sealed record ProgramRun(int ExitCode, string[] Output, string Errors)
{
    // Longer than any of them takes, its own overtime on a busy machine included: they know better why they could not end.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(8);

    /// <summary>Runs the program of a project to its end.</summary>
    /// <param name="project">
    /// Its folder, from the repository's root. Built beside this test by a project reference: the same configuration and framework.
    /// </param>
    /// <param name="flags">Its command line.</param>
    public static Task<ProgramRun> OfAsync(string project, params string[] flags) => RunAsync(project, null, flags);

    /// <summary>The same, with a folder whose programs it finds before the machine's.</summary>
    public static Task<ProgramRun> OfAsync(string project, string programs, string[] flags) =>
        RunAsync(project, $"{programs}:{Environment.GetEnvironmentVariable("PATH")}", flags);

    /// <summary>The same, with nothing on its path but a folder's programs.</summary>
    public static Task<ProgramRun> WithOnlyAsync(string project, string programs, params string[] flags) => RunAsync(project, programs, flags);

    private static async Task<ProgramRun> RunAsync(string project, string? path, string[] flags)
    {
        var output = new DirectoryInfo(AppContext.BaseDirectory);
        var root = output.Parent!.Parent!.Parent!.Parent!.Parent!.FullName;
        var assembly = Path.Combine(root, project, "bin", output.Parent.Name, output.Name, Path.GetFileName(project) + ".dll");
        var start = new ProcessStartInfo("dotnet", [assembly, .. flags]) { RedirectStandardOutput = true, RedirectStandardError = true };
        if (path is not null)
            start.Environment["PATH"] = path;
        using var process = Process.Start(start)!;
        using var limit = new CancellationTokenSource(Patience);
        try
        {
            var written = process.StandardOutput.ReadToEndAsync(limit.Token);
            var errors = process.StandardError.ReadToEndAsync(limit.Token);
            await process.WaitForExitAsync(limit.Token);
            return new(process.ExitCode, (await written).Split('\n', StringSplitOptions.RemoveEmptyEntries), await errors);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
        }
    }

    public override string ToString() => $"exit code {ExitCode}; {Errors}; {string.Join('\n', Output.TakeLast(20))}";
}
