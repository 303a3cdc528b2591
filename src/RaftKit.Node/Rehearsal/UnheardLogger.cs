using Microsoft.Extensions.Logging;

namespace RaftKit.Node.Rehearsal;

/// <summary>Puts every message together, as a real log would, and drops it.</summary>
internal sealed class UnheardLogger : ILogger, ILoggerFactory
{
    public static readonly UnheardLogger Instance = new();

    private UnheardLogger()
    {
    }

    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider) => throw new NotSupportedException("Nobody hears this logger.");

    public void Dispose()
    {
        // Nothing is held.
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter) =>
        formatter(state, exception);
}
