using System.Diagnostics;
using PartitionLeaders.Brokers;
using PartitionLeaders.Reports;

namespace PartitionLeaders.Supervision;

/// <summary>One life of a broker: a process, what it told, and what was done to it. Owned by the supervisor's loop.</summary>
internal sealed class BrokerProcess
{
    private readonly Process _process;
    private readonly List<(long From, long? To)> _cutOffs = [];

    private BrokerProcess(int id, Process process) => (Id, _process, Pid) = (id, process, process.Id);

    public int Id { get; }

    public int Pid { get; }

    /// <summary>What its member said last.</summary>
    public BrokerReport.Member Member { get; set; } = new("Starting", Leader: false, Term: 0, Incarnation: 0, Voter: false, Source: 0);

    /// <summary>Who fed its member last.</summary>
    public int LastSource { get; set; }

    /// <summary>Whether its ephemeral znode is there, as far as it knows.</summary>
    public bool Registered { get; set; }

    /// <summary>Whether it has come as far as to register.</summary>
    public bool EverRegistered { get; set; }

    public bool WritersStopped { get; set; }

    /// <summary>When it last told how far it is. If somebody else kills it, others notice its death before the supervisor does.</summary>
    public long LastSignOfLife { get; set; } = Stopwatch.GetTimestamp();

    public bool Frozen { get; private set; }

    /// <summary>Somebody outside cut it off from those that it needs.</summary>
    public bool CutOff { get; private set; }

    public bool Exited { get; private set; }

    /// <summary>It was told to die or to stop, so its end is no surprise.</summary>
    public bool EndExpected { get; private set; }

    /// <summary>When it did not run, or ceased to.</summary>
    public List<(long From, long? To)> Outages { get; } = [];

    /// <summary>When it did not run, or ran cut off from the others.</summary>
    public IEnumerable<(long From, long? To)> Excuses => Outages.Concat(_cutOffs);

    // A process that was killed is gone from that moment, whenever its exit is noticed.
    public bool Healthy => Registered && !Frozen && !CutOff && !Exited && !EndExpected;

    /// <summary>Starts a broker. Its reports, then its exit, come through the callbacks, from any thread, in order.</summary>
    public static BrokerProcess Start(
        Spawner spawner, BrokerSettings settings, string? launcher, string log, Action<BrokerProcess, BrokerReport> onReport,
        Action<BrokerProcess, int> onExit)
    {
        var self = Environment.ProcessPath!;
        var info = new ProcessStartInfo(launcher ?? self)
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        if (launcher is not null)
        {
            info.ArgumentList.Add($"{settings.Id}");
            info.ArgumentList.Add(self);
        }

        if (Path.GetFileNameWithoutExtension(self) == "dotnet")
            info.ArgumentList.Add(typeof(BrokerProcess).Assembly.Location);
        info.ArgumentList.Add(Broker.Verb);
        info.ArgumentList.Add(settings.ToArgument());
        var broker = new BrokerProcess(settings.Id, spawner.Start(info));
        _ = broker.ListenAsync(log, onReport, onExit);
        return broker;
    }

    public long Kill()
    {
        EndExpected = true;
        var at = Stopwatch.GetTimestamp();
        _process.Kill();
        Outages.Add((at, null));
        return at;
    }

    public long Freeze()
    {
        var at = Stopwatch.GetTimestamp();
        Signals.Freeze(Pid);
        MarkFrozen(at);
        return at;
    }

    public void Resume()
    {
        Signals.Resume(Pid);
        MarkResumed();
    }

    public void MarkFrozen(long at)
    {
        Frozen = true;
        Outages.Add((at, null));
    }

    public void MarkResumed()
    {
        Frozen = false;
        Outages[^1] = Outages[^1] with { To = Stopwatch.GetTimestamp() };
    }

    public void MarkCutOff(bool cutOff)
    {
        if (CutOff == cutOff)
            return;
        CutOff = cutOff;
        if (cutOff)
            _cutOffs.Add((Stopwatch.GetTimestamp(), null));
        else
            _cutOffs[^1] = _cutOffs[^1] with { To = Stopwatch.GetTimestamp() };
    }

    public void MarkExited()
    {
        _process.Dispose();
        Exited = true;
        Frozen = false;
        Registered = false;
        Outages.Add((LastSignOfLife, null));
    }

    /// <summary>Whether somebody stopped it: the third field of its stat. False if it is gone.</summary>
    public bool IsStoppedByAnybody()
    {
        try
        {
            var stat = File.ReadAllText($"/proc/{Pid}/stat");
            return stat[stat.LastIndexOf(')') + 2] == 'T';
        }
        catch (IOException)
        {
            return false;
        }
    }

    public void Tell(string command)
    {
        EndExpected |= command == BrokerCommands.Stop;
        try
        {
            _process.StandardInput.WriteLine(command);
            _process.StandardInput.Flush();
        }
        catch (IOException)
        {
            // It died just now; its exit is on its way.
        }
    }

    private async Task ListenAsync(string log, Action<BrokerProcess, BrokerReport> onReport, Action<BrokerProcess, int> onExit)
    {
        var errors = CopyErrorsAsync(log);
        while (await _process.StandardOutput.ReadLineAsync() is { } line)
        {
            if (TryParse(line) is { } report)
                onReport(this, report);
        }

        await _process.WaitForExitAsync();
        await errors;
        onExit(this, _process.ExitCode);
    }

    // A killed broker can leave half a line behind.
    private static BrokerReport? TryParse(string line)
    {
        try
        {
            return BrokerReport.Parse(line);
        }
        catch (System.Text.Json.JsonException)
        {
            return null;
        }
    }

    private async Task CopyErrorsAsync(string log)
    {
        await using var file = new FileStream(log, FileMode.Append, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        await _process.StandardError.BaseStream.CopyToAsync(file);
    }
}
