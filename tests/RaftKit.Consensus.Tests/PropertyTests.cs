using RaftKit.Consensus.Tests.Harness;
using Xunit.Abstractions;

namespace RaftKit.Consensus.Tests;

public sealed class PropertyTests(ITestOutputHelper output)
{
    [Fact]
    public void Raft_stays_safe_and_comes_back_whatever_happens_to_it()
    {
        var counters = new SortedDictionary<string, long>();
        for (int seed = 1; seed <= 200; seed++)
            new RandomWalk(seed, counters).Run(steps: 3000);
        foreach (var (what, count) in counters)
            output.WriteLine($"{what}: {count}");
        // A run that never met a fault proved nothing about it.
        string[] must =
            ["busy", "crash", "drop", "duplicate", "elections", "evidence", "installed", "joint", "membership", "partition", "read",
            "read refused", "reorder", "snapshot", "transfer", "truncate"];
        Assert.All(must, what => Assert.True(counters.GetValueOrDefault(what) > 0, $"no {what} in any seed"));
    }

    [Fact]
    public void Raft_stays_safe_and_comes_back_though_logs_rot_and_observers_copy_them_while_members_change()
    {
        var counters = new SortedDictionary<string, long>();
        for (int seed = 1; seed <= 100; seed++)
            new RandomWalk(seed, counters, rots: true).Run(steps: 3000);
        foreach (var (what, count) in counters)
            output.WriteLine($"{what}: {count}");
        string[] must =
            ["crash", "drop", "elections", "installed", "joint", "membership", "observer", "partition", "repair", "rot",
            "rot amid a change", "rot of an observer", "snapshot", "truncate"];
        Assert.All(must, what => Assert.True(counters.GetValueOrDefault(what) > 0, $"no {what} in any seed"));
    }
}
