using System.Diagnostics;
using System.Text.Json;

namespace RaftKit.Chaos;

/// <summary>One process, a member's or an observer's, as the sample tells of it.</summary>
internal sealed record MemberProcess(int Id, int Pid)
{
    /// <summary>Its session has its ephemeral znode in the tree.</summary>
    public bool IsRegistered { get; init; }

    public bool Leads { get; init; }

    /// <summary>The life under which the quorum knows its number.</summary>
    public int Incarnation { get; init; }

    public bool Votes { get; init; }

    /// <summary>Who feeds it; 0: nobody.</summary>
    public int Source { get; init; }

    public bool IsObserver => ChaosOptions.IsObserver(Id);

    public bool TakesPart => IsRegistered && (Votes || IsObserver);
}

/// <summary>
/// What the faults strike: the sample PartitionLeaders as its users run it, whose brokers embed the members. It restarts those that die,
/// keeps books of what was acknowledged outside of the quorum, and records what its history clients do. Nothing is killed by itself here.
/// </summary>
internal sealed class Subject : IDisposable
{
    // Longer than it gives its own members to begin, and to end: it knows better what went wrong.
    private static readonly TimeSpan ReadyWithin = TimeSpan.FromMinutes(3);
    private static readonly TimeSpan EndWithin = TimeSpan.FromMinutes(6);

    // Long enough for six processes and strace on two cores that others use as well to elect a leader in, and shorter than the longest
    // faults last.
    private static readonly TimeSpan SessionTimeout = TimeSpan.FromSeconds(4);

    // So that a run of minutes has snapshots, logs that were cut behind them, and members that are fed by them.
    private const int SnapshotEvery = 20_000;

    // Some reads go by it. Stopped processes, broken links and wall clocks that jump must not make it lie.
    private static readonly TimeSpan LeaderLease = TimeSpan.FromMilliseconds(120);

    private readonly Process _process;
    private readonly Lock _lock = new();
    private readonly Dictionary<int, MemberProcess> _members = [];
    private readonly TaskCompletionSource _ready = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Task _listening;
    private readonly Task<string> _errors;

    public Subject(ChaosOptions options, MachineRoom room, string history)
    {
        var start = new ProcessStartInfo(
            "dotnet") { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true };
        string[] flags =
        [
            Assembly(), "--json", "--brokers", $"{options.Members}", "--observers", $"{options.Observers}", "--partitions", "8",
            "--snapshot-every", $"{SnapshotEvery}", "--session-timeout", $"{SessionTimeout.TotalSeconds:0}", "--run-for", "0",
            "--leader-lease", $"{LeaderLease.TotalMilliseconds:0}", "--kill-every", "0", "--freeze-every", "0", "--history", history,
            "--attended", "--data", room.Data, "--launcher", room.Launcher, "--addresses", string.Join(',', room.Addresses),
        ];
        foreach (var flag in flags)
            start.ArgumentList.Add(flag);
        _process = Process.Start(start)!;
        _errors = _process.StandardError.ReadToEndAsync();
        _listening = ListenAsync();
    }

    /// <summary>Waits until every member takes part: faults may begin.</summary>
    /// <exception cref="FindingException">It ended before, or took too long.</exception>
    public async Task ReadyAsync(CancellationToken cancel)
    {
        try
        {
            await Task.WhenAny(_ready.Task, _listening).WaitAsync(ReadyWithin, cancel);
        }
        catch (TimeoutException)
        {
            throw new FindingException($"The sample was not ready within {ReadyWithin.TotalSeconds:0} s.");
        }

        if (_ready.Task.IsCompleted)
            return;
        var (code, errors) = await EndAsync();
        throw new FindingException($"The sample ended with exit code {code} before all of its members took part: {errors.Trim()}");
    }

    /// <summary>The last line, once it has ended; null if there was none.</summary>
    public JsonElement? Summary { get; private set; }

    /// <summary>
    /// Tells it who is cut off from those it needs, and who no longer: what that costs a member is not the quorum's fault.
    /// </summary>
    public async Task TellAsync(int member, bool cutOff)
    {
        try
        {
            await _process.StandardInput.WriteLineAsync($"{(cutOff ? "cut" : "mended")} {member}");
            await _process.StandardInput.FlushAsync();
        }
        catch (IOException)
        {
            // It has ended; its exit code tells why.
        }
    }

    public IReadOnlyList<MemberProcess> Members
    {
        get
        {
            lock (_lock)
                return [.. _members.Values.OrderBy(m => m.Id)];
        }
    }

    public MemberProcess? Find(int id)
    {
        lock (_lock)
            return _members.GetValueOrDefault(id);
    }

    public bool Ended => _listening.IsCompleted;

    /// <summary>Tells it to recover and to end: that is what the end of its input means to it.</summary>
    public void End() => _process.StandardInput.Close();

    /// <summary>Waits for its end.</summary>
    /// <returns>Its exit code, and what it wrote to its errors.</returns>
    /// <exception cref="FindingException">It did not end.</exception>
    public async Task<(int Code, string Errors)> EndAsync()
    {
        try
        {
            await Task.WhenAll(_listening, _errors, _process.WaitForExitAsync()).WaitAsync(EndWithin);
        }
        catch (TimeoutException)
        {
            throw new FindingException($"The sample did not end within {EndWithin.TotalSeconds:0} s of being told to.");
        }

        return (_process.ExitCode, await _errors);
    }

    public void Dispose()
    {
        if (!_process.HasExited)
            _process.Kill(entireProcessTree: true);
        _process.Dispose();
    }

    private async Task ListenAsync()
    {
        while (await _process.StandardOutput.ReadLineAsync() is { } line)
            Hear(JsonDocument.Parse(line).RootElement);
    }

    private void Hear(JsonElement said)
    {
        switch (said.GetProperty("event").GetString())
        {
            case "started":
                Set(said, _ => new(Id(said), said.GetProperty("pid").GetInt32()));
                break;
            case "member":
                Set(said, member => member with
                {
                    Leads = said.GetProperty("leader").GetBoolean(), Incarnation = said.GetProperty("incarnation").GetInt32(),
                    Votes = said.GetProperty("voter").GetBoolean(), Source = said.GetProperty("source").GetInt32(),
                });
                break;
            case "registered":
            case "unregistered":
                Set(said, member => member with { IsRegistered = said.GetProperty("event").GetString() == "registered" });
                break;
            case "exit":
                lock (_lock)
                    _members.Remove(Id(said));
                break;
            case "foreign-ephemeral-lost":
                Console.Error.WriteLine(
                    $"member {Id(said)}, process {said.GetProperty("pid").GetInt32()}: its ephemeral went at zxid {said.GetProperty("zxid").GetString()}, {said.GetProperty("at").GetDateTimeOffset():HH:mm:ss.fff}");
                break;
            case "watch-failed":
                Console.Error.WriteLine($"member {Id(said)}, watches: {said.GetProperty("what").GetString()}");
                break;
            case "ready":
                _ready.TrySetResult();
                break;
            case "summary":
                Summary = said;
                break;
        }
    }

    // What is told of a process that is gone comes too late.
    private void Set(JsonElement said, Func<MemberProcess, MemberProcess> change)
    {
        var (id, pid) = (Id(said), said.GetProperty("pid").GetInt32());
        lock (_lock)
        {
            var known = _members.GetValueOrDefault(id);
            if (known?.Pid == pid || said.GetProperty("event").GetString() == "started")
                _members[id] = change(known!);
        }
    }

    private static int Id(JsonElement said) => said.GetProperty("id").GetInt32();

    // Built beside this command by the project's reference: the same configuration and framework.
    private static string Assembly()
    {
        var output = new DirectoryInfo(AppContext.BaseDirectory);
        var root = output.Parent!.Parent!.Parent!.Parent!.Parent!.FullName;
        return Path.Combine(root, "samples", "PartitionLeaders", "bin", output.Parent.Name, output.Name, "PartitionLeaders.dll");
    }
}
