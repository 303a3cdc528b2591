using Microsoft.Extensions.Logging.Abstractions;
using RaftKit.Znodes.Sessions;
using Xunit;

namespace RaftKit.Znodes.Tests.Sessions;

public sealed class SessionOutboxTests
{
    [Fact]
    public void A_completion_is_seen_after_earlier_events_were_queued_and_before_later_completions()
    {
        var order = new List<string>();
        var scheduler = new FakeScheduler(() => TimeSpan.Zero);
        var outbox = new SessionOutbox(scheduler, NullLogger.Instance, 10, () => order.Add("overflow"));
        outbox.Event(e => order.Add($"event {e.Path}"), Event("/1"));
        outbox.Complete(new Completion(() => order.Add("answer 1")));
        outbox.Event(e => order.Add($"event {e.Path}"), Event("/2"));
        outbox.Complete(new Completion(() => order.Add("answer 2")));
        while (scheduler.RunOne())
        {
        }
        Assert.Equal(["answer 1", "answer 2", "event /1", "event /2"], order);
    }

    [Fact]
    public void Nothing_runs_inside_the_call_that_adds_it()
    {
        var ran = false;
        var outbox = new SessionOutbox(new FakeScheduler(() => TimeSpan.Zero), NullLogger.Instance, 10, () => { });
        outbox.Complete(new Completion(() => ran = true));
        outbox.Event(_ => ran = true, Event("/"));
        Assert.False(ran);
    }

    [Fact]
    public void A_blocked_callback_holds_up_no_completion_and_a_blocked_continuation_no_other()
    {
        var scheduler = new ThreadPoolClientScheduler(() => TimeSpan.Zero);
        var outbox = new SessionOutbox(scheduler, NullLogger.Instance, 10, () => { });
        var first = new TaskCompletionSource<int>(scheduler.Completion);
        var second = new TaskCompletionSource<int>(scheduler.Completion);
        using var release = new ManualResetEventSlim();
        using var called = new ManualResetEventSlim();
        var continued = Continue();
        outbox.Event(
            _ =>
            {
                called.Set();
                release.Wait(TimeSpan.FromSeconds(30));
            },
            Event("/"));
        outbox.Complete(new Completion(() => first.SetResult(1)));
        outbox.Complete(new Completion(() => second.SetResult(2)));

        // Blocks this thread on purpose, as a careless user's callback would.
        Assert.True(called.Wait(TimeSpan.FromSeconds(30)));
        Assert.True(SpinWait.SpinUntil(() => second.Task.IsCompleted, TimeSpan.FromSeconds(30)));
        Assert.False(continued.IsCompleted);
        release.Set();
        Assert.True(SpinWait.SpinUntil(() => continued.IsCompleted, TimeSpan.FromSeconds(30)));

        async Task Continue()
        {
            await first.Task;
            release.Wait(TimeSpan.FromSeconds(30));
        }
    }

    [Fact]
    public async Task Many_threads_may_add_and_the_order_of_each_is_kept()
    {
        var seen = new List<(int Thread, int Number)>();
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var pump = new OrderedPump<(int Thread, int Number)>(new ThreadPoolClientScheduler(() => TimeSpan.Zero).Post, int.MaxValue, item =>
        {
            seen.Add(item);
            if (seen.Count == 40_000)
                done.SetResult();
        });
        var threads = Enumerable.Range(0, 4).Select(t => new Thread(() =>
        {
            for (var i = 0; i < 10_000; i++)
                pump.TryAdd((t, i));
        })).ToArray();
        foreach (var thread in threads)
            thread.Start();
        await done.Task.WaitAsync(TimeSpan.FromSeconds(30));

        for (var t = 0; t < 4; t++)
            Assert.Equal(Enumerable.Range(0, 10_000), seen.Where(s => s.Thread == t).Select(s => s.Number));
    }

    private static WatchEvent Event(string path) => new(WatchEventType.Created, path, 1);

    private sealed class Completion(Action deliver) : ICompletion
    {
        public void Deliver() => deliver();
    }
}
