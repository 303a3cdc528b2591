using System.Diagnostics;

namespace RaftKit.Exhaustive;

/// <summary>What came of a search.</summary>
/// <param name="States">Different states found, each checked.</param>
/// <param name="Transitions">Events that were made to happen in them.</param>
/// <param name="Depth">Events on the way to the farthest state that was found.</param>
/// <param name="DepthDone">All states so many events away, or fewer, were found.</param>
/// <param name="IsComplete">Nothing within the bounds is left.</param>
/// <param name="Seconds">Time that it took.</param>
/// <param name="Violation">What must never happen, and does; null if nothing does.</param>
/// <param name="Path">The shortest way there.</param>
internal sealed record Found(
    int States, long Transitions, int Depth, int DepthDone, bool IsComplete, double Seconds, string? Violation, IReadOnlyList<Event> Path)
{
    /// <summary>How often the real core was run; everything else was putting its outcomes together.</summary>
    public int Turns { get; init; }

    public int MemberStates { get; init; }

    public int Messages { get; init; }
}

/// <summary>
/// All interleavings within the bounds, breadth first, so that the first story of a broken invariant is also the shortest. A state met
/// again, by whatever way, is not gone on from again.
/// </summary>
internal sealed class Search(Bounds bounds, int mostStates)
{
    private readonly VisitedSet _visited = new();
    private readonly Frontier _frontier = new();
    private readonly List<Event> _events = [];

    // For each state, in the order they were found: from which it came, and by what.
    private readonly List<(int Parent, Event By)> _cameBy = [];
    private int[] _buffer = new int[64];
    private int[] _current = new int[64];
    private string? _violation;

    public World World { get; } = new(bounds);

    /// <summary>Called now and then with the states and the depth so far.</summary>
    public Action<int, int> Progress { get; init; } = static (_, _) => { };

    public Found Run()
    {
        var clock = Stopwatch.StartNew();
        World.Start();
        Reached(-1, default);
        long transitions = 0;
        int expanded = 0, depth = 0, levelEnd = 1, done = 0;
        bool isFull = false;
        while (_violation is null && !isFull && _frontier.Next() is { IsEmpty: false } state)
        {
            if (expanded == levelEnd)
            {
                (done, levelEnd) = (depth, _visited.Count);
            }
            depth = Math.Max(depth, done + 1);
            if (_current.Length < state.Length)
                _current = new int[state.Length * 2];
            state.CopyTo(_current);
            transitions += Expand(_current.AsSpan(0, state.Length), expanded++);
            isFull = _visited.Count >= mostStates;
            if (expanded % 100_000 == 0)
                Progress(_visited.Count, depth);
        }
        bool isComplete = !isFull && _violation is null;
        return new Found(
            _visited.Count, transitions, depth, isComplete ? depth : done, isComplete, clock.Elapsed.TotalSeconds, _violation,
            _violation is null ? [] : PathTo(_cameBy.Count - 1))
        {
            Turns = World.Machine.Turns, MemberStates = World.Machine.Members, Messages = World.Machine.Messages,
        };
    }

    private long Expand(ReadOnlySpan<int> state, int number)
    {
        long transitions = 0;
        World.Load(state);
        World.Events(_events);
        foreach (var next in _events)
        {
            World.Load(state);
            if (!World.Apply(next))
                continue;
            transitions++;
            Reached(number, next);
            if (_violation is not null)
                break;
        }
        return transitions;
    }

    private void Reached(int parent, Event by)
    {
        if (World.Broken is { } broken)
        {
            _violation = broken;
            _cameBy.Add((parent, by));
            return;
        }
        var state = World.Store(ref _buffer);
        if (!_visited.Add(Hash128.Of(state)))
            return;
        _cameBy.Add((parent, by));
        _frontier.Add(state);
        _violation = Checks.BrokenIn(World);
    }

    private List<Event> PathTo(int state)
    {
        List<Event> path = [];
        for (; _cameBy[state].Parent >= 0; state = _cameBy[state].Parent)
            path.Add(_cameBy[state].By);
        path.Reverse();
        return path;
    }
}
