using RaftKit.Fuzz;

namespace RaftKit.Node.Tests;

/// <summary>A short run of what <c>tests/RaftKit.Fuzz</c> does at length.</summary>
public sealed class FuzzTests
{
    [Fact]
    public void Twelve_thousand_damaged_inputs_are_read_or_refused()
    {
        var report = new Fuzzer(seed: 1).Run(12_000);
        Assert.Empty(report.Failures);
        Assert.All(Fuzzer.Targets, target =>
            Assert.True(report.Of(target) is { Accepted: > 100, Refused: > 500 }, $"{target}: {report.Of(target)}"));
    }

    [Fact]
    public void The_same_seed_draws_the_same_inputs_and_another_seed_others()
    {
        Assert.Equal(new Fuzzer(seed: 7).Run(1000).Digest, new Fuzzer(seed: 7).Run(1000).Digest);
        Assert.NotEqual(new Fuzzer(seed: 7).Run(1000).Digest, new Fuzzer(seed: 8).Run(1000).Digest);
    }
}
