using PartitionLeaders.Supervision;

namespace PartitionLeaders.Display;

/// <summary>One JSON object a line, for programs.</summary>
internal sealed class JsonDisplay : IRunDisplay
{
    public Task<T> WhileShownAsync<T>(Func<Task<T>> body) => body();

    public void Show(RunEvent happened) => Console.WriteLine(happened.ToLine());

    public void Refresh(RunView view)
    {
    }
}
