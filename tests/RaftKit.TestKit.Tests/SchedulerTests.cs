namespace RaftKit.TestKit.Tests;

public sealed class SchedulerTests
{
    private readonly SimulatedScheduler _scheduler = new();

    [Fact]
    public void Events_run_by_time_and_then_in_the_order_in_which_they_were_scheduled()
    {
        var ran = new List<string>();
        _scheduler.After(TimeSpan.FromMilliseconds(2), () => ran.Add("c"));
        _scheduler.After(TimeSpan.FromMilliseconds(1), () => ran.Add("a"));
        _scheduler.After(TimeSpan.FromMilliseconds(1), () => ran.Add("b"));
        _scheduler.After(TimeSpan.FromMilliseconds(1), () => ran.Add("never")).Cancel();
        RunFor(1);
        Assert.Equal(["a", "b"], ran);
        RunFor(1);
        Assert.Equal(["a", "b", "c"], ran);
    }

    [Fact]
    public void Client_code_goes_on_as_events_of_its_process_and_ends_with_it()
    {
        var process = new SimulatedProcess(_scheduler, 1, TimeSpan.Zero);
        var steps = 0;
        process.Context.Run(() => _ = Client());
        RunFor(25);
        Assert.Equal(3, steps);
        process.Die();
        RunFor(100);
        Assert.Equal(3, steps);

        async Task Client()
        {
            for (steps = 1; ; steps++)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(10), process.Time);
                Assert.Same(process.Context, SynchronizationContext.Current);
            }
        }
    }

    [Fact]
    public void A_paused_process_does_on_resuming_what_it_missed_in_order()
    {
        var process = new SimulatedProcess(_scheduler, 1, TimeSpan.Zero);
        var ran = new List<int>();
        process.After(TimeSpan.FromMilliseconds(1), () => ran.Add(1));
        process.After(TimeSpan.FromMilliseconds(2), () => ran.Add(2));
        process.Pause();
        RunFor(10);
        Assert.Empty(ran);
        process.Resume();
        RunFor(0);
        Assert.Equal([1, 2], ran);
    }

    [Fact]
    public void Timers_repeat_and_stop()
    {
        var process = new SimulatedProcess(_scheduler, 1, TimeSpan.Zero);
        var count = 0;
        var timer = process.Time.CreateTimer(_ => count++, null, TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(10));
        RunFor(26);
        Assert.Equal(3, count);
        timer.Dispose();
        RunFor(100);
        Assert.Equal(3, count);
    }

    [Fact]
    public void The_streams_of_two_concerns_do_not_disturb_each_other()
    {
        var one = new SimulatedRandom(7);
        var other = new SimulatedRandom(7);
        one.Split("disk").NextUInt64();
        one.NextUInt64();
        Assert.Equal(other.Split("network").NextUInt64(), one.Split("network").NextUInt64());
        Assert.NotEqual(one.Split("disk").NextUInt64(), one.Split("network").NextUInt64());
    }

    private void RunFor(int milliseconds)
    {
        var until = _scheduler.Now + TimeSpan.FromMilliseconds(milliseconds);
        while (_scheduler.RunNext(until))
        {
        }
    }
}
