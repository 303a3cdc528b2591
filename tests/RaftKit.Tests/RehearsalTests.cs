using RaftKit.Hosting;
using RaftKit.Node.Rehearsal;
using Xunit;

namespace RaftKit.Tests;

public sealed class RehearsalTests
{
    [Fact]
    public void A_failover_is_rehearsed_to_its_end_as_often_as_one_likes()
    {
        Assert.True(FailoverRehearsal.Run());
        Assert.True(FailoverRehearsal.Run());
    }

    [Fact]
    public async Task The_death_of_a_process_is_rehearsed_to_its_proof() =>
        Assert.True(await TransportRehearsal.RunAsync(TimeSpan.FromSeconds(30)));
}
