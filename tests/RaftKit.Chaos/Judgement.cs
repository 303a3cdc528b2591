using System.Diagnostics;
using RaftKit.TestKit;

namespace RaftKit.Chaos;

/// <summary>What the clients' history comes to, and the reads of the members' own copies.</summary>
internal sealed record Judgement
{
    public const string Verb = "judge";

    private const int MostTold = 5;

    public required int Operations { get; init; }

    public required int Ok { get; init; }

    public required int Fail { get; init; }

    public required int Info { get; init; }

    public required int LocalReads { get; init; }

    /// <summary>Reads with a consistency of their own, by what they got.</summary>
    public required IReadOnlyDictionary<string, int> Reads { get; init; }

    public required bool Linearizable { get; init; }

    public required double CheckSeconds { get; init; }

    public required IReadOnlyList<string> Problems { get; init; }

    /// <summary>Judges the history of an earlier run again.</summary>
    public static int Tell(string history)
    {
        var judgement = Of(history);
        foreach (var problem in judgement.Problems)
            Console.Error.WriteLine(problem);
        Console.WriteLine(
            $"{judgement.Operations} operations, {judgement.LocalReads} local reads, checked in {judgement.CheckSeconds} s: {judgement.Problems.Count} problems");
        return judgement.Problems.Count == 0 ? 0 : 1;
    }

    public static Judgement Of(string history)
    {
        var operations = HistoryReader.Read(history).ToArray();
        var local = HistoryReader.Read(LocalFile(history)).ToArray();
        var checking = Stopwatch.StartNew();
        List<string> problems =
        [
            .. Wrong(LinearizabilityChecker.ReplayByZxid(Subtrees.OrderOf(operations)), "the history is not linearizable"),
            .. Subtrees.Of(operations).SelectMany(
                subtree => Wrong(LinearizabilityChecker.Check(subtree), "the history is not linearizable")),
        ];
        var linearizable = problems.Count == 0;
        // Only then do its zxids tell what a copy had to show.
        if (problems.Count == 0)
        {
            problems.AddRange(BackwardsRead(local) ?? Subtrees.Of([.. operations, .. local.Select(Unordered)])
                .SelectMany(subtree => Wrong(LinearizabilityChecker.ReplayByZxid(subtree), "a member's copy was wrong")));
            problems.AddRange(Promises.Broken(LocalFile(history), operations).Take(MostTold));
        }

        int Count(HistoryStatus status) => operations.Count(o => o.Status == status);
        return new()
        {
            Operations = operations.Length, Ok = Count(HistoryStatus.Ok), Fail = Count(HistoryStatus.Fail),
            Info = Count(HistoryStatus.Info), LocalReads = local.Length,
            Reads = Promises.Count(history, LocalFile(history)),
            Linearizable = linearizable, CheckSeconds = Math.Round(checking.Elapsed.TotalSeconds, 1), Problems = problems,
        };
    }

    /// <summary>Where the reads of members' own copies are.</summary>
    public static string LocalFile(string history) => history + ".local";

    // A copy may be behind: it must show what its own zxid says, whatever others had been told by then.
    private static HistoryOperation Unordered(HistoryOperation local) => local with { Call = 0 };

    private static string[]? BackwardsRead(IReadOnlyList<HistoryOperation> local)
    {
        foreach (var member in local.GroupBy(read => read.Client))
        {
            foreach (var (one, next) in member.Zip(member.Skip(1)))
            {
                if (next.Zxid < one.Zxid)
                    return [$"a member's copy went back in time:\n  {one}\n  {next}"];
            }
        }

        return null;
    }

    private static string[] Wrong(LinearizabilityResult result, string what) =>
        !result.Holds ? [$"{what}: {result.Explanation}"] : !result.Decided
            ? [$"{what}, or could not be decided: {result.Explanation}"]
            : [];
}
