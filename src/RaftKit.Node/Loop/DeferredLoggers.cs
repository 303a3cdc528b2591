using System.Threading.Channels;
using Microsoft.Extensions.Logging;

namespace RaftKit.Node.Loop;

/// <summary>
/// Loggers that hand over what is logged and return: a thread of their own writes it, in order. Consensus must not wait for whoever reads
/// the console, nor for a log message's formatting to be compiled: on the loop of a process that had just started, that took longer than an
/// election. Bounded: what comes while 4,096 wait is dropped and counted.
/// </summary>
internal sealed class DeferredLoggers : ILoggerFactory
{
    private const int MostWaiting = 4096;

    private static readonly Action<ILogger, long, Exception?> TellDropped = LoggerMessage.Define<long>(
        LogLevel.Warning, new EventId(99, "LogEntriesDropped"),
        "{Count} log entries were dropped here: the log is written more slowly than RaftKit logs");

    private readonly ILoggerFactory _inner;
    private readonly Channel<Entry> _entries = Channel.CreateBounded<Entry>(
        new BoundedChannelOptions(MostWaiting) { SingleReader = true, FullMode = BoundedChannelFullMode.Wait });
    private readonly Thread _thread;
    private readonly Lock _gate = new();
    private long _dropped;
    private volatile bool _started;

    public DeferredLoggers(ILoggerFactory inner)
    {
        _inner = inner;
        _thread = new Thread(Run) { Name = "raftkit logger", IsBackground = true };
    }

    public ILogger CreateLogger(string categoryName) => new DeferredLogger(_inner.CreateLogger(categoryName), this);

    public void AddProvider(ILoggerProvider provider) => _inner.AddProvider(provider);

    /// <summary>Writes what waits, then ends. The loggers within are the application's, and stay.</summary>
    public void Dispose()
    {
        _entries.Writer.TryComplete();
        bool started;
        lock (_gate)
            started = _started;
        if (started && Thread.CurrentThread != _thread)
            _thread.Join();
    }

    private void Run()
    {
        var reader = _entries.Reader;
        // A thread that only waits costs nothing; a task would need one of the pool's just when these are busy.
        while (reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
        {
            while (reader.TryRead(out var entry))
                Write(entry);
        }
    }

    private void Write(Entry entry)
    {
        try
        {
            if (Interlocked.Exchange(ref _dropped, 0) is > 0 and var dropped)
                TellDropped(entry.Logger, dropped, null);
            entry.Write();
        }
        catch (Exception)
        {
            // A logger that throws must not end the host process, and there is nobody else to tell.
        }
    }

    private void Add(Entry entry)
    {
        if (!_entries.Writer.TryWrite(entry))
            Interlocked.Increment(ref _dropped);
        else if (!_started)
            Start();
    }

    // With the first entry: a host that is built and never started has no thread. Under the lock, so that nobody joins it before it runs.
    private void Start()
    {
        lock (_gate)
        {
            if (_started)
                return;
            _thread.Start();
            _started = true;
        }
    }

    private abstract class Entry(ILogger logger)
    {
        public ILogger Logger => logger;

        public abstract void Write();
    }

    private sealed class Entry<TState>(
        ILogger logger, LogLevel level, EventId id, TState state, Exception? exception, Func<TState, Exception?, string> formatter) : Entry(
            logger)
    {
        public override void Write() => Logger.Log(level, id, state, exception, formatter);
    }

    private sealed class DeferredLogger(ILogger inner, DeferredLoggers owner) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => inner.IsEnabled(logLevel);

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter) =>
            owner.Add(new Entry<TState>(inner, logLevel, eventId, state, exception, formatter));
    }
}
