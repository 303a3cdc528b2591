using Microsoft.Extensions.Logging;

namespace RaftKit.Node.Rehearsal;

/// <summary>Puts every message together, as a real log would, and drops it.</summary>
internal sealed class UnheardLogger : ILogger
{
    public static readonly UnheardLogger Instance = new();

    private UnheardLogger()
    {
    }

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        formatter(state, exception);
}
