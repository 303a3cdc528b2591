using System.Diagnostics;
using System.Text.Json;
using RaftKit.TestKit;
using Xunit;

namespace RaftKit.Tests;

/// <summary>Runs the sample as its users do: as a process that starts, kills and freezes processes.</summary>
[Collection(WholeMachine.Name)]
public sealed class PartitionLeadersTests
{
    [Fact]
    public async Task Nothing_is_lost_while_brokers_are_killed_and_frozen()
    {
        var history = Path.GetTempFileName();
        try
        {
            var run = await RunAsync(
                "--json", "--run-for", "16", "--kill-every", "4", "--freeze-every", "1", "--partitions", "16", "--history", history);

            Assert.True(run.ExitCode == 0, run.ToString());
            var events = run.Output.Select(line => JsonDocument.Parse(line).RootElement).ToArray();
            var summary = events[^1];
            Assert.Equal("summary", summary.GetProperty("event").GetString());
            Assert.Equal(3, summary.GetProperty("brokers").GetInt32());
            Assert.Equal(16, summary.GetProperty("partitions").GetInt32());
            Assert.True(summary.GetProperty("kills").GetInt32() >= 1, run.ToString());
            Assert.True(summary.GetProperty("freezes").GetInt32() >= 1, run.ToString());
            Assert.True(summary.GetProperty("writes_acked").GetInt64() > 100, run.ToString());
            foreach (var never in new[] { "writes_lost", "double_leaders", "foreign_ephemerals_lost", "local_reads_failed" })
                Assert.Equal(0, summary.GetProperty(never).GetInt64());
            foreach (var measured in new[] { "quorum_failover_ms", "partition_failover_ms", "frozen_leader_gap_ms" })
                Assert.True(
                    summary.GetProperty(measured).GetProperty("max") is { ValueKind: JsonValueKind.Number } max && max.GetDouble() > 0,
                    run.ToString());

            AssertMembersWereAnnounced(events);
            AssertLinearizable(history);
        }
        finally
        {
            File.Delete(history);
            File.Delete(history + ".local");
        }
    }

    /// <summary>
    /// Each broker in a pid namespace of its own, as in containers: nobody can see that its process is gone (DESIGN.md, promise 6). Needs
    /// root.
    /// </summary>
    [Fact]
    public async Task Brokers_whose_death_nobody_can_prove_are_replaced_after_their_session_or_at_once_where_refused_connections_count()
    {
        var launcher = Path.GetTempFileName();
        try
        {
            // The broker's id goes first; a kill of what is started kills what it started.
            await File.WriteAllTextAsync(launcher, "#!/bin/sh\nshift\nexec unshare --pid --fork --kill-child --mount-proc -- \"$@\"\n");
            using (var chmod = Process.Start("chmod", ["u+x", launcher]))
                await chmod.WaitForExitAsync();
            string[] flags =
                ["--json", "--run-for", "16", "--kill-every", "4", "--freeze-every", "0", "--partitions", "8", "--session-timeout", "3",
                "--launcher", launcher];

            var unproven = await RunAsync(flags);
            var trusted = await RunAsync([.. flags, "--expire-on-refused-connection"]);

            Assert.True(unproven.ExitCode == 0, unproven.ToString());
            Assert.True(trusted.ExitCode == 0, trusted.ToString());
            // The session's timeout is the least that it takes without proof.
            Assert.True(Failover(unproven) > 2_500, unproven.ToString());
            Assert.True(Failover(trusted) < Failover(unproven) / 2, trusted.ToString());
        }
        finally
        {
            File.Delete(launcher);
        }

        static double Failover(ProgramRun run) => Summary(run).GetProperty("partition_failover_ms").GetProperty("p50").GetDouble();
    }

    [Fact]
    public async Task A_second_run_goes_on_with_the_first_ones_data()
    {
        var data = Directory.CreateTempSubdirectory("raftkit-test-");
        try
        {
            string[] flags =
                ["--json", "--run-for", "1", "--kill-every", "0", "--freeze-every", "0", "--partitions", "4", "--data", data.FullName];
            var first = await RunAsync(flags);
            var second = await RunAsync(flags);

            Assert.True(first.ExitCode == 0, first.ToString());
            Assert.True(second.ExitCode == 0, second.ToString());
            Assert.True(Summary(second).GetProperty("writes_acked").GetInt64() > 0);
        }
        finally
        {
            data.Delete(recursive: true);
        }
    }

    [Theory]
    [InlineData("--brokers must be a whole number from 1 to 7, but is '0'.", "--brokers", "0")]
    [InlineData("--brokers must be a whole number from 1 to 7, but is 'three'.", "--brokers", "three")]
    [InlineData("--kill-every must be a number of seconds from 0 to 1000000, but is '-1'.", "--kill-every", "-1")]
    [InlineData("--session-timeout must be a number of seconds from 0.5 to 60, but is '0'.", "--session-timeout", "0")]
    [InlineData("Unrecognized command or argument '--frobnicate'.", "--frobnicate")]
    [InlineData("Required argument missing for option: '--data'.", "--data")]
    public async Task A_wrong_flag_is_named(string message, params string[] flags)
    {
        var run = await RunAsync(flags);

        Assert.Equal(2, run.ExitCode);
        Assert.Contains(message, run.Errors);
        Assert.Empty(run.Output);
    }

    private static void AssertMembersWereAnnounced(JsonElement[] events)
    {
        var members = events.Where(e => e.GetProperty("event").GetString() == "member").ToArray();
        foreach (var id in new[] { 1, 2, 3 })
        {
            Assert.Contains(members, m =>
                m.GetProperty("id").GetInt32() == id && m.GetProperty("pid").GetInt32() > 0 && m.GetProperty("term").GetInt64() > 0);
        }

        Assert.Contains(members, m => m.GetProperty("leader").GetBoolean());
    }

    private static void AssertLinearizable(string history)
    {
        // Guests' ephemerals go at moments that nobody knows: they are the chaos run's to judge, a subtree at a time.
        var operations = HistoryReader.Read(history).Where(o => o.Kind != HistoryKind.CloseSession && !IsOfGuests(o)).ToArray();
        Assert.True(operations.Count(o => o.Status == HistoryStatus.Ok) > 100, $"Only {operations.Length} operations were recorded.");
        var result = LinearizabilityChecker.Check(operations);
        Assert.True(result.Holds, result.Explanation);
    }

    private static bool IsOfGuests(HistoryOperation operation) =>
        operation.Path?.Contains("-guest-", StringComparison.Ordinal) ?? operation.Operations.Any(IsOfGuests);

    private static JsonElement Summary(ProgramRun run) => JsonDocument.Parse(run.Output[^1]).RootElement;

    private static Task<ProgramRun> RunAsync(params string[] flags) =>
        ProgramRun.OfAsync(Path.Combine("samples", "PartitionLeaders"), flags);
}
