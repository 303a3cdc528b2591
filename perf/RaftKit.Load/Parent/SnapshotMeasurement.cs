using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using RaftKit.Hosting;
using RaftKit.Load.Loads;
using RaftKit.Node.Loop;
using RaftKit.Znodes;

namespace RaftKit.Load.Parent;

/// <summary>
/// Fills a tree, lets the member take a snapshot of it while writes go on, and reads the node's own counter of the longest turn that the
/// snapshot cost. One member, in this process: what is measured is a loop, not a quorum.
/// </summary>
internal static class SnapshotMeasurement
{
    private const int PerEntry = 500;
    private const int Outstanding = 64;

    // So many writes come between the full tree and its snapshot: the collector is done with the filling by then, and what writes alone
    // cost is seen.
    private const int WritesBefore = 60_000;

    public static async IAsyncEnumerable<MeasuredResult> RunAsync(LoadOptions options, string folder)
    {
        var entries = options.Znodes / PerEntry;
        var member = new ClusterMember(
            new RaftKitOptions
            {
                Listen = "127.0.0.1:0",
                SessionTimeout = TimeSpan.FromSeconds(60),
                SnapshotEveryEntries = entries + WritesBefore,
                SnapshotEveryBytes = long.MaxValue,
            },
            folder, [], TimeProvider.System, NullLoggerFactory.Instance);
        await member.StartAsync(CancellationToken.None);
        await using var session = member.Sessions.Open();
        await TreeFilling.RunAsync(session, options.Znodes, options.Size, PerEntry);
        var counters = member.Counters!;

        var before = new PauseWatch();
        while (counters.LongestSnapshotTurn == TimeSpan.Zero)
            await WriteAsync(session, options, before);
        var meanwhile = new PauseWatch();
        var begun = Stopwatch.GetTimestamp();
        while (counters.SnapshotsTaken == 0)
        {
            // Snapshot slices share the loop with these, and change what they have not reached yet.
            await WriteAsync(session, options, meanwhile);
        }
        yield return new SnapshotResult
        {
            Znodes = member.Sessions.View.Count,
            Size = options.Size,
            LongestTurnMs = Math.Round(counters.LongestSnapshotTurn.TotalMilliseconds, 2),
            LongestTurnWorkMs = Math.Round(counters.LongestSnapshotTurnWork.TotalMilliseconds, 2),
            LongestPauseMs = Math.Round(meanwhile.Longest.TotalMilliseconds, 2),
            LongestPauseBeforeMs = Math.Round(before.Longest.TotalMilliseconds, 2),
            WritesMeanwhile = meanwhile.Writes,
            Seconds = Math.Round(Stopwatch.GetElapsedTime(begun).TotalSeconds, 1),
            MemoryBeforeMb = before.MostMemory >> 20,
            MemoryMeanwhileMb = meanwhile.MostMemory >> 20,
        };
        await session.CloseAsync();
        await member.StopAsync(CancellationToken.None);
        await member.DisposeAsync();
    }

    private static async Task WriteAsync(IZnodeSession session, LoadOptions options, PauseWatch watch)
    {
        await Task.WhenAll(
            Enumerable.Range(0, Outstanding).Select(
                _ => session.SetAsync(TreeFilling.PathOf(Random.Shared.Next(options.Znodes)), new byte[options.Size])));
        watch.Note(Outstanding);
    }
}

/// <summary>What a snapshot cost the loop.</summary>
internal sealed record SnapshotResult : MeasuredResult
{
    public string Command => "snapshot";

    public required int Znodes { get; init; }

    public required int Size { get; init; }

    /// <summary>The node's counter: all the time that the snapshot held up one turn.</summary>
    public required double LongestTurnMs { get; init; }

    /// <summary>The same without the runtime's own pauses.</summary>
    public required double LongestTurnWorkMs { get; init; }

    /// <summary>The runtime's longest pause while the snapshot was made, and while as much was written before it.</summary>
    public required double LongestPauseMs { get; init; }

    public required double LongestPauseBeforeMs { get; init; }

    public required long WritesMeanwhile { get; init; }

    public required double Seconds { get; init; }

    /// <summary>The most memory of the process that was resident.</summary>
    public required long MemoryBeforeMb { get; init; }

    public required long MemoryMeanwhileMb { get; init; }

    public override string ToJson() => System.Text.Json.JsonSerializer.Serialize(this, ResultJson.Default.SnapshotResult);

    public override string ToText() => Text(
        $"""
        snapshot of {Znodes} znodes of {Size} B beside {WritesMeanwhile} writes: {Seconds:0.0} s
          no turn of the loop was held up for more than {LongestTurnMs:0.00} ms; {LongestTurnWorkMs:0.00} ms without pauses of the runtime
          the runtime's longest pause: {LongestPauseMs:0.00} ms; {LongestPauseBeforeMs:0.00} ms before the snapshot
          the process took {MemoryMeanwhileMb} MB; {MemoryBeforeMb} MB before the snapshot
        """);
}

/// <summary>Sees the runtime's pauses and the process's memory, as long as it is asked often.</summary>
internal sealed class PauseWatch
{
    private long _collections = GC.GetGCMemoryInfo(GCKind.Any).Index;

    public TimeSpan Longest { get; private set; }

    public long MostMemory { get; private set; }

    public long Writes { get; private set; }

    public void Note(int writes)
    {
        Writes += writes;
        MostMemory = Math.Max(MostMemory, Environment.WorkingSet);
        var last = GC.GetGCMemoryInfo(GCKind.Any);
        if (last.Index == _collections)
            return;
        _collections = last.Index;
        foreach (var pause in last.PauseDurations)
            Longest = pause > Longest ? pause : Longest;
    }
}
