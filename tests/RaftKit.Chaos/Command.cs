using System.ComponentModel;
using System.Diagnostics;

namespace RaftKit.Chaos;

/// <summary>A program of this machine did not do what it was asked to.</summary>
internal sealed class CommandFailedException(string message) : Exception(message);

/// <summary>Runs programs of this machine.</summary>
internal static class Command
{
    // None takes a tenth of it. Those that hang do so in the kernel, and would hold the run for good.
    private static readonly TimeSpan EndWithin = TimeSpan.FromSeconds(30);

    /// <summary>Runs it to its end.</summary>
    /// <returns>What it wrote.</returns>
    /// <exception cref="CommandFailedException">It could not be started, did not end in time, or not with 0.</exception>
    public static Task<string> RunAsync(string program, params string[] arguments) => RunAsync(null, program, arguments);

    /// <summary>The same, with something to read for it.</summary>
    public static async Task<string> RunAsync(string? input, string program, string[] arguments)
    {
        var (code, output, errors) = await TryAsync(input, program, arguments);
        return code == 0
            ? output : throw new CommandFailedException(
                $"'{program} {string.Join(' ', arguments)}' ended with {code}: {errors.Trim()} {output.Trim()}");
    }

    /// <summary>Runs it to its end, whatever that is.</summary>
    /// <exception cref="CommandFailedException">It did not end in time.</exception>
    public static Task<(int Code, string Output, string Errors)> TryAsync(string? input, string program, params string[] arguments) =>
        TryAsync(EndWithin, input, program, arguments);

    internal static async Task<(int Code, string Output, string Errors)> TryAsync(
        TimeSpan endWithin, string? input, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(
            program, arguments) { RedirectStandardInput = true, RedirectStandardError = true, RedirectStandardOutput = true };
        try
        {
            using var process = Process.Start(start)!;
            var said = Task.WhenAll(process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
            await process.StandardInput.WriteAsync(input);
            process.StandardInput.Close();
            try
            {
                // What it started may hold its output open, so that counts as well.
                await Task.WhenAll(process.WaitForExitAsync(), said).WaitAsync(endWithin);
            }
            catch (TimeoutException)
            {
                // Nobody waits for that: what hangs in the kernel cannot be killed.
                process.Kill(entireProcessTree: true);
                throw new CommandFailedException(
                    $"'{program} {string.Join(' ', arguments)}' did not end within {endWithin.TotalSeconds:0} s.");
            }

            var (output, errors) = ((await said)[0], (await said)[1]);
            return (process.ExitCode, output, errors);
        }
        catch (Exception failure) when (failure is Win32Exception or IOException)
        {
            return (-1, "", failure.Message);
        }
    }

    public static IEnumerable<string> Lines(string output) => output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
}
