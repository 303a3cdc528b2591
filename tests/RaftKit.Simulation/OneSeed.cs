using System.Globalization;
using RaftKit.TestKit;

namespace RaftKit.Simulation;

/// <summary>Runs one seed again, to look at it.</summary>
internal static class OneSeed
{
    public static int Run(
        ulong seed, TimeSpan atLeast, IReadOnlyCollection<int> judgedBy, bool trace, bool hash, bool json, string? history)
    {
        var run = new SeedRun(seed, trace ? Console.Out : null, atLeast) { JudgedBy = judgedBy };
        var result = run.Run();
        if (history is not null)
        {
            using var writer = new HistoryWriter(history);
            foreach (var operation in run.History)
                writer.Write(operation);
        }
        if (hash)
            Report.PrintHash(result, json);
        else if (json)
            Console.WriteLine(Summary.Of([result], result.WallTime).ToJson());
        else
            Report.Print(result, Console.Out, atLeast);
        return result.Violation is null ? 0 : 1;
    }
}

/// <summary>What a person needs to know about a seed.</summary>
internal static class Report
{
    public static void PrintHash(SeedResult result, bool json) => Console.WriteLine(json
        ? string.Create(CultureInfo.InvariantCulture, $$"""{"seed":{{result.Seed}},"hash":"{{result.Hash:x16}}"}""")
        : string.Create(CultureInfo.InvariantCulture, $"{result.Seed} {result.Hash:x16}"));

    public static void Print(SeedResult result, TextWriter output, TimeSpan atLeast)
    {
        if (result.Violation is not null)
        {
            foreach (var line in result.Trace)
                output.WriteLine(line);
            output.WriteLine();
            output.WriteLine($"seed {result.Seed}, {result.Members} members, at {result.At.TotalMilliseconds:F3} ms: {result.Violation}");
            output.WriteLine(
                $"again: dotnet run -c Release --project tests/RaftKit.Simulation -- --seed {result.Seed}{(atLeast > TimeSpan.Zero ? $" --seconds {atLeast.TotalSeconds:0.###}" : "")} --trace");
            return;
        }
        output.WriteLine(
            $"seed {result.Seed}: {result.Members} members, {result.Events} events, {result.SimulatedTime.TotalSeconds:F1} s in {result.WallTime.TotalSeconds:F2} s ({result.CheckTime.TotalSeconds:F2} s of it checking the history), "
            + $"{result.WritesAcknowledged} writes, {result.LeaderChanges} leaders, {result.Elections} recipe leaders, {result.SessionsExpired} sessions expired, "
            + $"{result.WatchEvents} watch events, {result.SnapshotsInstalled} snapshots installed{(result.HistoryUndecided.Length > 0 ? $", history undecided ({result.HistoryUndecided})" : "")}; "
            + string.Join(", ", result.Faults.All.Where(f => f.Count > 0).Select(f => $"{f.Count} {f.Name}")));
    }
}
