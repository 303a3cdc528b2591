using RaftKit.Node.Loop;
using RaftKit.Node.Reads;
using Xunit;

namespace RaftKit.Node.Tests.Reads;

public sealed class ReadBarrierTests
{
    [Fact]
    public void Readers_that_gave_up_are_forgotten_though_there_is_no_leader()
    {
        var reads = new ReadBarrier();
        var patient = new Reader();
        reads.Add(patient);
        for (var i = 0; i < 1000; i++)
            reads.Add(new Reader { IsAbandoned = true });

        reads.Tick();

        Assert.Equal(1, reads.Count);
        reads.FailAll("The end.");
        Assert.Equal("The end.", patient.Failure);
        Assert.Equal(0, reads.Count);
    }

    [Fact]
    public void A_reader_that_is_told_of_the_end_and_asks_again_at_once_is_told_again()
    {
        var reads = new ReadBarrier();
        var next = new Reader();
        reads.Add(new Reader { Then = () => reads.Add(next) });
        reads.Add(new Reader());

        reads.FailAll("The end.");

        Assert.Equal("The end.", next.Failure);
        Assert.Equal(0, reads.Count);
    }

    private sealed class Reader : IReadCallback
    {
        public bool IsAbandoned { get; init; }

        public string? Failure { get; private set; }

        public Action? Then { get; init; }

        public void Ready() => Assert.Fail("Nobody granted it.");

        public void Failed(string reason)
        {
            Assert.False(IsAbandoned, "It was told though it gave up long before.");
            Failure = reason;
            Then?.Invoke();
        }
    }
}
