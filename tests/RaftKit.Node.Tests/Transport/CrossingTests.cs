using RaftKit.Node.Loop;
using Xunit;

namespace RaftKit.Node.Tests.Transport;

public sealed class CrossingTests
{
    /// <summary>Both sides dial within microseconds of each other: the race that the tie-break is for, often enough to meet each interleaving.</summary>
    [Fact]
    public async Task Dials_that_cross_leave_one_link_that_stays()
    {
        for (var round = 0; round < 150; round++)
        {
            await using var one = new TestMember(1);
            await using var two = new TestMember(2);
            await Task.WhenAll(Task.Run(() => one.Join(two)), Task.Run(() => two.Join(one)));
            await one.LinkUp();
            await two.LinkUp();
            await LinkTests.Exchange(one, two);
            Assert.True(
                one.Inbox.All.OfType<NodeInput.LinkUp>().Count() == 1 && two.Inbox.All.OfType<NodeInput.LinkUp>().Count() == 1,
                $"Round {round}:\n1: {string.Join("\n   ", one.Logger.Lines)}\n2: {string.Join("\n   ", two.Logger.Lines)}");
        }
    }
}
