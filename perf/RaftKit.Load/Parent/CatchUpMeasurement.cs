using System.Diagnostics;

namespace RaftKit.Load.Parent;

/// <summary>
/// Kills a follower, fills the tree without it until the log no longer reaches back to it, starts it again beside a load of writes, and
/// sees how long the leader's snapshot takes to bring it up, and what that costs both loops.
/// </summary>
internal static class CatchUpMeasurement
{
    // Small entries, so that there are more of them than a log keeps behind its snapshot.
    private const int PerEntry = 25;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    public static async IAsyncEnumerable<MeasuredResult> RunAsync(LoadOptions options, string folder)
    {
        await using var ensemble = new Ensemble(options.Members, folder);
        var leader = await ensemble.LeaderAsync();
        var lost = ensemble.Members.First(member => member != leader);
        lost.Kill();
        await lost.Ended;
        lost.Dispose();

        leader.Order(new MemberOrder.Fill(options.Znodes, options.Size, PerEntry));
        await ensemble.ReportAsync<MemberReport.Filled>(Patience);
        var full = await StateAsync(ensemble, leader);

        leader.Order(new MemberOrder.Run(LoadKind.Write, options.Outstanding, options.Size, options.Seconds));
        var began = Stopwatch.GetTimestamp();
        var back = ensemble.Start(lost.Settings.Id);
        var state = await AwaitAsync(ensemble, back, at => at.Zxid >= full.Zxid);
        var seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;

        // It answers when its load is over.
        var led = await StateAsync(ensemble, leader);
        state = await AwaitAsync(ensemble, back, at => at.Zxid >= led.Zxid);
        // Nothing is written any more, but sessions' housekeeping: compare at one zxid.
        while (state.Zxid != led.Zxid)
            (led, state) = (await StateAsync(ensemble, leader), await StateAsync(ensemble, back));
        if (state.SnapshotsInstalled == 0)
            throw new LoadFailedException(
                $"The follower caught up from the log: {options.Znodes} znodes are too few for this measurement.");
        if (state.Digest != led.Digest)
            throw new LoadFailedException(
                $"At zxid {led.Zxid} the follower's tree has the digest {state.Digest}, the leader's {led.Digest}.");
        yield return new CatchUpResult
        {
            Members = options.Members,
            Znodes = state.Znodes,
            Size = options.Size,
            Seconds = Math.Round(seconds, 1),
            FollowerLongestTurnMs = state.LongestTurnMs,
            FollowerLongestTurnWorkMs = state.LongestTurnWorkMs,
            LeaderLongestTurnMs = led.LongestTurnMs,
            LeaderLongestTurnWorkMs = led.LongestTurnWorkMs,
            LeaderSnapshots = led.SnapshotsTaken,
            FollowerMostMemoryMb = state.MostMemoryMb,
            LeaderMostMemoryMb = led.MostMemoryMb,
        };
    }

    private static async Task<MemberReport.State> AwaitAsync(Ensemble ensemble, MemberProcess member, Func<MemberReport.State, bool> until)
    {
        var began = Stopwatch.GetTimestamp();
        while (true)
        {
            var state = await StateAsync(ensemble, member);
            if (until(state))
                return state;
            if (Stopwatch.GetElapsedTime(began) > Patience)
                throw new LoadFailedException($"Member {member.Settings.Id} did not catch up: {state}.");
            await Task.Delay(TimeSpan.FromMilliseconds(20));
        }
    }

    private static async Task<MemberReport.State> StateAsync(Ensemble ensemble, MemberProcess member)
    {
        member.Order(new MemberOrder.Tell());
        while (true)
        {
            var state = await ensemble.ReportAsync<MemberReport.State>(Patience);
            if (state.Member == member.Settings.Id)
                return state;
        }
    }
}

/// <summary>What it took to bring up a follower that only a snapshot could.</summary>
internal sealed record CatchUpResult : MeasuredResult
{
    public string Command => "catch-up";

    public required int Members { get; init; }

    public required int Znodes { get; init; }

    public required int Size { get; init; }

    /// <summary>From the start of the process until it held all that had been written before.</summary>
    public required double Seconds { get; init; }

    public required double FollowerLongestTurnMs { get; init; }

    public required double FollowerLongestTurnWorkMs { get; init; }

    public required double LeaderLongestTurnMs { get; init; }

    public required double LeaderLongestTurnWorkMs { get; init; }

    public required long LeaderSnapshots { get; init; }

    public required long FollowerMostMemoryMb { get; init; }

    public required long LeaderMostMemoryMb { get; init; }

    public override string ToJson() => System.Text.Json.JsonSerializer.Serialize(this, ResultJson.Default.CatchUpResult);

    public override string ToText() => Text(
        $"""
        a follower caught up with {Znodes} znodes of {Size} B by a snapshot: {Seconds:0.0} s
          the longest that snapshots held up a turn: {FollowerLongestTurnMs:0.00} ms there ({FollowerLongestTurnWorkMs:0.00} without the runtime's pauses), {LeaderLongestTurnMs:0.00} ms in the leader ({LeaderLongestTurnWorkMs:0.00}), which took {LeaderSnapshots}
          memory at most: {FollowerMostMemoryMb} MB there, {LeaderMostMemoryMb} MB in the leader
        """);
}
