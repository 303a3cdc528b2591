using System.Diagnostics;
using RaftKit.Node.Liveness;
using Xunit;

namespace RaftKit.Node.Tests.Liveness;

public sealed class DeathWatchTests
{
    private static readonly HostProcess Elsewhere = new("another machine", 1, 1, 1);
    private readonly DeathWatch _watch = new(Elsewhere, HostProcess.Current(), TimeSpan.FromMilliseconds(20), TimeSpan.Zero);

    [Fact]
    public void Probes_refused_for_20_ms_are_evidence_once()
    {
        for (var at = 0; at < 20; at += 2)
            Assert.Equal(DeathVerdict.None, Refused(at));
        Assert.Equal(DeathVerdict.Believed, Refused(20));
        Assert.True(_watch.IsOver);
        Assert.Equal(DeathVerdict.None, Refused(22));
    }

    [Theory]
    [InlineData(ProbeOutcome.Accepted)]
    [InlineData(ProbeOutcome.Unanswered)]
    internal void Anything_but_a_refusal_begins_the_20_ms_anew(ProbeOutcome other)
    {
        for (var at = 0; at < 20; at += 2)
            Refused(at);
        Assert.Equal(DeathVerdict.None, _watch.Observe(other, Ms(20)));
        for (var at = 22; at < 42; at += 2)
            Assert.Equal(DeathVerdict.None, Refused(at));
        Assert.Equal(DeathVerdict.Believed, Refused(42));
    }

    [Fact]
    public void Two_refusals_around_a_pause_of_the_observer_are_no_evidence()
    {
        Refused(0);
        Assert.Equal(DeathVerdict.None, Refused(5000));
        Assert.Equal(DeathVerdict.None, Refused(5002));
        Assert.Equal(DeathVerdict.None, Refused(5004));
        Assert.Equal(DeathVerdict.Believed, Refused(5006));
    }

    [Fact]
    public void A_peer_that_only_accepts_is_probed_slowly_in_the_end_and_never_declared_dead()
    {
        for (var at = 0; at < 10_000; at += 100)
            Assert.Equal(DeathVerdict.None, _watch.Observe(ProbeOutcome.Accepted, Ms(at)));
        Assert.False(_watch.IsUrgent(Ms(10_000)));
        Refused(10_000);
        Assert.True(_watch.IsUrgent(Ms(10_000)));
    }

    [Fact]
    public void Proof_follows_belief_when_the_process_is_gone_a_little_later()
    {
        using var child = Child.Start();
        var watch = new DeathWatch(child.HostProcess, HostProcess.Current(), TimeSpan.FromMilliseconds(20), TimeSpan.Zero);
        var verdict = DeathVerdict.None;
        for (var at = 0; at <= 20; at += 2)
            verdict = watch.Observe(ProbeOutcome.Refused, Ms(at));
        Assert.Equal(DeathVerdict.Believed, verdict);
        Assert.False(watch.IsOver);
        child.Kill();
        Assert.Equal(DeathVerdict.Proven, watch.Observe(ProbeOutcome.Refused, Ms(30)));
        Assert.Equal(DeathVerdict.None, watch.Observe(ProbeOutcome.Refused, Ms(32)));
    }

    [Fact]
    public void A_process_whose_first_thread_ended_is_believed_dead_with_the_first_refusal_and_not_proven()
    {
        // What a process killed with many threads and much memory looks like for tens of milliseconds; here for good, with python's help.
        const string script =
            "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(600,)).start(); print(flush=True); ctypes.CDLL(None).pthread_exit(None)";
        using var process = Process.Start(new ProcessStartInfo("python3", ["-c", script]) { RedirectStandardOutput = true })!;
        try
        {
            process.StandardOutput.ReadLine();
            var asked = Stopwatch.StartNew();
            while (ProcessStat.Read(process.Id) is not { State: 'Z' } && asked.Elapsed < TimeSpan.FromSeconds(20))
                Thread.Yield();
            var host = HostProcess.Current() with { Pid = process.Id, StartTime = ProcessStat.Read(process.Id)!.Value.StartTime };
            var watch = new DeathWatch(host, HostProcess.Current(), TimeSpan.FromMilliseconds(20), TimeSpan.Zero);

            Assert.Equal(DeathVerdict.None, watch.Observe(ProbeOutcome.Accepted, Ms(0)));
            Assert.Equal(DeathVerdict.Believed, watch.Observe(ProbeOutcome.Refused, Ms(2)));
            Assert.Equal(DeathVerdict.None, watch.Observe(ProbeOutcome.Refused, Ms(4)));
            Assert.False(host.IsEnding(HostProcess.Current() with { MachineBootId = "another" }));
            Assert.False((host with { StartTime = host.StartTime + 1 }).IsEnding(HostProcess.Current()));
        }
        finally
        {
            process.Kill();
            process.WaitForExit();
        }
    }

    [Fact]
    public void A_process_that_lives_on_is_asked_about_for_200_ms_after_belief()
    {
        var watch = new DeathWatch(HostProcess.Current(), HostProcess.Current(), TimeSpan.FromMilliseconds(20), TimeSpan.Zero);
        for (var at = 0; at <= 20; at += 2)
            watch.Observe(ProbeOutcome.Refused, Ms(at));
        Assert.Equal(DeathVerdict.None, watch.Observe(ProbeOutcome.Refused, Ms(219)));
        Assert.False(watch.IsOver);
        Assert.Equal(DeathVerdict.None, watch.Observe(ProbeOutcome.Refused, Ms(220)));
        Assert.True(watch.IsOver);
    }

    private DeathVerdict Refused(int at) => _watch.Observe(ProbeOutcome.Refused, Ms(at));

    private static TimeSpan Ms(int at) => TimeSpan.FromMilliseconds(at);
}
