using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;

namespace RaftKit.TestKit.Tests;

/// <summary>A state machine that answers with more than it may.</summary>
public sealed class LongResultTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(10);

    [Fact]
    public void A_result_that_is_too_long_is_told_as_that_and_stops_nobody()
    {
        var machines = new Dictionary<MemberId, Talker>();
        var cluster = new SimulatedCluster(new SimulatedClusterOptions { Seed = 3, StateMachines = id => [machines[id] = new Talker()] });
        cluster.StartAll();
        Assert.True(cluster.RunUntil(() => !cluster.Leader.IsNone, Soon));

        var told = Ask(cluster, (1 << 20) + 1);
        var longest = Ask(cluster, 1 << 20);
        Assert.True(cluster.RunUntil(() => told.IsCompleted && longest.IsCompleted, Soon));

        var unknown = Assert.IsType<OutcomeUnknownException>(told.Exception!.InnerException);
        Assert.Contains(
            "State machine 'talker' has applied the command, and gave a result of 1048577 bytes", unknown.Message,
            StringComparison.Ordinal);
        Assert.True(longest.IsCompletedSuccessfully);
        Assert.True(cluster.RunUntil(() => machines.Values.All(m => m.Applied == 2), Soon));
        Assert.All(cluster.Members, member => Assert.NotNull(cluster.StatusOf(member)));
    }

    private static Task<ReadOnlyMemory<byte>> Ask(SimulatedCluster cluster, int length) =>
        cluster.Begin(cluster.Leader, host => host.ProposeAsync("talker", BitConverter.GetBytes(length)));

    private sealed class Talker : IStateMachine
    {
        public string Name => "talker";

        public int Applied { get; private set; }

        public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result)
        {
            Applied++;
            var length = BitConverter.ToInt32(command.Span);
            result.GetSpan(length)[..length].Clear();
            result.Advance(length);
        }

        public ISnapshotCapture Capture() => new Nothing();

        public IStateRestorer BeginRestore() => new Nothing();

        private sealed class Nothing : ISnapshotCapture, IStateRestorer
        {
            public bool WriteSlice(IBufferWriter<byte> frame) => false;

            public void Frame(ReadOnlyMemory<byte> frame)
            {
            }

            public void Complete(in CommandContext context)
            {
            }

            public void Dispose()
            {
            }
        }
    }
}
