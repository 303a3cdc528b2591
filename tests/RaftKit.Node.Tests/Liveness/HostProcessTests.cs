using System.Diagnostics;
using RaftKit.Node.Liveness;
using Xunit;

namespace RaftKit.Node.Tests.Liveness;

public sealed class HostProcessTests
{
    private readonly HostProcess _self = HostProcess.Current();

    [Fact]
    public void This_process_knows_itself_and_is_not_gone()
    {
        Assert.Equal(Environment.ProcessId, _self.Pid);
        Assert.True(Guid.TryParse(_self.MachineBootId, out _));
        Assert.True(_self is { PidNamespace: > 0, StartTime: > 0 });
        Assert.Equal(_self, HostProcess.Current());
        Assert.False(_self.IsSurelyGone(_self));
    }

    [Fact]
    public void A_killed_process_is_gone_and_a_running_one_is_not()
    {
        using var child = Child.Start();
        Assert.False(child.HostProcess.IsSurelyGone(_self));
        child.Kill();
        Assert.True(child.HostProcess.IsSurelyGone(_self));
    }

    [Fact]
    public void A_zombie_is_gone()
    {
        // The shell's child ends at once; the shell became a program that never waits for it.
        var start = new ProcessStartInfo("/bin/sh", ["-c", "sleep 0 & echo $!; exec sleep 600"]) { RedirectStandardOutput = true };
        using var parent = Process.Start(start)!;
        try
        {
            var pid = int.Parse(parent.StandardOutput.ReadLine()!);
            // The child ends by itself: ask until the kernel says so.
            var asked = Stopwatch.StartNew();
            while (ProcessStat.Read(pid) is { IsDead: false } && asked.Elapsed < TimeSpan.FromSeconds(20))
                Thread.Yield();
            var stat = ProcessStat.Read(pid);
            Assert.Equal('Z', stat?.State);
            Assert.True((_self with { Pid = pid, StartTime = stat!.Value.StartTime }).IsSurelyGone(_self));
        }
        finally
        {
            parent.Kill();
            parent.WaitForExit();
        }
    }

    [Fact]
    public void A_pid_that_another_process_has_now_is_gone() =>
        Assert.True((_self with { StartTime = _self.StartTime - 1 }).IsSurelyGone(_self));

    [Fact]
    public void From_another_machine_namespace_or_system_nothing_is_proven()
    {
        using var child = Child.Start();
        child.Kill();
        Assert.False(child.HostProcess.IsSurelyGone(_self with { MachineBootId = Guid.NewGuid().ToString() }));
        Assert.False(child.HostProcess.IsSurelyGone(_self with { PidNamespace = _self.PidNamespace + 1 }));
        Assert.False(HostProcess.Unknown.IsSurelyGone(HostProcess.Unknown));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    public void A_peer_that_tells_a_pid_that_is_none_proves_nothing(int pid) =>
        Assert.False((_self with { Pid = pid }).IsSurelyGone(_self));

    [Theory]
    [InlineData("42 (a) b) c (d) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 7 18 98765 20 21", 'S', 7, 98765)]
    [InlineData("42 (x) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 1 18 5 20", 'Z', 1, 5)]
    public void The_start_time_is_found_behind_any_program_name(string stat, char state, long threads, long start) =>
        Assert.Equal(new ProcessStat(state, threads, start), ProcessStat.Parse(stat));

    [Fact]
    public void A_zombie_with_other_threads_still_runs()
    {
        Assert.False(new ProcessStat('Z', 2, 5).IsDead);
        Assert.True(new ProcessStat('Z', 1, 5).IsDead);
        Assert.True(new ProcessStat('X', 0, 5).IsDead);
        Assert.False(new ProcessStat('T', 1, 5).IsDead);
    }

    [Fact]
    public void A_stat_line_of_another_shape_is_refused() => Assert.Throws<FormatException>(() => ProcessStat.Parse("42 (x) S 1 2"));
}
