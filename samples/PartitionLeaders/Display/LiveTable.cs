using System.Globalization;
using PartitionLeaders.Supervision;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace PartitionLeaders.Display;

/// <summary>A table that changes in place, for people.</summary>
internal sealed class LiveTable : IRunDisplay
{
    private const int EventsShown = 12;
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);
    private static readonly string[] Colors = ["deepskyblue1", "orange1", "green3", "mediumpurple1", "yellow", "hotpink", "grey"];

    private readonly Queue<string> _events = [];
    private LiveDisplayContext? _context;
    private TimeSpan _now;
    private TimeSpan _next;

    public async Task<T> WhileShownAsync<T>(Func<Task<T>> body)
    {
        T result = default!;
        await AnsiConsole.Live(new Text("Starting the brokers...")).AutoClear(false).StartAsync(async context =>
        {
            _context = context;
            result = await body();
            _context = null;
        });
        return result;
    }

    public void Show(RunEvent happened)
    {
        if (happened is Summary summary)
        {
            AnsiConsole.Write(new Panel(new Text(summary.Describe())).BorderColor(summary.Passed ? Color.Green : Color.Red));
            return;
        }

        _events.Enqueue(Invariant($"{_now.TotalSeconds,7:0.0} s  {happened.Describe()}"));
        if (_events.Count > EventsShown)
            _events.Dequeue();
    }

    public void Refresh(RunView view)
    {
        _now = view.Elapsed;
        if (_now < _next || _context is null)
            return;
        _next = _now + Interval;
        _context.UpdateTarget(
            new Rows(Brokers(view), Leaders(view), Figures(view),
            new Panel(string.Join('\n', _events.Select(Markup.Escape))).Header("Events")));
    }

    private static Table Brokers(RunView view)
    {
        var table = new Table().AddColumns("Broker", "Process", "State", "Member", "Term", "Partitions led", "Writes/s");
        foreach (var broker in view.Brokers)
        {
            table.AddRow(
                Colored(broker.Id, Invariant($"{broker.Id}")),
                Invariant($"{broker.Pid}"),
                broker.State == "up" ? "[green]up[/]" : $"[red]{broker.State}[/]",
                broker.Member.Leader ? "[bold]Leader[/]" : broker.Member.Role,
                Invariant($"{broker.Member.Term}"),
                Invariant($"{broker.PartitionsLed}"),
                Invariant($"{broker.WritesPerSecond:0}"));
        }

        return table;
    }

    // One figure a partition: the broker that leads it.
    private static IRenderable Leaders(RunView view) =>
        new Markup("Partition leaders: "
            + string.Concat(view.PartitionLeaders.Select(l => l is { } leader ? Colored(leader, Invariant($"{leader}")) : "[red]-[/]")));

    private static IRenderable Figures(RunView view) => new Text(Invariant(
        $"""
        {view.Elapsed.TotalSeconds:0} s, {view.WritesAcked} writes acknowledged, {view.Kills} kills, {view.Freezes} freezes
        Quorum failover {view.QuorumFailover}; partition failover {view.PartitionFailover}; frozen leader's gap {view.FrozenLeaderGap}
        """));

    private static string Colored(int broker, string text) => $"[{Colors[(broker - 1) % Colors.Length]}]{text}[/]";

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
