using System.ComponentModel;
using System.Diagnostics;

namespace RaftKit.Chaos;

/// <summary>A program of this machine did not do what it was asked to.</summary>
internal sealed class CommandFailedException(string message) : Exception(message);

/// <summary>Runs programs of this machine.</summary>
internal static class Command
{
    /// <summary>Runs it to its end.</summary>
    /// <returns>What it wrote.</returns>
    /// <exception cref="CommandFailedException">It could not be started, or did not end with 0.</exception>
    public static Task<string> RunAsync(string program, params string[] arguments) => RunAsync(0, null, program, arguments);

    /// <summary>The same, with something to read for it, and exit codes above 0 that are fine as well.</summary>
    public static async Task<string> RunAsync(int worstCode, string? input, string program, params string[] arguments)
    {
        var (code, output, errors) = await TryAsync(input, program, arguments);
        return code >= 0 && code <= worstCode
            ? output : throw new CommandFailedException($"'{program} {string.Join(' ', arguments)}' ended with {code}: {errors.Trim()} {output.Trim()}");
    }

    /// <summary>Runs it to its end, whatever that is.</summary>
    public static async Task<(int Code, string Output, string Errors)> TryAsync(string? input, string program, params string[] arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardInput = true, RedirectStandardError = true, RedirectStandardOutput = true };
        try
        {
            using var process = Process.Start(start)!;
            var said = Task.WhenAll(process.StandardOutput.ReadToEndAsync(), process.StandardError.ReadToEndAsync());
            await process.StandardInput.WriteAsync(input);
            process.StandardInput.Close();
            await process.WaitForExitAsync();
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
