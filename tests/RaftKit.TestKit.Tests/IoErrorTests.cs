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
        var (calls, stopped) = LiveWithEach((cluster, call) => cluster.FailIo(Victim, call));
        Assert.True(calls > 150, $"A member's life was over after {calls} calls to its disk.");
        Assert.Equal(calls, stopped);
    }

    /// <summary>A disk is full at each file that is made, and at each write, one after the other; a moment later it is not.</summary>
    [Theory]
    [InlineData(nameof(DiskCall.Create), 10)]
    [InlineData(nameof(DiskCall.Write), 40)]
    public void No_space_at_any_create_and_any_write_stops_the_member_and_loses_nothing(string call, int atLeast)
    {
        var (calls, stopped) = LiveWithEach((cluster, nth) =>
        {
            var victim = cluster.MemberOf(Victim);
            victim.Injected = "no space";
            victim.Disk.FailNext(Enum.Parse<DiskCall>(call), noSpace: true, nth);
        });
        Assert.True(calls > atLeast, $"A member's life was over after {calls} calls of {call}.");
        Assert.Equal(calls, stopped);
    }

    /// <returns>How many such calls a life has, and how many of them stopped the member, or were reads that were repeated.</returns>
    private static (int Calls, int Stopped) LiveWithEach(Action<SimulatedCluster, int> fail)
    {
        var stopped = 0;
        for (var call = 1; ; call++)
        {
            var (reached, stops) = Live(call, fail);
            // The whole life was lived without the error: there are no more calls.
            if (!reached)
                return (call - 1, stopped);
            stopped += stops;
        }
    }

    private static (bool Reached, int Stops) Live(int call, Action<SimulatedCluster, int> fail)
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Seed = 7, SnapshotEveryEntries = 10 });
        var stops = 0;
        fail(cluster, call);
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
