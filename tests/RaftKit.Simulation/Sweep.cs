using System.Diagnostics;
using RaftKit.TestKit;

namespace RaftKit.Simulation;

/// <summary>Runs many seeds, each by itself on one thread, as many at once as there are cores.</summary>
internal static class Sweep
{
    /// <summary>From how many seeds on every fault must have struck at least once.</summary>
    private const int SeedsForCoverage = 500;

    public static int Run(
        (ulong From, ulong To) seeds, TimeSpan atLeast, IReadOnlyCollection<int> judgedBy, bool json, bool hash, bool stopAtFirst, int jobs)
    {
        var clock = Stopwatch.StartNew();
        var results = new List<SeedResult>();
        foreach (var result in RunAll(seeds, atLeast, judgedBy, stopAtFirst, jobs))
        {
            results.Add(result);
            if (result.Violation is not null)
                Report.Print(result, Console.Error, atLeast);
            else if (!json && !hash)
                Report.Print(result, Console.Out, atLeast);
        }
        if (hash)
        {
            foreach (var result in results.OrderBy(r => r.Seed))
                Report.PrintHash(result, json);
            return results.Exists(r => r.Violation is not null) ? 1 : 0;
        }
        var summary = Summary.Of(results, clock.Elapsed);
        var problems = summary.Problems(results.Count >= SeedsForCoverage).ToList();
        foreach (var problem in problems)
            Console.Error.WriteLine(problem);
        Console.WriteLine(json ? summary.ToJson() : summary.ToString());
        return problems.Count == 0 ? 0 : 1;
    }

    public static IEnumerable<SeedResult> RunAll(
        (ulong From, ulong To) seeds, TimeSpan atLeast, IReadOnlyCollection<int> judgedBy, bool stopAtFirst, int jobs)
    {
        var gate = new Lock();
        var next = seeds.From;
        var running = jobs;
        using var done = new System.Collections.Concurrent.BlockingCollection<SeedResult>();
        var threads = new List<Thread>();
        for (var i = 0; i < jobs; i++)
        {
            var thread = new Thread(RunSeeds) { IsBackground = true };
            threads.Add(thread);
            thread.Start();
        }
        foreach (var result in done.GetConsumingEnumerable())
        {
            if (result.Violation is not null && stopAtFirst)
            {
                lock (gate)
                    next = ulong.MaxValue;
            }
            yield return result;
        }
        foreach (var thread in threads)
            thread.Join();

        void RunSeeds()
        {
            while (Take() is { } seed)
                done.Add(RunOne(seed, atLeast, judgedBy));
            lock (gate)
            {
                if (--running == 0)
                    done.CompleteAdding();
            }
        }

        ulong? Take()
        {
            lock (gate)
                return next > seeds.To ? null : next++;
        }
    }

    private static SeedResult RunOne(ulong seed, TimeSpan atLeast, IReadOnlyCollection<int> judgedBy)
    {
        try
        {
            return new SeedRun(seed, atLeast: atLeast) { JudgedBy = judgedBy }.Run();
        }
        catch (Exception failure)
        {
            // What broke what is not judged by may make the simulator itself stumble.
            return judgedBy.Count == 0 ? SeedResult.Crashed(seed, failure) : SeedResult.Crashed(seed, failure) with { Violation = null };
        }
    }
}
