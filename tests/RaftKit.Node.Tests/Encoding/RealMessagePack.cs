using System.Diagnostics;
using System.Text;

namespace RaftKit.Node.Tests.Encoding;

/// <summary>Runs a Python script with Debian's python3-msgpack: the real implementation that ours is held to.</summary>
internal static class RealMessagePack
{
    private const string Python = "/usr/bin/python3";

    /// <summary>
    /// Runs the script; <c>msgpack</c> and <c>sys</c> are imported. Gives what it printed. Fails, never skips, when it cannot run.
    /// </summary>
    public static string Run(string script, string input, params string[] arguments)
    {
        Assert.True(File.Exists(Python), $"{Python} is missing: apt-get install -y python3 python3-msgpack");
        var start = new ProcessStartInfo(Python)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            StandardOutputEncoding = System.Text.Encoding.UTF8,
        };
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add("import sys\ntry:\n import msgpack\nexcept ImportError:\n sys.exit(99)\n" + script);
        foreach (var argument in arguments)
            start.ArgumentList.Add(argument);

        using var process = Process.Start(start)!;
        var output = process.StandardOutput.ReadToEndAsync();
        var errors = process.StandardError.ReadToEndAsync();
        process.StandardInput.Write(input);
        process.StandardInput.Close();
        process.WaitForExit();
        Assert.True(process.ExitCode != 99, "python3-msgpack is missing: apt-get install -y python3-msgpack");
        Assert.True(process.ExitCode == 0, $"python ended with {process.ExitCode}: {errors.Result}");
        return output.Result;
    }
}
