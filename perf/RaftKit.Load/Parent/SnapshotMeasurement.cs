using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using RaftKit.Hosting;
using RaftKit.Node.Loop;
using RaftKit.Znodes;

namespace RaftKit.Load.Parent;

/// <summary>
/// Fills a tree, lets the member take a snapshot of it while writes go on, and reads the node's own counter of the longest turn that the snapshot cost.
/// One member, in this process: what is measured is a loop, not a quorum.
/// </summary>
internal static class SnapshotMeasurement
{
    private const int PerEntry = 500;

    public static async IAsyncEnumerable<MeasuredResult> RunAsync(LoadOptions options, string folder)
    {
        var entries = options.Znodes / PerEntry;
        var member = new ClusterMember(
            new RaftKitOptions
            {
                Listen = "127.0.0.1:0",
                SessionTimeout = TimeSpan.FromSeconds(60),
                // Due shortly after the tree is full, and not before.
                SnapshotEveryEntries = entries + 2_000,
                SnapshotEveryBytes = long.MaxValue,
            },
            folder, TimeProvider.System, NullLoggerFactory.Instance);
        await member.StartAsync(CancellationToken.None);
        await using var session = member.Sessions.Open();
        await FillAsync(session, options);
        var counters = member.Counters!;

        var begun = Stopwatch.GetTimestamp();
        var writes = 0L;
        while (counters.SnapshotsTaken == 0)
        {
            // Snapshot slices share the loop with these, and change what they have not reached yet.
            await Task.WhenAll(Enumerable.Range(0, 64).Select(_ => session.SetAsync(PathOf(Random.Shared.Next(options.Znodes)), new byte[options.Size])));
            writes += 64;
        }
        yield return new SnapshotResult
        {
            Znodes = member.Sessions.View.Count,
            Size = options.Size,
            LongestTurnMs = Math.Round(counters.LongestSnapshotTurn.TotalMilliseconds, 2),
            WritesMeanwhile = writes,
            Seconds = Math.Round(Stopwatch.GetElapsedTime(begun).TotalSeconds, 1),
        };
        await session.CloseAsync();
        await member.StopAsync(CancellationToken.None);
        await member.DisposeAsync();
    }

    private static async Task FillAsync(IZnodeSession session, LoadOptions options)
    {
        for (var top = 0; top < 100; top++)
            await session.CreateAsync($"/n{top:d2}");
        foreach (var batch in Enumerable.Range(0, options.Znodes).Chunk(PerEntry).Chunk(8))
        {
            var results = await Task.WhenAll(batch.Select(some =>
                session.MultiAsync([.. some.Select(i => new ZnodeOperation.Create(PathOf(i), new byte[options.Size]))])));
            if (results.FirstOrDefault(r => !r.Succeeded) is { } failed)
                throw new LoadFailedException($"Filling the tree failed: {failed.Results.First(r => r.Error != ZnodeError.None)}.");
        }
    }

    private static string PathOf(int znode) => $"/n{znode % 100:d2}/z{znode:d7}";
}

/// <summary>What a snapshot cost the loop.</summary>
internal sealed record SnapshotResult : MeasuredResult
{
    public string Command => "snapshot";

    public required int Znodes { get; init; }

    public required int Size { get; init; }

    public required double LongestTurnMs { get; init; }

    public required long WritesMeanwhile { get; init; }

    public required double Seconds { get; init; }

    public override string ToJson() => System.Text.Json.JsonSerializer.Serialize(this, ResultJson.Default.SnapshotResult);

    public override string ToText() => Text(
        $"snapshot of {Znodes} znodes of {Size} B beside {WritesMeanwhile} writes: {Seconds:0.0} s; no turn of the loop was held up for more than {LongestTurnMs:0.00} ms");
}
