using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using RaftKit.Node.Loop;

namespace RaftKit.Node.Tests.Loop;

public sealed class DeferredLoggersTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public void What_is_logged_is_written_in_order_by_another_thread_before_the_end()
    {
        var slow = new SlowLoggers();
        slow.Open.Set();
        using (var loggers = new DeferredLoggers(slow))
        {
            var logger = loggers.CreateLogger("x");
            for (var n = 0; n < 100; n++)
                Say(logger, $"{n}");
        }

        Assert.Equal(Enumerable.Range(0, 100).Select(n => $"{n}"), slow.Written);
        Assert.NotEqual(Environment.CurrentManagedThreadId, slow.Thread);
    }

    [Fact]
    public void A_log_that_stands_still_holds_nobody_up_and_says_afterwards_what_it_missed()
    {
        var slow = new SlowLoggers();
        using (var loggers = new DeferredLoggers(slow))
        {
            var logger = loggers.CreateLogger("x");
            Say(logger, "first");
            Assert.True(slow.Entered.Wait(Patience));
            for (var n = 0; n < 5000; n++)
                Say(logger, $"{n}");
            slow.Open.Set();
        }

        Assert.Equal("first", slow.Written.First());
        Assert.Contains(slow.Written, line => line.StartsWith("904 log entries were dropped", StringComparison.Ordinal));
        Assert.Equal(1 + 4096 + 1, slow.Written.Count);
    }

    [Fact]
    public void A_logger_that_throws_ends_nothing()
    {
        var slow = new SlowLoggers { Throws = true };
        slow.Open.Set();
        using (var loggers = new DeferredLoggers(slow))
        {
            Say(loggers.CreateLogger("x"), "thrown at");
            Say(loggers.CreateLogger("x"), "and again");
        }

        Assert.Equal(["thrown at", "and again"], slow.Written);
    }

    [Fact]
    public void Loggers_that_were_never_used_end_at_once() => new DeferredLoggers(new SlowLoggers()).Dispose();

    private static void Say(ILogger logger, string text) => logger.Log(LogLevel.Information, default, text, null, static (said, _) => said);

    private sealed class SlowLoggers : ILoggerFactory, ILogger
    {
        public ManualResetEventSlim Open { get; } = new();

        public ManualResetEventSlim Entered { get; } = new();

        public ConcurrentQueue<string> Written { get; } = [];

        public bool Throws { get; init; }

        public int Thread { get; private set; }

        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException();

        public void Dispose()
        {
            // It belongs to the application.
        }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter)
        {
            Entered.Set();
            Assert.True(Open.Wait(Patience));
            Thread = Environment.CurrentManagedThreadId;
            Written.Enqueue(formatter(state, exception));
            if (Throws)
                throw new InvalidOperationException("This logger throws.");
        }
    }
}
