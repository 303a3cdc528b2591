using System.Diagnostics;
using System.Text.Json;
using System.Text.RegularExpressions;
using HouseTests;
using RaftKit.TestKit;
using Xunit;

namespace RaftKit.Tests;

/// <summary>
/// The short form of the chaos command: real processes, real faults. Where the machine lacks something for it, the failure says what.
/// </summary>
[Collection(WholeMachine.Name)]
public sealed class ChaosTests
{
    private static readonly string Project = Path.Combine("tests", "RaftKit.Chaos");

    [Fact]
    public async Task Five_members_lose_nothing_while_disks_fail_links_break_and_processes_die()
    {
        using var kept = new TemporaryFolder();
        var history = Path.Combine(kept.Path, "history");
        var run = await ProgramRun.OfAsync(Project, "--run-for", "120", "--history", history, "--json");

        Assert.True(run.ExitCode == 0, run.ToString());
        var summary = JsonDocument.Parse(run.Output[^1]).RootElement;
        Assert.True(summary.GetProperty("linearizable").GetBoolean());
        Assert.True(summary.GetProperty("ok").GetInt32() > 100, run.ToString());
        Assert.True(summary.GetProperty("local_reads").GetInt32() > 100, run.ToString());
        Assert.True(summary.GetProperty("subject").GetProperty("watches_checked").GetInt32() > 5, run.ToString());
        foreach (var fault in new[] { "kill", "freeze", "fsync-error", "write-error", "slow-disk", "stalled-disk", "disk-full", "wipe",
            "rollback", "rot", "reset", "isolate", "one-way", "split", "bridge", "loss", "delay", "stall", "power-cut", "blackout",
            "clock-jump" })
            Assert.True(summary.GetProperty("faults").GetProperty(fault).GetInt32() > 0, run.ToString());

        foreach (var guarantee in new[] { "Lease", "ReadIndex", "BoundedStaleness", "Session" })
            Assert.True(summary.GetProperty("reads").GetProperty(guarantee).GetInt32() > 20, run.ToString());

        Assert.True(summary.GetProperty("subject").GetProperty("observer_calls").GetInt32() > 50, run.ToString());
        Assert.True(summary.GetProperty("subject").GetProperty("sources_changed").GetInt32() > 0, run.ToString());

        // The history that it leaves is all that a stranger needs to judge it again.
        Assert.Equal(summary.GetProperty("operations").GetInt32(), HistoryReader.Read(history).Count());
        Assert.Equal(summary.GetProperty("local_reads").GetInt32(), HistoryReader.Read(history + ".local").Count());
        var again = await ProgramRun.OfAsync(Project, "judge", history);
        Assert.True(again.ExitCode == 0, again.ToString());
        Assert.EndsWith(": 0 problems", again.Output[^1]);

        // Who cannot make anything durable must not go on as if it could.
        var faults = run.Output.Select(line => JsonDocument.Parse(line).RootElement).Where(
            line => line.GetProperty("event").GetString() == "fault").ToArray();
        Assert.Contains(
            faults, fault =>
            fault.GetProperty("fault").GetString() is "fsync-error" or "write-error" && fault.GetProperty("ended").GetBoolean());
        Assert.Contains(faults, fault => fault.GetProperty("fault").GetString() == "disk-full" && fault.GetProperty("ended").GetBoolean());
    }

    [Fact]
    public async Task A_file_system_that_a_power_cut_left_damaged_is_a_finding_and_logs_are_kept()
    {
        using var programs = Instead("e2fsck", "echo 'UNEXPECTED INCONSISTENCY'; exit 4");

        var run = await ProgramRun.OfAsync(Project, programs.Path, ["--faults", "power-cut", "--observers", "0", "--run-for", "60"]);

        Assert.True(run.ExitCode == 1, run.ToString());
        Assert.Matches(
            "power-cut of [1-5]: e2fsck of /dev/loop[0-9]+, which is .*/broker-[1-5], ended with 4:\\s+UNEXPECTED INCONSISTENCY",
            run.Errors);
        var kept = Regex.Match(run.Errors, "The members' logs are kept in (.*)\\.\n").Groups[1].Value;
        Assert.Equal(5, Directory.GetFiles(kept, "broker-*.log").Length);
        Assert.NotEmpty(File.ReadAllLines(Path.Combine(kept, "findings")));
        Directory.Delete(kept, recursive: true);
    }

    [Fact]
    public async Task A_program_that_hangs_ends_the_run_which_names_it()
    {
        using var programs = Instead("ss", "sleep 3600");

        var run = await ProgramRun.OfAsync(Project, programs.Path, ["--faults", "reset", "--run-for", "10"]);

        Assert.True(run.ExitCode == 2, run.ToString());
        Assert.Matches(
            "This machine refuses what the run needs. 'nsenter .* ss -KtnH state established' did not end within 30 s", run.Errors);
        Assert.Contains("logs are kept in", run.Errors);
    }

    [Fact]
    public async Task A_machine_that_lacks_a_tool_is_told_which_and_how_to_get_it()
    {
        using var nothing = new TemporaryFolder();

        var run = await ProgramRun.WithOnlyAsync(Project, nothing.Path);

        Assert.Equal(2, run.ExitCode);
        Assert.Matches(@"This machine lacks .*strace.*nsenter.*: apt-get install .*strace.*util-linux", run.Errors);
        Assert.Empty(run.Output);
    }

    [Theory]
    [InlineData("--members must be 3 to 7", "--members", "2")]
    [InlineData("--observers must be 0 to 3", "--observers", "4")]
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

    private static TemporaryFolder Instead(string program, string script)
    {
        var folder = new TemporaryFolder();
        var file = Path.Combine(folder.Path, program);
        File.WriteAllText(file, $"#!/bin/sh\n{script}\n");
        using var chmod = Process.Start("chmod", ["u+x", file]);
        chmod.WaitForExit();
        return folder;
    }
}
