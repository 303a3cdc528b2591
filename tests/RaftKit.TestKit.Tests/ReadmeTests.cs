using System.Buffers;
using System.Buffers.Binary;
using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.TestKit;

namespace RaftKit.TestKit.Tests;

/// <summary>The test that TestKit's README teaches with: what stands there stands here, compiles, and passes.</summary>
public sealed class ReadmeTests
{
    private readonly Dictionary<MemberId, Counter> _counters = [];

    [Theory, InlineData(1), InlineData(2), InlineData(3)]      // a seed is one life of the cluster; take as many as you have time for
    public void No_count_is_lost_or_made_twice(ulong seed)
    {
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Seed = seed, StateMachines = id => [_counters[id] = new Counter()] });
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, TimeSpan.FromSeconds(5)));          // simulated seconds
        for (var round = 1; round <= 12; round++)
        {
            var (victim, other) = (cluster.Members[round % 3], cluster.Members[(round + 1) % 3]);
            cluster.PowerCut(victim);
            var total = cluster.Run(other, host => host.Replicated<Counter>().ProposeAsync(new byte[] { 1 }), TimeSpan.FromSeconds(60));
            Assert.Equal(round, BinaryPrimitives.ReadInt64LittleEndian(total.Span));
            cluster.Start(victim);
        }
    }

    [Fact]
    public void The_README_shows_that_very_test()
    {
        var page = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "README.md")).ReplaceLineEndings("\n");
        var source = File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "ReadmeTests.cs")).ReplaceLineEndings("\n");
        var from = source.IndexOf("    private readonly Dictionary", StringComparison.Ordinal);
        var to = source.IndexOf("    [Fact]", StringComparison.Ordinal);

        Assert.Contains(source[from..to].TrimEnd(), page);
    }

    private sealed class Counter : IStateMachine
    {
        private long _count;

        public string Name => "counter";

        public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result) => Write(++_count, result);

        public ISnapshotCapture Capture() => StateSnapshot.Capture([_count], Write);

        public IStateRestorer BeginRestore()
        {
            var count = 0L;
            return StateSnapshot.Restore(item => count = BinaryPrimitives.ReadInt64LittleEndian(item.Span), () => _count = count);
        }

        private static void Write(long count, IBufferWriter<byte> into)
        {
            BinaryPrimitives.WriteInt64LittleEndian(into.GetSpan(8), count);
            into.Advance(8);
        }
    }
}
