using System.Diagnostics;
using RaftKit.TestKit;

namespace RaftKit.Chaos;

/// <summary>What the clients' history comes to.</summary>
internal sealed record Judgement(int Operations, int Ok, int Fail, int Info, bool Linearizable, double CheckSeconds, IReadOnlyList<string> Problems)
{
    public static Judgement Of(string history)
    {
        var operations = HistoryReader.Read(history).ToArray();
        var checking = Stopwatch.StartNew();
        var result = LinearizabilityChecker.Check(operations);
        var problems = new List<string>();
        if (!result.Holds)
            problems.Add($"the history is not linearizable: {result.Explanation}");
        if (!result.Decided)
            problems.Add($"the history could not be decided: {result.Explanation}");
        int Count(HistoryStatus status) => operations.Count(o => o.Status == status);
        return new(
            operations.Length, Count(HistoryStatus.Ok), Count(HistoryStatus.Fail), Count(HistoryStatus.Info), result.Holds && result.Decided,
            Math.Round(checking.Elapsed.TotalSeconds, 1), problems);
    }
}
