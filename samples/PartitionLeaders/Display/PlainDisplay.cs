using System.Globalization;
using PartitionLeaders.Supervision;

namespace PartitionLeaders.Display;

/// <summary>Lines, for a file or a pipe: what happens as it happens, and how it stands every few seconds.</summary>
internal sealed class PlainDisplay : IRunDisplay
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    private TimeSpan _now;
    private TimeSpan _next = Interval;

    public Task<T> WhileShownAsync<T>(Func<Task<T>> body) => body();

    public void Show(RunEvent happened) => Console.WriteLine(happened is Summary ? happened.Describe() : Line(happened.Describe()));

    public void Refresh(RunView view)
    {
        _now = view.Elapsed;
        if (_now < _next)
            return;
        _next = _now + Interval;
        var brokers = view.Brokers.Select(
            b => string.Create(CultureInfo.InvariantCulture, $"{b.Id} {b.State} leads {b.PartitionsLed}, {b.WritesPerSecond:0}/s"));
        Console.WriteLine(Line($"{string.Join("; ", brokers)}; {view.WritesAcked} writes acknowledged"));
    }

    private string Line(string text) => string.Create(CultureInfo.InvariantCulture, $"{_now.TotalSeconds,7:0.00} s  {text}");
}
