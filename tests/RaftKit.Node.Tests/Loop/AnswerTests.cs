using System.Buffers.Binary;
using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using Xunit;

namespace RaftKit.Node.Tests.Loop;

/// <summary>When a caller is answered (Raft, figure 2, rules for leaders).</summary>
public sealed class AnswerTests
{
    [Fact]
    public void A_caller_is_answered_once_its_command_is_committed_and_applied_and_not_before()
    {
        var machine = new RegisterMachine();
        using var leader = new LoopHarness([machine]).Lead();
        var caller = new Caller(machine);
        var command = new byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(command, 42);

        leader.Turn(new NodeInput.Propose("register", command, caller));

        // It is durable here, and half of two is no majority.
        var index = leader.Core.LastIndex;
        leader.Tick();
        Assert.Null(caller.Answered);
        Assert.Empty(machine.Values);
        Assert.True(leader.Core.Commit < index);

        leader.Acknowledge();

        Assert.Equal((index, 1L), caller.Answered);
        Assert.Equal([42L], caller.AppliedByThen);
    }

    private sealed class Caller(RegisterMachine machine) : IProposalCallback
    {
        public (LogIndex Index, long Result)? Answered { get; private set; }

        public IReadOnlyList<long> AppliedByThen { get; private set; } = [];

        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result)
        {
            Assert.Null(Answered);
            Answered = (context.Index, BinaryPrimitives.ReadInt64LittleEndian(result.Span));
            AppliedByThen = machine.Values;
        }

        public void Failed(ProposalFailure failure, string reason) => Assert.Fail(reason);
    }
}
