using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Threading.Channels;
using PartitionLeaders.Brokers;
using PartitionLeaders.Display;
using PartitionLeaders.Reports;

namespace PartitionLeaders.Supervision;

/// <summary>
/// Starts the brokers, does to them what the schedule says, restarts what died, and in the end holds what the quorum kept against what was
/// acknowledged. All state is owned by one loop (<see cref="PumpUntilAsync"/>): reports, exits and ticks come to it through one channel.
/// </summary>
internal sealed class Supervisor(RunOptions options, DataFolder folder, HistoryFile? history, IRunDisplay display) : IAsyncDisposable
{
    private const int FailedStartsTolerated = 3;
    private static readonly TimeSpan Recovery = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan TellSeenEvery = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan StopWithin = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan PrepareWithin = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(50);

    // As a service manager does: a process that starts at the same moment would take the processors from those who take over.
    private static readonly TimeSpan RestartAfter = TimeSpan.FromMilliseconds(500);

    private readonly PriorityQueue<int, TimeSpan> _restarts = new();
    private readonly Channel<Action> _inbox = Channel.CreateUnbounded<Action>(new() { SingleReader = true });
    private readonly CancellationTokenSource _interrupted = new();
    private readonly Spawner _spawner = new();
    private readonly Ledger _ledger = new(options.Cluster);
    private readonly Ephemerals _ephemerals = new(options.SessionTimeout);
    private readonly Failovers _failovers = new();
    private readonly WriteRates _rates = new();
    private readonly Dictionary<int, BrokerProcess> _brokers = [];
    private readonly IReadOnlyList<string> _addresses = options.Addresses ?? LoopbackPorts.Find(options.Cluster.Brokers);
    private readonly IReadOnlyList<int> _processes = options.Cluster.Processes();
    private readonly HashSet<int> _cutOff = [];
    private readonly string _runName = Guid.NewGuid().ToString("n")[..8];
    private readonly long _began = Stopwatch.GetTimestamp();
    private readonly Dictionary<BrokerProcess, long> _localReadFailures = [];
    private readonly Dictionary<BrokerProcess, bool> _shownRegistered = [];
    private readonly Dictionary<int, (PartitionState State, LeaderHistory Leaders)> _read = [];
    private FaultSchedule? _faults;
    private BrokerReport.ReadEnded? _readEnded;
    private (BrokerProcess Broker, TimeSpan Until)? _thaw;
    private string? _failure;
    private int _failedStarts;
    private bool _stopping;
    private int _kills;
    private int _freezes;
    private int _sourcesChanged;
    private long _seen;
    private long _seenTold;
    private int _observerCalls;
    private int _watchesChecked;
    private int _watchesFailed;

    private TimeSpan Now => Stopwatch.GetElapsedTime(_began);

    private bool Ending => _interrupted.IsCancellationRequested || _failure is not null;

    private bool AllWell =>
        _brokers.Count == _processes.Count
        && _brokers.Values.All(broker => broker.Healthy)
        && _brokers.Values.Any(broker => broker.Member.Leader)
        && Enumerable.Range(0, options.Cluster.Partitions).All(partition => _ledger.LeaderOf(partition) is not null);

    /// <summary>Runs from the first start to the summary.</summary>
    public async Task<Summary> RunAsync()
    {
        // Each broker's output and errors take a thread that waits for them.
        ThreadPool.SetMinThreads(4 + 2 * _processes.Count, 4);
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Interrupt);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Interrupt);
        using var ticks = new Timer(_ => _inbox.Writer.TryWrite(Tick), null, TickInterval, TickInterval);

        if (options.Attended)
            new Thread(Attend) { IsBackground = true, Name = "Attended" }.Start();
        foreach (var broker in _processes)
            Start(broker);
        if (!await PumpUntilAsync(() => AllWell || Ending, PrepareWithin))
            _failure = $"Not all brokers were registered, or not all partitions had a leader, within {PrepareWithin.TotalSeconds:0} s.";
        if (Ending)
            return await EndAsync();

        display.Show(new RunEvent.Ready(Math.Round(Now.TotalSeconds, 2)));
        var began = Now;
        _faults = new FaultSchedule(options, began);
        await PumpUntilAsync(() => Ending || (options.RunFor > TimeSpan.Zero && Now - began >= options.RunFor), Timeout.InfiniteTimeSpan);
        _faults = null;
        return await EndAsync();
    }

    public async ValueTask DisposeAsync()
    {
        // Only what a failure left: the others were told to stop and have.
        _stopping = true;
        foreach (var broker in _brokers.Values.Where(broker => !broker.Exited))
            broker.Kill();
        await PumpUntilAsync(() => _brokers.Values.All(broker => broker.Exited), TimeSpan.FromSeconds(5));
        _spawner.Dispose();
        _interrupted.Dispose();
    }

    // Lets everybody recover, stops the writers, reads what the quorum kept, stops the brokers.
    private async Task<Summary> EndAsync()
    {
        // Once something went wrong there is no point in patience, but what the quorum kept is still worth reading.
        TimeSpan Patience() => _failure is null ? Recovery : TimeSpan.FromSeconds(1);

        if (!await PumpUntilAsync(() => AllWell && _failovers.Settled, Patience()))
            _failure ??= $"Not all brokers and partitions recovered within {Recovery.TotalSeconds:0} s of the last fault.";
        _failovers.CloseAll(Stopwatch.GetTimestamp());
        if (_thaw is { } frozen)
            Thaw(frozen.Broker);

        TellAll(BrokerCommands.StopWriters);
        if (!await PumpUntilAsync(() => _brokers.Values.All(broker => broker.WritersStopped), Patience()))
            _failure ??= $"Not all writes ended within {Recovery.TotalSeconds:0} s.";
        if (!await ReadPartitionsAsync())
            _failure ??= $"The partitions could not be read in the end: {_readEnded?.Error ?? "no answer"}";

        var stoppedAt = Stopwatch.GetTimestamp();
        _stopping = true;
        TellAll(BrokerCommands.Stop);
        if (!await PumpUntilAsync(() => _brokers.Values.All(broker => broker.Exited), StopWithin))
            _failure ??= $"Not all brokers stopped within {StopWithin.TotalSeconds:0} s of being told to.";
        return Summarize(stoppedAt);
    }

    private Summary Summarize(long stoppedAt)
    {
        var foreign = _ephemerals.FindForeign(stoppedAt);
        foreach (var (broker, zxid, at) in foreign)
            display.Show(
                new RunEvent.ForeignEphemeralLost(
                    broker.Id, broker.Pid, $"{zxid:x}", TimeProvider.System.GetUtcNow() - Stopwatch.GetElapsedTime(at)));
        return Summarize(foreign.Count);
    }

    private Summary Summarize(int foreignEphemeralsLost) => new()
    {
        Brokers = options.Cluster.Brokers,
        Observers = options.Cluster.Observers,
        Partitions = options.Cluster.Partitions,
        Kills = _kills,
        Freezes = _freezes,
        WritesAcked = _ledger.Acked,
        WritesLost = _read.Sum(partition => _ledger.CountLost(partition.Key, partition.Value.State, partition.Value.Leaders)),
        DoubleLeaders = _ledger.DoubleLeaders,
        ForeignEphemeralsLost = foreignEphemeralsLost,
        ObserverCalls = _observerCalls,
        SourcesChanged = _sourcesChanged,
        WatchesChecked = _watchesChecked,
        WatchesFailed = _watchesFailed,
        LocalReadsFailed = _localReadFailures.Values.Sum(),
        QuorumFailoverMs = _failovers.Quorum,
        PartitionFailoverMs = _failovers.Partitions,
        FrozenLeaderGapMs = _failovers.FrozenLeader,
        Failure = _failure,
    };

    // Any broker can do a linearizable read; if one cannot, the next one is asked.
    private async Task<bool> ReadPartitionsAsync()
    {
        foreach (var broker in _brokers.Values.Where(broker => !broker.Exited).ToArray())
        {
            _readEnded = null;
            _read.Clear();
            broker.Tell(BrokerCommands.ReadPartitions);
            await PumpUntilAsync(() => _readEnded is not null || broker.Exited, TimeSpan.FromSeconds(10));
            if (_readEnded is { Error: null } && _read.Count == options.Cluster.Partitions)
                return true;
        }

        return false;
    }

    private async Task<bool> PumpUntilAsync(Func<bool> condition, TimeSpan limit)
    {
        var began = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (limit != Timeout.InfiniteTimeSpan && Stopwatch.GetElapsedTime(began) >= limit)
                return false;
            (await _inbox.Reader.ReadAsync())();
            while (_inbox.Reader.TryRead(out var action))
                action();
        }

        return true;
    }

    private void Start(int id)
    {
        var settings = new BrokerSettings(
            id, options.Cluster, _addresses, folder.Broker(id), (int)options.SessionTimeout.TotalMilliseconds, options.ExpireOnRefused,
            options.SnapshotEvery,
            options.LeaderLeaseMs,
            history is null ? null : _runName);
        var broker = _brokers[id] = BrokerProcess.Start(
            _spawner,
            settings,
            options.Launcher,
            folder.Log(id),
            (from, report) => _inbox.Writer.TryWrite(() => OnReport(from, report)),
            (from, code) => _inbox.Writer.TryWrite(() => OnExit(from, code)));
        broker.MarkCutOff(_cutOff.Contains(id));
        display.Show(new RunEvent.Started(id, broker.Pid));
    }

    private void OnReport(BrokerProcess broker, BrokerReport report)
    {
        switch (report)
        {
            case BrokerReport.Member member:
                OnMember(broker, member);
                break;
            case BrokerReport.Registered registered:
                _ephemerals.Registered(broker, registered);
                ShowRegistered(broker);
                break;
            case BrokerReport.EphemeralGone gone:
                _ephemerals.Gone(gone);
                if (_brokers.TryGetValue(gone.Broker, out var unregistered))
                    ShowRegistered(unregistered);
                break;
            case BrokerReport.Leading leading:
                _ledger.Leading(broker, leading);
                _failovers.Leading(leading);
                break;
            case BrokerReport.Resigned resigned:
                _ledger.Resigned(resigned);
                break;
            case BrokerReport.Fenced fenced:
                display.Show(new RunEvent.Fenced(broker.Id, fenced.Partition, fenced.Token));
                break;
            case BrokerReport.Progress progress:
                OnProgress(broker, progress);
                break;
            case BrokerReport.Suspended pause:
                broker.Outages.Add((pause.From, pause.To));
                break;
            case BrokerReport.HistoryCall call:
                history?.Called(broker, call);
                break;
            case BrokerReport.HistoryReturn call:
                history?.Returned(broker, call);
                OnSeen(call.Operation.Zxid ?? 0);
                _observerCalls += Cluster.IsObserver(broker.Id) && call.Operation.Status == "ok" ? 1 : 0;
                break;
            case BrokerReport.LocalRead read:
                history?.ReadLocally(broker, read.Operation);
                break;
            case BrokerReport.WatchesChecked check:
                OnWatchesChecked(broker, check);
                break;
            case BrokerReport.WritersStopped:
                broker.WritersStopped = true;
                break;
            case BrokerReport.PartitionRead read:
                _read[read.Partition] = (PartitionState.Parse(read.State), LeaderHistory.Parse(read.Leaders));
                break;
            case BrokerReport.ReadEnded ended:
                _readEnded = ended;
                break;
        }
    }

    // Registrations and removals are told by several, and by some late.
    private void ShowRegistered(BrokerProcess broker)
    {
        if (broker.Registered == _shownRegistered.GetValueOrDefault(broker))
            return;
        _shownRegistered[broker] = broker.Registered;
        display.Show(broker.Registered ? new RunEvent.Registered(broker.Id, broker.Pid) : new RunEvent.Unregistered(broker.Id, broker.Pid));
    }

    private void OnMember(BrokerProcess broker, BrokerReport.Member member)
    {
        var changed = member with { Role = broker.Member.Role } != broker.Member;
        broker.Member = member;
        if (changed)
            display.Show(
                new RunEvent.Member(broker.Id, broker.Pid, member.Leader, member.Term, member.Incarnation, member.Voter, member.Source));
        if (!Cluster.IsObserver(broker.Id) || member.Source == 0 || member.Source == broker.LastSource)
            return;
        if (broker.LastSource != 0)
            _sourcesChanged++;
        broker.LastSource = member.Source;
    }

    // What one broker's client saw, another one's may ask for next: as a user does whose requests go to this web server and to that.
    private void OnSeen(long zxid)
    {
        _seen = Math.Max(_seen, zxid);
        if (Stopwatch.GetElapsedTime(_seenTold) < TellSeenEvery)
            return;
        _seenTold = Stopwatch.GetTimestamp();
        TellAll($"{BrokerCommands.Seen}{_seen:x}");
    }

    private void OnWatchesChecked(BrokerProcess broker, BrokerReport.WatchesChecked check)
    {
        _watchesChecked++;
        if (check.Failure is not { } failure)
            return;
        _watchesFailed++;
        display.Show(new RunEvent.WatchFailed(broker.Id, broker.Pid, failure));
    }

    private void OnProgress(BrokerProcess broker, BrokerReport.Progress progress)
    {
        broker.LastSignOfLife = progress.At;
        foreach (var acked in progress.Acked)
            _ledger.Acknowledged(broker, acked);
        _rates.Acknowledged(broker.Id, progress.Acked.Sum(acked => acked.Last - acked.First + 1));
        _failovers.Probed(broker, progress.Probes);
        _localReadFailures[broker] = progress.LocalReadsFailed;
    }

    private void OnExit(BrokerProcess broker, int code)
    {
        const int BySigKill = 128 + 9;
        history?.Ended(broker);
        if (!broker.EndExpected && code == BySigKill)
            OnKilled(broker, Stopwatch.GetTimestamp());
        display.Show(new RunEvent.Exited(broker.Id, broker.Pid, code, broker.EndExpected));

        // A broker that cannot even start would be restarted for ever: a port or a folder is wrong, or the program.
        _failedStarts = broker.EverRegistered || code == BySigKill ? 0 : _failedStarts + 1;
        if (_failedStarts >= FailedStartsTolerated)
            _failure ??= $"Broker {broker.Id} ended with code {code} before it had joined. Its log ends with: {folder.LastErrorOf(broker.Id)}";
        broker.MarkExited();
        if (!_stopping && _failure is null)
            _restarts.Enqueue(broker.Id, Now + RestartAfter);
    }

    private void OnKilled(BrokerProcess broker, long at)
    {
        _kills++;
        if (broker.Member.Leader)
            _failovers.LeaderDied(broker, at);
        foreach (var (partition, token) in _ledger.LedBy(broker))
            _failovers.PartitionLost(partition, token, at);
    }

    private void OnFrozen(BrokerProcess broker, long at)
    {
        _freezes++;
        if (broker.Member.Leader)
            _failovers.LeaderFroze(broker, at);
        display.Show(new RunEvent.Froze(broker.Id, broker.Pid, broker.Member.Leader));
    }

    private void Tick()
    {
        if (_thaw is { } thaw && (Now >= thaw.Until || thaw.Broker.Exited))
            Thaw(thaw.Broker);
        NoticeFreezesByOthers();
        while (!_stopping && _failure is null && _restarts.TryPeek(out var id, out var due) && due <= Now)
        {
            _restarts.Dequeue();
            Start(id);
        }
        if (AllWell && _faults?.Due(Now) is { } fault)
            Inject(fault, _faults.Take(fault, Now, [.. _brokers.Values]));
        foreach (var (frozen, milliseconds) in _failovers.Close())
            display.Show(new RunEvent.FailedOver(frozen, Math.Round(milliseconds, 1)));
        display.Refresh(View());
    }

    private void Inject(Fault fault, BrokerProcess victim)
    {
        if (fault == Fault.Kill)
        {
            var at = victim.Kill();
            OnKilled(victim, at);
            display.Show(new RunEvent.Killed(victim.Id, victim.Pid, victim.Member.Leader));
            return;
        }

        _thaw = (victim, Now + options.FreezeFor);
        OnFrozen(victim, victim.Freeze());
    }

    private void Thaw(BrokerProcess broker)
    {
        _thaw = null;
        if (broker.Exited)
            return;
        broker.Resume();
        display.Show(new RunEvent.Resumed(broker.Id, broker.Pid));
    }

    // Somebody outside may freeze brokers as well as kill them.
    private void NoticeFreezesByOthers()
    {
        foreach (var broker in _brokers.Values.Where(broker => !broker.Exited && broker != _thaw?.Broker))
        {
            var stopped = broker.IsStoppedByAnybody();
            if (stopped && !broker.Frozen)
            {
                var at = Stopwatch.GetTimestamp();
                broker.MarkFrozen(at);
                OnFrozen(broker, at);
            }
            else if (!stopped && broker.Frozen)
            {
                broker.MarkResumed();
                display.Show(new RunEvent.Resumed(broker.Id, broker.Pid));
            }
        }
    }

    // Reads from the console block: they have a thread of their own.
    private void Attend()
    {
        while (Console.In.ReadLine() is { } line)
        {
            if (line.Split(' ') is ["cut" or "mended", var id])
                _inbox.Writer.TryWrite(
                    () => OnCutOff(int.Parse(id, CultureInfo.InvariantCulture), line.StartsWith("cut", StringComparison.Ordinal)));
        }

        _interrupted.Cancel();
    }

    private void OnCutOff(int id, bool cutOff)
    {
        if (cutOff)
            _cutOff.Add(id);
        else
            _cutOff.Remove(id);
        if (_brokers.TryGetValue(id, out var broker))
            broker.MarkCutOff(cutOff);
    }

    private void TellAll(string command)
    {
        foreach (var broker in _brokers.Values.Where(broker => !broker.Exited))
            broker.Tell(command);
    }

    private void Interrupt(PosixSignalContext signal)
    {
        // The first one ends the run with its summary; the second one ends it now.
        signal.Cancel = !_interrupted.IsCancellationRequested;
        _interrupted.Cancel();
    }

    private RunView View() => new(
        Now,
        [
            .. _brokers.Values.Select(broker => new BrokerView(
                broker.Id, broker.Pid, StateOf(broker), broker.Member, _ledger.PartitionsLedBy(broker), _rates.Of(broker.Id))),
        ],
        [.. Enumerable.Range(0, options.Cluster.Partitions).Select(partition => _ledger.LeaderOf(partition)?.Id)],
        _ledger.Acked,
        _kills,
        _freezes,
        _failovers.Quorum,
        _failovers.Partitions,
        _failovers.FrozenLeader);

    private static string StateOf(BrokerProcess broker) => broker switch
    {
        { Exited: true } => "dead",
        { Frozen: true } => "frozen",
        { CutOff: true } => "cut off",
        { Registered: true } => "up",
        _ => "joining",
    };
}
