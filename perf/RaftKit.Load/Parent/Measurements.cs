using System.Diagnostics;
using RaftKit.Load.Loads;

namespace RaftKit.Load.Parent;

/// <summary>Makes the measurements with an ensemble of member processes.</summary>
internal static class Measurements
{
    private static readonly TimeSpan Slack = TimeSpan.FromSeconds(60);

    // Multiples of the loop's tick of 5 ms. From one at which a member that merely waits for a processor looks dead, to one that nobody
    // wants to wait for.
    private static readonly MemberTimeouts[] Sweep = [new(10, 50), new(15, 100), new(30, 200), new(50, 400), new(100, 1000)];

    /// <summary>Writes, issued inside the leader's process.</summary>
    public static async IAsyncEnumerable<MeasuredResult> WritesAsync(LoadOptions options, string folder)
    {
        var rawFsyncs = RawFsync.MeasurePerSecond(folder);
        await using var ensemble = new Ensemble(options.Members, folder);
        var (figures, cpu) = await RunAsync(ensemble, options, LoadKind.Write);
        yield return ToResult("writes", null, options, figures, cpu) with
        {
            FsyncsPerS = Round(figures.Fsyncs / figures.Seconds, 0),
            WritesPerLeaderFsync = Round((double)figures.Operations / Math.Max(1, figures.Fsyncs), 2),
            RawFsyncsPerS = Round(rawFsyncs, 0),
        };
    }

    /// <summary>Reads of each kind, issued inside the leader's process.</summary>
    public static async IAsyncEnumerable<MeasuredResult> ReadsAsync(LoadOptions options, string folder)
    {
        await using var ensemble = new Ensemble(options.Members, folder);
        foreach (var kind in options.Kinds)
        {
            // More threads than processors would only wait for each other.
            var fitted = kind == LoadKind.ViewRead ? options with { Outstanding = 1 } : options;
            var (figures, cpu) = await RunAsync(ensemble, fitted, kind);
            yield return ToResult("reads", NameOf(kind), fitted, figures, cpu);
        }
    }

    /// <summary>Takes the leader away again and again, and sees when a survivor's write is acknowledged.</summary>
    public static async IAsyncEnumerable<MeasuredResult> FailoverAsync(LoadOptions options, string folder)
    {
        await using var ensemble = new Ensemble(options.Members, folder, options.Timeouts);
        var sorted = await GapsAsync(ensemble, options.Kills, options.Freeze);
        yield return new FailoverResult
        {
            Fault = options.Freeze ? "freeze" : "kill",
            Members = options.Members,
            Times = options.Kills,
            P50Ms = Round(sorted[(sorted.Length - 1) / 2], 1),
            P99Ms = Round(sorted[(int)Math.Ceiling(sorted.Length * 0.99) - 1], 1),
            MaxMs = Round(sorted[^1], 1),
        };
    }

    /// <summary>
    /// For each pair of timeouts: how long a frozen leader holds writes up, and how often a busy machine alone makes the members elect.
    /// </summary>
    public static async IAsyncEnumerable<MeasuredResult> TimeoutsAsync(LoadOptions options, string folder)
    {
        foreach (var timeouts in Sweep)
        {
            await using var ensemble = new Ensemble(options.Members, Path.Combine(folder, $"election-{timeouts.ElectionMs}"), timeouts);
            var gaps = await GapsAsync(ensemble, options.Kills, freeze: true);
            var leader = await ensemble.LeaderAsync();
            var term = leader.Status.Term;
            long writes = 0;
            using (new BusyNeighbours(Environment.ProcessorCount))
            {
                leader.Order(new MemberOrder.Run(LoadKind.Write, options.Outstanding, options.Size, options.Seconds));
                writes = (await ensemble.ReportAsync<MemberReport.WindowClosed>(TimeSpan.FromSeconds(options.Seconds)
                    + Slack)).Figures.Operations;
            }

            yield return new TimeoutsResult
            {
                HeartbeatMs = timeouts.HeartbeatMs,
                ElectionMs = timeouts.ElectionMs,
                Members = options.Members,
                Times = options.Kills,
                FrozenGapP50Ms = Round(gaps[(gaps.Length - 1) / 2], 1),
                FrozenGapMaxMs = Round(gaps[^1], 1),
                BusySeconds = Round(options.Seconds, 1),
                BusyWritesPerS = Round(writes / options.Seconds, 0),
                NeedlessElections = ensemble.Members.Max(member => member.Status.Term) - term,
            };
        }
    }

    private static async Task<double[]> GapsAsync(Ensemble ensemble, int times, bool freeze)
    {
        var gaps = new List<double>();
        for (var time = 0; time < times; time++)
        {
            var leader = await ensemble.LeaderAsync();
            await WarmUpAsync(ensemble);
            var gone = Stopwatch.GetTimestamp();
            if (freeze)
                leader.Freeze();
            else
                leader.Kill();
            var survivors = ensemble.Members.Where(member => member != leader).ToArray();
            gaps.Add((await AwaitWritesAsync(ensemble, survivors)).Min(at => Stopwatch.GetElapsedTime(gone, at).TotalMilliseconds));

            leader.Status = leader.Status with { Leader = false, Ready = false };
            if (freeze)
            {
                leader.Resume();
                continue;
            }

            await leader.Ended;
            leader.Dispose();
            ensemble.Start(leader.Settings.Id);
        }

        return [.. gaps.Order()];
    }

    private static async Task<(LoadFigures Figures, TimeSpan Cpu)> RunAsync(Ensemble ensemble, LoadOptions options, LoadKind kind)
    {
        var leader = await ensemble.LeaderAsync();
        leader.Order(new MemberOrder.Run(kind, options.Outstanding, options.Size, options.Seconds));
        await ensemble.ReportAsync<MemberReport.WindowOpened>(Slack);
        var before = ensemble.ProcessorTime;
        var figures = (await ensemble.ReportAsync<MemberReport.WindowClosed>(TimeSpan.FromSeconds(options.Seconds) + Slack)).Figures;
        var cpu = ensemble.ProcessorTime - before;
        if (await ensemble.LeaderAsync() != leader)
            throw new LoadFailedException(
                "The leader changed during the measurement: it would say nothing about loads inside the leader's process.");
        return (figures, cpu);
    }

    // A member that has just been restarted has to compile the way of a write first.
    private static async Task WarmUpAsync(Ensemble ensemble)
    {
        for (var n = 0; n < 20; n++)
            await AwaitWritesAsync(ensemble, ensemble.Members);
    }

    private static async Task<List<long>> AwaitWritesAsync(Ensemble ensemble, IReadOnlyCollection<MemberProcess> members)
    {
        foreach (var member in members)
            member.Order(new MemberOrder.AwaitWrite());
        var acknowledged = new List<long>();
        while (acknowledged.Count < members.Count)
            acknowledged.Add((await ensemble.ReportAsync<MemberReport.WriteAcknowledged>(Slack)).At);
        return acknowledged;
    }

    private static LoadResult ToResult(string command, string? kind, LoadOptions options, LoadFigures figures, TimeSpan cpu) => new()
    {
        Command = command,
        Kind = kind,
        Members = options.Members,
        Outstanding = options.Outstanding,
        Size = options.Size,
        Seconds = Round(figures.Seconds, 2),
        Ops = figures.Operations,
        OpsPerS = Round(figures.Operations / figures.Seconds, 0),
        P50Ms = Round(figures.P50Ms, 4),
        P99Ms = Round(figures.P99Ms, 4),
        P999Ms = Round(figures.P999Ms, 4),
        MaxMs = Round(figures.MaxMs, 2),
        ServerCpuUsPerOp = Round(cpu.TotalMicroseconds / Math.Max(1, figures.Operations), 3),
        AllocBytesPerOp = Round((double)figures.AllocatedBytes / Math.Max(1, figures.Operations), 1),
    };

    private static string NameOf(LoadKind kind) => kind switch
    {
        LoadKind.ViewRead => "view",
        LoadKind.SessionRead => "local",
        LoadKind.LinearizableRead => "linearizable",
        _ => kind.ToString(),
    };

    private static double Round(double value, int digits) => Math.Round(value, digits);
}
