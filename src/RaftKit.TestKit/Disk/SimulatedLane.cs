using RaftKit.Node.Log;
using RaftKit.Node.Loop;

namespace RaftKit.TestKit;

/// <summary>
/// A disk lane as events: jobs run one after the other, at a later time each, and those that wait together share one sync as in production.
/// </summary>
internal sealed class SimulatedLane(
    SimulatedScheduler scheduler, SimulatedProcess process, SimulatedDisk disk, SimulatedRandom random, FaultCounters counters,
    INodeInbox inbox, Action stopped) : IDiskLane
{
    private const int MaxGroup = 256;

    private readonly Queue<DiskJob> _jobs = new();
    private Action? _run;
    private bool _running;
    private TimeSpan _lastHeard;

    /// <summary>How likely a piece of work is to take much longer.</summary>
    public double StallChance { get; set; }

    /// <summary>How much longer each piece of work takes, at most; at least, half of that.</summary>
    public TimeSpan Slowness { get; set; }

    /// <summary>The disk takes nothing until this ends: what is under way still ends, what comes after it waits.</summary>
    public bool StandsStill
    {
        get;
        set
        {
            field = value;
            if (!value && !_running && _jobs.Count > 0)
                RunLater();
        }
    }

    /// <summary>Hears of each job that ran well, in order, before the loop does.</summary>
    public Action<DiskJob>? Executed { get; set; }

    /// <summary>Hears of each job before it runs: what it writes may be found on the disk though it never ends.</summary>
    public Action<DiskJob>? Executing { get; set; }

    /// <summary>Says whether what is submitted still gets here; null: it does.</summary>
    public Func<bool>? Gate { get; set; }

    /// <summary>What runs now; null between jobs.</summary>
    public DiskJob? Current { get; private set; }

    public void Submit(DiskJob job)
    {
        if (Gate?.Invoke() == false)
            return;
        _jobs.Enqueue(job);
        if (!_running && !StandsStill)
            RunLater();
    }

    private void RunLater()
    {
        _running = true;
        var latency = random.Between(TimeSpan.FromMicroseconds(40), TimeSpan.FromMicroseconds(400));
        if (random.Chance(Math.Max(StallChance, disk.Failing?.StallChance ?? 0)))
        {
            counters.Stall++;
            if (disk.Failing is { StallChance: > 0 })
                counters.Coverage.Struck(MenuItem.FailingDiskStall);
            latency += random.Between(TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(800));
        }
        if (Slowness > TimeSpan.Zero)
            latency += random.Between(Slowness / 2, Slowness);
        process.After(latency, _run ??= Run);
    }

    private void Run()
    {
        var group = new List<DiskJob>();
        while (group.Count < MaxGroup && _jobs.TryPeek(out var next) && (group.Count == 0 || (next.CanShareSync && group[^1].CanShareSync)))
            group.Add(_jobs.Dequeue());
        for (var i = 0; i < group.Count; i++)
        {
            group[i].SyncDeferred = i < group.Count - 1;
            Executing?.Invoke(group[i]);
            Current = group[i];
            if (group[i] is LogWriteJob)
                disk.BeginWork();
            group[i].Execute();
            disk.EndWork();
            if (disk.IsOff)
                break;
        }
        if (disk.IsOff)
        {
            stopped();
            return;
        }
        Current = null;
        var failure = group.Find(j => j.Failure is not null)?.Failure;
        foreach (var job in group)
        {
            if (failure is not null)
                job.Fail(failure);
            else
                Executed?.Invoke(job);
        }
        // Between the work and the loop's hearing of it lies a moment in which a kill may strike.
        var heard = scheduler.Now + random.Between(TimeSpan.Zero, TimeSpan.FromMicroseconds(50));
        _lastHeard = heard > _lastHeard ? heard : _lastHeard;
        process.After(_lastHeard - scheduler.Now, () =>
        {
            foreach (var job in group)
                inbox.Post(new NodeInput.DiskDone(job));
        });
        _running = false;
        if (_jobs.Count > 0 && !StandsStill)
            RunLater();
    }
}
