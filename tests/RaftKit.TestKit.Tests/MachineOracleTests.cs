using System.Buffers;
using System.Buffers.Binary;
using RaftKit.Consensus;
using RaftKit.Node.Loop;

namespace RaftKit.TestKit.Tests;

/// <summary>State machines that are not deterministic fail, and those that are do not.</summary>
public sealed class MachineOracleTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    [Fact]
    public void A_machine_that_counts_in_a_field_of_the_process_fails_at_its_first_command()
    {
        var shared = 0;
        var cluster = Formed(_ => new Machine { Change = _ => ++shared });

        var failure = Assert.Throws<SimulationFailedException>(() => Propose(cluster, 3));

        Assert.Matches(
            "invariant 7: state machine 'sum' on member [123] has another result at index [0-9]+ than on member [123]", failure.Message);
    }

    [Fact]
    public void A_machine_whose_state_alone_differs_fails_at_a_snapshot_of_the_same_index()
    {
        var cluster = Formed(id => new Machine { Change = _ => id.Value, Answer = _ => 1 }, snapshotEvery: 20);

        var failure = Assert.Throws<SimulationFailedException>(() => Propose(cluster, 100));

        Assert.Matches(
            "invariant 18: state machine 'sum' on member [123] captured another state at index [0-9]+ than on member [123]",
            failure.Message);
    }

    [Fact]
    public void A_machine_that_makes_something_else_of_an_entry_when_it_is_played_again_fails()
    {
        var starts = 0;
        var cluster = Formed(_ => new Machine { Change = _ => starts > 3 ? 2 : 1, Started = starts++ });
        Propose(cluster, 3);
        var restarted = cluster.Members[2];
        cluster.Kill(restarted);

        var failure = Assert.Throws<SimulationFailedException>(() =>
        {
            cluster.Start(restarted);
            cluster.RunFor(Soon);
        });

        Assert.Contains($"on member {restarted} has another result", failure.Message, StringComparison.Ordinal);
    }

    // A hash table that a snapshot filled anew is walked in another order than one that grew and shrank.
    [Fact]
    public void Snapshots_in_another_order_after_a_restore_are_no_failure()
    {
        var all = new Dictionary<MemberId, Machine>();
        var cluster = Formed(id => all[id] = new Machine { IsReversedByRestore = true, Change = static _ => 1 }, snapshotEvery: 20);
        for (var round = 0; round < 6; round++)
        {
            Propose(cluster, 25);
            var restarted = cluster.Members[round % 3];
            cluster.Kill(restarted);
            cluster.Start(restarted);
            cluster.RunFor(TimeSpan.FromSeconds(1));
        }
        Assert.True(cluster.RunUntil(() => all.Values.All(m => m.Sum == 150), Soon));
        Assert.Contains(all.Values, m => m.IsReversed);
    }

    private static void Propose(SimulatedCluster cluster, int commands)
    {
        for (var i = 0; i < commands; i++)
            cluster.Run(cluster.Members[0], host => host.ProposeAsync("sum", default), Soon);
        cluster.RunFor(TimeSpan.FromSeconds(1));
    }

    private static SimulatedCluster Formed(Func<MemberId, Machine> make, int snapshotEvery = 500)
    {
        var cluster = new SimulatedCluster(
            new SimulatedClusterOptions { Seed = 3, SnapshotEveryEntries = snapshotEvery, StateMachines = id => [make(id)] });
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));
        return cluster;
    }

    private sealed class Machine : IStateMachine
    {
        public required Func<CommandContext, long> Change { get; init; }

        public Func<long, long> Answer { get; init; } = static sum => sum;

        public int Started { get; init; }

        public bool IsReversedByRestore { get; init; }

        public bool IsReversed { get; private set; }

        public long Sum { get; private set; }

        public string Name => "sum";

        public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result)
        {
            Sum += Change(context);
            BinaryPrimitives.WriteInt64LittleEndian(result.GetSpan(8), Answer(Sum));
            result.Advance(8);
        }

        public ISnapshotCapture Capture() => new Captured(Sum, IsReversed);

        public IStateRestorer BeginRestore() => new Restorer(this);

        private sealed class Captured(long value, bool isReversed) : ISnapshotCapture
        {
            public bool WriteSlice(IBufferWriter<byte> frame)
            {
                frame.GetSpan(1)[0] = isReversed ? (byte)1 : (byte)0;
                frame.Advance(1);
                BinaryPrimitives.WriteInt64LittleEndian(frame.GetSpan(8), value);
                frame.Advance(8);
                return false;
            }

            public void Dispose()
            {
            }
        }

        private sealed class Restorer(Machine machine) : IStateRestorer
        {
            private long _value;

            public void Frame(ReadOnlyMemory<byte> frame) => _value = BinaryPrimitives.ReadInt64LittleEndian(frame.Span[1..]);

            public void Complete(in CommandContext context) => (machine.Sum, machine.IsReversed) = (_value, machine.IsReversedByRestore);
        }
    }
}
