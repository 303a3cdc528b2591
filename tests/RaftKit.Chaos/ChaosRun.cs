using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text.Json;
using RaftKit.TestKit;

namespace RaftKit.Chaos;

/// <summary>What the command line asks for.</summary>
internal sealed record ChaosOptions
{
    public required int Members { get; init; }

    public required TimeSpan RunFor { get; init; }

    public required int Seed { get; init; }

    public string? History { get; init; }

    public bool Json { get; init; }
}

/// <summary>One run: the subject, two hands that strike it, and the judgement of what its clients were told.</summary>
internal sealed class ChaosRun(ChaosOptions options)
{
    public const int CannotRun = 2;

    // Faults end before the subject does, which then has time to recover.
    private static readonly TimeSpan Calm = TimeSpan.FromSeconds(4);
    private static readonly TimeSpan BackWithin = TimeSpan.FromSeconds(20);

    // An end is told of by then; and whoever is back has caught up by then.
    private static readonly TimeSpan Settling = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(50);

    private readonly Dictionary<string, int> _struck = Fault.All.ToDictionary(f => f.Name, _ => 0);
    private readonly HashSet<int> _held = [];
    private readonly Lock _lock = new();

    public async Task<int> RunAsync()
    {
        if (Fault.All.Select(f => f.Missing).OfType<string>().Distinct().ToList() is [_, ..] missing)
        {
            await Console.Error.WriteLineAsync($"This machine lacks {string.Join(", ", missing)}.");
            return CannotRun;
        }

        var history = options.History ?? Path.GetTempFileName();
        try
        {
            using var subject = new Subject(options, history);
            await subject.Ready;
            using var end = new CancellationTokenSource(options.RunFor - Calm);
            // Each kind once before chance decides: a run that never did what it is to do proves less than it says.
            var random = new Random(options.Seed);
            var first = new ConcurrentQueue<Fault>(Fault.All.OrderBy(_ => random.Next()));
            // As many at a time as the quorum bears.
            var hands = Enumerable.Range(0, (options.Members - 1) / 2).Select(_ => StrikeAsync(subject, first, new Random(random.Next()), end.Token)).ToArray();
            await Task.WhenAll(hands);
            var (code, errors) = await subject.EndAsync();
            return Judge(subject, code, errors, history);
        }
        finally
        {
            if (options.History is null)
                File.Delete(history);
        }
    }

    private async Task StrikeAsync(Subject subject, ConcurrentQueue<Fault> first, Random random, CancellationToken end)
    {
        while (!end.IsCancellationRequested)
        {
            if (Take(subject, random) is { } victim)
            {
                var fault = first.TryDequeue(out var next) ? next : Fault.All[random.Next(Fault.All.Count)];
                var what = await fault.StrikeAsync(victim.Pid, random);
                await BackAsync(subject, victim.Id);
                Say(fault, victim, what, ended: subject.Find(victim.Id)?.Pid != victim.Pid);
                lock (_lock)
                    _held.Remove(victim.Id);
            }

            await Task.Delay(TimeSpan.FromMilliseconds(random.Next(200, 1500)), CancellationToken.None);
        }
    }

    private MemberProcess? Take(Subject subject, Random random)
    {
        lock (_lock)
        {
            var free = subject.Members.Where(m => m.TakesPart && !_held.Contains(m.Id)).ToList();
            if (free.Count <= options.Members / 2)
                return null;
            var victim = free.Find(m => m.Leads && random.Next(5) < 2) ?? free[random.Next(free.Count)];
            _held.Add(victim.Id);
            return victim;
        }
    }

    // It takes part again, under whatever process: only then may somebody else be struck in its place.
    private static async Task BackAsync(Subject subject, int id)
    {
        var began = Stopwatch.GetTimestamp();
        await Task.Delay(Settling);
        while (subject.Find(id) is not { TakesPart: true } && Stopwatch.GetElapsedTime(began) < BackWithin)
            await Task.Delay(LookEvery);
        await Task.Delay(Settling);
    }

    private void Say(Fault fault, MemberProcess victim, string what, bool ended)
    {
        lock (_lock)
            _struck[fault.Name]++;
        Console.WriteLine(options.Json
            ? JsonSerializer.Serialize(new { @event = "fault", fault = fault.Name, id = victim.Id, pid = victim.Pid, leader = victim.Leads, what, ended })
            : $"member {victim.Id}{(victim.Leads ? ", the leader" : "")}: {what}{(ended ? "; the process ended" : "")}");
    }

    private int Judge(Subject subject, int code, string errors, string history)
    {
        var operations = HistoryReader.Read(history).ToArray();
        var checking = Stopwatch.StartNew();
        var result = LinearizabilityChecker.Check(operations);
        var problems = new List<string>();
        if (code != 0)
            problems.Add($"the sample ended with exit code {code}: {errors.Trim()}");
        if (!result.Holds)
            problems.Add($"the history is not linearizable: {result.Explanation}");
        if (!result.Decided)
            problems.Add($"the history could not be decided: {result.Explanation}");
        problems.AddRange(_struck.Where(s => s.Value == 0).Select(s => $"no {s.Key} was struck: run for longer"));
        foreach (var problem in problems)
            Console.Error.WriteLine(problem);

        int Count(HistoryStatus status) => operations.Count(o => o.Status == status);
        var summary = new
        {
            @event = "summary", members = options.Members, seed = options.Seed, faults = _struck, operations = operations.Length, ok = Count(HistoryStatus.Ok),
            fail = Count(HistoryStatus.Fail), info = Count(HistoryStatus.Info), linearizable = result.Holds && result.Decided,
            check_seconds = Math.Round(checking.Elapsed.TotalSeconds, 1), failed = problems.Count, subject = subject.Summary,
        };
        Console.WriteLine(options.Json
            ? JsonSerializer.Serialize(summary)
            : $"{operations.Length} operations ({summary.ok} ok, {summary.fail} refused, {summary.info} unknown), "
                + $"{string.Join(", ", _struck.Select(s => $"{s.Value} {s.Key}"))}: {(problems.Count == 0 ? "nothing was lost, and the history is linearizable" : "FAILED")}");
        return problems.Count == 0 ? 0 : 1;
    }
}
