using System.Text.Json;
using Xunit;

namespace RaftKit.Tests;

/// <summary>The short form of the chaos command: real processes, real faults. Where the machine lacks something for it, the failure says what.</summary>
[Collection(WholeMachine.Name)]
public sealed class ChaosTests
{
    private static readonly string Project = Path.Combine("tests", "RaftKit.Chaos");

    [Fact]
    public async Task Five_members_lose_nothing_while_disks_fail_links_break_and_processes_die()
    {
        var run = await ProgramRun.OfAsync(Project, "--run-for", "45", "--json");

        Assert.True(run.ExitCode == 0, run.ToString());
        var summary = JsonDocument.Parse(run.Output[^1]).RootElement;
        Assert.True(summary.GetProperty("linearizable").GetBoolean());
        Assert.True(summary.GetProperty("ok").GetInt32() > 100, run.ToString());
        Assert.True(summary.GetProperty("local_reads").GetInt32() > 100, run.ToString());
        Assert.True(summary.GetProperty("subject").GetProperty("watches_checked").GetInt32() > 5, run.ToString());
        foreach (var fault in new[] { "kill", "freeze", "fsync-error", "disk-full", "slow-disk", "reset", "isolate", "one-way", "split", "bridge", "loss", "delay", "stall", "power-cut", "blackout", "clock-jump" })
            Assert.True(summary.GetProperty("faults").GetProperty(fault).GetInt32() > 0, run.ToString());

        // Who cannot make anything durable must not go on as if it could.
        Assert.Contains(run.Output.Select(line => JsonDocument.Parse(line).RootElement), line =>
            line.TryGetProperty("fault", out var fault) && fault.GetString() is "fsync-error" or "disk-full" && line.GetProperty("ended").GetBoolean());
    }

    [Theory]
    [InlineData("--members must be 3 to 7", "--members", "2")]
    [InlineData("--run-for must be 10 to 86400 seconds", "--run-for", "1")]
    [InlineData("--faults must name some of kill, freeze", "--faults", "kill,frobnicate")]
    [InlineData("Unrecognized command or argument '--frobnicate'.", "--frobnicate")]
    public async Task A_wrong_flag_is_named(string message, params string[] flags)
    {
        var run = await ProgramRun.OfAsync(Project, flags);

        Assert.Equal(2, run.ExitCode);
        Assert.Contains(message, run.Errors);
        Assert.Empty(run.Output);
    }
}
