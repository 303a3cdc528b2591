using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.RegularExpressions;
using RaftKit.Chaos.Network;

namespace RaftKit.Tests;

/// <summary>A process of tests/RaftKit.Member in a network namespace of its own: its output, and what it answers.</summary>
internal sealed partial class MemberProcess : IDisposable
{
    private readonly Process _process;
    private readonly Lock _lock = new();
    private readonly List<string> _log = [];
    private readonly BlockingCollection<string> _answers = [];
    private readonly Task _listening;

    public MemberProcess(int id, MemberNetwork network, IReadOnlyList<string> flags)
    {
        Id = id;
        var output = new DirectoryInfo(AppContext.BaseDirectory);
        var tests = output.Parent!.Parent!.Parent!.Parent!.FullName;
        var program = Path.Combine(tests, "RaftKit.Member", "bin", output.Parent.Name, output.Name, "RaftKit.Member.dll");
        _process = Process.Start(
            new ProcessStartInfo(
                "nsenter", [$"--net={network.NamespacePath($"{id}")}", "dotnet", program, $"--RaftKit:Member={id}", .. flags])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true,
        })!;
        _listening = ListenAsync();
    }

    public int Id { get; }

    /// <summary>How many lines it has logged.</summary>
    public int Logged
    {
        get
        {
            lock (_lock)
                return _log.Count;
        }
    }

    /// <summary>What it has logged behind so many lines.</summary>
    public IReadOnlyList<string> Since(int lines)
    {
        lock (_lock)
            return _log[lines..];
    }

    /// <summary>Each role, term and leader that it told of, behind so many lines.</summary>
    public IReadOnlyList<(string Role, int Term, int Leader)> Roles(int since = 0) =>
        [.. Since(since).Select(line => Became().Match(line)).Where(m => m.Success).Select(
            m => (m.Groups[1].Value, int.Parse(m.Groups[2].Value), int.Parse(m.Groups[3].Value)))];

    /// <summary>What it says next.</summary>
    public string Hear(TimeSpan patience) => _answers.TryTake(out var answer, patience)
        ? answer
        : throw new TimeoutException($"Member {Id} said nothing within {patience}. {this}");

    /// <summary>What it answers to a line of its input.</summary>
    public string Ask(string what, TimeSpan patience)
    {
        _process.StandardInput.WriteLine(what);
        return Hear(patience);
    }

    public void Dispose()
    {
        _process.Kill(entireProcessTree: true);
        _process.WaitForExit();
        _process.Dispose();
        _answers.Dispose();
    }

    public override string ToString() => $"Member {Id}:\n{string.Join('\n', Since(0))}\n";

    private async Task ListenAsync()
    {
        while (await _process.StandardOutput.ReadLineAsync() is { } line)
        {
            if (line.StartsWith("> ", StringComparison.Ordinal))
                _answers.Add(line[2..]);
            lock (_lock)
                _log.Add(line);
        }
    }

    [GeneratedRegex("Became (\\w+) in term (\\d+); leader (\\d+)")]
    private static partial Regex Became();
}
