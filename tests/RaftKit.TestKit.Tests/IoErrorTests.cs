using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Reads;
using RaftKit.Znodes;

namespace RaftKit.TestKit.Tests;

/// <summary>An error of the disk at every call that a member makes, one after the other: what a sweep draws some of, all of them.</summary>
public sealed class IoErrorTests
{
    private const int Rounds = 2;
    private const int WritesARound = 8;

    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);
    private static readonly MemberId Victim = new(1);
    private static readonly MemberId Other = new(2);

    /// <summary>
    /// From the first call of its first start, over snapshots that it takes and is sent, to its last restart: each stops it, but for reads
    /// of log and snapshots, which are repeated.
    /// </summary>
    [Fact]
    public void An_io_error_at_any_call_stops_the_member_or_is_a_read_that_succeeds_when_it_is_repeated_and_loses_nothing()
    {
        var stopped = 0;
        for (var call = 1; ; call++)
        {
            var (reached, stops) = Live(call);
            stopped += stops;
            if (reached)
                continue;
            // The whole life was lived without the error: there are no more calls.
            Assert.True(call > 150, $"A member's life was over after {call} calls to its disk.");
            Assert.Equal(call - 1, stopped);
            return;
        }
    }

    private static (bool Reached, int Stops) Live(int call)
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Seed = 7, SnapshotEveryEntries = 10 });
        var stops = 0;
        cluster.FailIo(Victim, call);
        cluster.StartAll();
        stops += StartIfDown(cluster);
        NodeLoop? repeated = null;
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon), $"No leader, with an error at call {call}.");
        for (var round = 0; round < Rounds; round++)
        {
            Write(cluster, round);
            stops += StartIfDown(cluster);
            Assert.True(
                cluster.RunUntil(() => Holds(cluster, round), Soon),
                $"Member {Victim} did not catch up in round {round}, with an error at call {call}.");
            NoteRepeated();
            cluster.Kill(Victim);
            // While it is down the others go on, and leave it behind their snapshots.
            Write(cluster, round);
            cluster.Start(Victim);
            stops += StartIfDown(cluster);
        }
        Assert.True(
            cluster.RunUntil(() => Holds(cluster, Rounds - 1), Soon), $"Member {Victim} did not come back, with an error at call {call}.");
        NoteRepeated();
        return (!cluster.IoFailsSoon(Victim), stops);

        void NoteRepeated()
        {
            if (cluster.MemberOf(Victim).Loop is not { ReadErrorCount: > 0 } loop || loop == repeated)
                return;
            Assert.Null(loop.Status.RottenEnd);
            (repeated, stops) = (loop, stops + loop.ReadErrorCount);
        }
    }

    private static void Write(SimulatedCluster cluster, int round) => cluster.Run(Other, async host =>
    {
        await using var session = host.Sessions.Open();
        for (var write = 0; write < WritesARound; write++)
        {
            try
            {
                await session.CreateAsync("/n");
            }
            catch (ZnodeException exists) when (exists.Error == ZnodeError.NodeExists)
            {
                await session.SetAsync("/n", new[] { (byte)round });
            }
        }
        return true;
    });

    private static int StartIfDown(SimulatedCluster cluster)
    {
        // Whatever it was about to do when it met the error.
        cluster.RunFor(TimeSpan.FromMilliseconds(300));
        if (cluster.StatusOf(Victim) is not null)
            return 0;
        cluster.Start(Victim);
        return 1;
    }

    private static bool Holds(SimulatedCluster cluster, int round) =>
        cluster.StatusOf(Victim) is { Ready: true } && cluster.ViewOf(Victim).Get("/n") is { } node && node.Data.Span is [var at]
            && at == round;
}
