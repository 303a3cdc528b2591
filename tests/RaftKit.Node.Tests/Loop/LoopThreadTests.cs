using System.Diagnostics;
using Microsoft.Extensions.Logging.Abstractions;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;
using Xunit;

namespace RaftKit.Node.Tests.Loop;

/// <summary>Turns on the loop's own thread and on those that have something to post: one at a time, and nothing is left lying.</summary>
public sealed class LoopThreadTests : IAsyncLifetime
{
    private const int Posters = 4;
    private const int PostsEach = 20_000;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly string _root = Directory.CreateTempSubdirectory("raftkit-turns-").FullName;
    private readonly RaftNode _node;
    private int _inside;

    public LoopThreadTests()
    {
        var options = new NodeLoopOptions
        {
            Self = new MemberId(1),
            Members = new Dictionary<MemberId, string> { [new MemberId(1)] = "127.0.0.1:0" },
            Seed = 1,
            HostProcess = HostProcess.Current(),
        };
        _node = new RaftNode(
            options, new TcpTransportOptions { Listen = "127.0.0.1:0" }, _root, [], [], TimeProvider.System, NullLoggerFactory.Instance);
    }

    [Fact]
    public void Nobody_enters_before_the_loop_has_started() => Assert.False(_node.Inbox.TryEnter());

    [Fact]
    public void Who_enters_gives_the_turn_on_its_own_thread()
    {
        _node.Start();
        Thread? ran = null;

        Enter();
        _node.Inbox.Post(new NodeInput.Call(new Call(() => ran = Thread.CurrentThread)));
        Assert.Null(ran);
        _node.Inbox.Leave();

        Assert.Same(Thread.CurrentThread, ran);
    }

    [Fact]
    public async Task While_somebody_has_entered_others_only_post()
    {
        _node.Start();
        Thread? ran = null;

        Enter();
        Assert.False(_node.Inbox.TryEnter());
        await Task.Run(() => _node.Inbox.Post(new NodeInput.Call(new Call(() => ran = Thread.CurrentThread))));
        _node.Inbox.Leave();

        Assert.NotNull(ran);
    }

    [Fact]
    public async Task What_such_a_turn_leaves_is_taken_up_by_the_loops_own_thread()
    {
        _node.Start();
        var followed = new TaskCompletionSource<Thread>(TaskCreationOptions.RunContinuationsAsynchronously);

        Enter();
        _node.Inbox.Post(new NodeInput.Call(new Call(
            () => _node.Inbox.Post(new NodeInput.Call(new Call(() => followed.SetResult(Thread.CurrentThread)))))));
        var poster = Thread.CurrentThread;
        _node.Inbox.Leave();

        Assert.NotSame(poster, await followed.Task.WaitAsync(Patience));
    }

    [Fact]
    public async Task A_tick_that_came_due_during_such_a_turn_is_not_lost()
    {
        _node.Start();
        await LeadsAsync();
        Enter();
        _node.Inbox.Post(new NodeInput.Call(new Call(() =>
        {
            var began = Stopwatch.GetTimestamp();
            SpinWait.SpinUntil(() => Stopwatch.GetElapsedTime(began) > TimeSpan.FromMilliseconds(50));
        })));
        _node.Inbox.Leave();

        // Nobody posts from here on: only ticks can move the counter.
        var turns = _node.Counters.Turns;
        Assert.True(SpinWait.SpinUntil(() => _node.Counters.Turns > turns + 3, Patience));
    }

    [Fact]
    public async Task A_stop_that_such_a_turn_handles_ends_the_node()
    {
        _node.Start();
        await LeadsAsync();
        Enter();
        _node.Inbox.Post(new NodeInput.Stop(_ => { }));
        _node.Inbox.Leave();

        Assert.Null(await _node.Ended.WaitAsync(Patience));
        Assert.False(_node.Inbox.TryEnter());
    }

    [Fact]
    public async Task What_fails_in_such_a_turn_ends_the_node_and_not_the_thread()
    {
        _node.Start();
        Enter();
        _node.Inbox.Post(new NodeInput.Call(new Call(() => throw new InvalidOperationException("on purpose"))));
        _node.Inbox.Leave();

        var failure = await _node.Ended.WaitAsync(Patience);
        Assert.Equal("on purpose", failure?.Message);
    }

    [Fact]
    public void Whoever_asked_in_the_turn_that_failed_or_after_it_is_told_that_the_node_has_stopped()
    {
        _node.Start();
        var told = new List<string>();
        Enter();
        Post("with what failed", new Call(() => throw new InvalidOperationException("on purpose"), () => Tell("the call that failed")));
        _node.Inbox.Leave();
        // The loop's own thread may not have seen it yet, so that somebody may still enter.
        var entered = _node.Inbox.TryEnter();
        Post("after it", null);
        if (entered)
            _node.Inbox.Leave();

        Assert.True(SpinWait.SpinUntil(() => { lock (told) return told.Count == 7; }, Patience), string.Join(", ", told));
        Assert.Equal(7, told.Distinct().Count());

        void Post(string when, ILoopCall? first)
        {
            if (first is not null)
                _node.Inbox.Post(new NodeInput.Call(first));
            _node.Inbox.Post(new NodeInput.Call(new Call(() => Tell("a call ran"), () => Tell($"a call {when}"))));
            _node.Inbox.Post(new NodeInput.Propose("none", default, new Proposing(() => Tell($"a proposal {when}"))));
            _node.Inbox.Post(new NodeInput.Read(new Reading(new TaskCompletionSource(), () => Tell($"a read {when}"))));
        }

        void Tell(string what)
        {
            lock (told)
                told.Add(what);
        }
    }

    [Fact]
    public async Task Who_fails_when_the_closing_thread_tells_it_keeps_nobody_else_from_being_told()
    {
        _node.Start();
        await LeadsAsync();
        var told = 0;
        // The turn of the first stops the loop, so that all that is posted meanwhile is left for the thread to refuse.
        Enter();
        _node.Inbox.Post(new NodeInput.Call(new Call(() =>
        {
            for (var i = 0; i < 3; i++)
            {
                _node.Inbox.Post(new NodeInput.Call(new Call(() => Assert.Fail("It ran."), () =>
                {
                    Interlocked.Increment(ref told);
                    throw new InvalidOperationException("told");
                })));
            }
            throw new InvalidOperationException("on purpose");
        })));
        _node.Inbox.Leave();

        var failure = await _node.Ended.WaitAsync(Patience);
        Assert.Equal("on purpose", failure?.Message);
        Assert.Equal(3, Volatile.Read(ref told));
    }

    [Fact]
    public async Task Turns_exclude_each_other_and_keep_each_posters_order_and_nothing_is_left()
    {
        _node.Start();
        var next = new int[Posters];
        var onPosters = 0;
        var all = new CountdownEvent(Posters * PostsEach);
        var faults = new List<string>();

        var posting = Enumerable.Range(0, Posters).Select(poster => Task.Factory.StartNew(
            () =>
            {
                for (var i = 0; i < PostsEach; i++)
                {
                    var number = i;
                    // Some post as callers do, the others as readers of links, a few at a time.
                    var entered = poster > 0 && _node.Inbox.TryEnter();
                    Post(number);
                    if (entered && ++i < PostsEach)
                        Post(i);
                    if (entered)
                        _node.Inbox.Leave();
                    if (i % 64 == 63)
                        SpinWait.SpinUntil(() => Volatile.Read(ref next[poster]) > number - 256);
                }

                void Post(int number)
                {
                    var thread = Thread.CurrentThread;
                    _node.Inbox.Post(new NodeInput.Call(new Call(() =>
                    {
                        if (Interlocked.Exchange(ref _inside, 1) != 0)
                            faults.Add("Two turns at once.");
                        if (next[poster]++ != number)
                            faults.Add($"Poster {poster}: {number} came before {next[poster] - 1}.");
                        onPosters += Thread.CurrentThread == thread ? 1 : 0;
                        Volatile.Write(ref _inside, 0);
                        all.Signal();
                    })));
                }
            },
            TaskCreationOptions.LongRunning)).ToArray();

        await Task.WhenAll(posting).WaitAsync(Patience);
        Assert.True(all.Wait(Patience), $"{all.CurrentCount} were left.");
        Assert.Empty(faults);
        Assert.True(onPosters > 0, "No turn was given by a poster.");
    }

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        await _node.DisposeAsync();
        Directory.Delete(_root, recursive: true);
    }

    // The loop has turns of its own now and then: enters between them.
    private void Enter() => Assert.True(SpinWait.SpinUntil(_node.Inbox.TryEnter, Patience));

    private async Task LeadsAsync()
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _node.Inbox.Post(new NodeInput.Read(new Reading(asked)));
        await asked.Task.WaitAsync(Patience);
    }

    private sealed class Call(Action run, Action? stopped = null) : ILoopCall
    {
        public void Run() => run();

        public void Stopped() => stopped?.Invoke();
    }

    private sealed class Proposing(Action failed) : IProposalCallback
    {
        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result) => Assert.Fail("It was applied.");

        public void Failed(ProposalFailure failure, string reason)
        {
            Assert.Equal((ProposalFailure.NotApplied, "The node has stopped."), (failure, reason));
            failed();
        }
    }

    private sealed class Reading(TaskCompletionSource ready, Action? failed = null) : IReadCallback
    {
        public void Ready() => ready.TrySetResult();

        public void Failed(string reason)
        {
            failed?.Invoke();
            ready.TrySetException(new InvalidOperationException(reason));
        }
    }
}
