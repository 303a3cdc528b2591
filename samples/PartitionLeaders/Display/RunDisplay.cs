using PartitionLeaders.Supervision;

namespace PartitionLeaders.Display;

/// <summary>Shows a run while it goes on. Called from the supervisor's loop.</summary>
internal interface IRunDisplay
{
    /// <summary>Runs the body with the display shown.</summary>
    Task<T> WhileShownAsync<T>(Func<Task<T>> body);

    void Show(RunEvent happened);

    void Refresh(RunView view);
}

internal static class RunDisplay
{
    /// <summary>JSON if it was asked for, a live table on a terminal, lines where the output goes elsewhere.</summary>
    public static IRunDisplay Choose(RunOptions options) =>
        options.Json ? new JsonDisplay() : Console.IsOutputRedirected ? new PlainDisplay() : new LiveTable();
}
