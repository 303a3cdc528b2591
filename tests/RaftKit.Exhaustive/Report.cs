using System.Text.Json;

namespace RaftKit.Exhaustive;

/// <summary>Runs a search and says what came of it.</summary>
internal static class Report
{
    public static int Run(string scope, Bounds bounds, int mostStates, bool json)
    {
        var search = new Search(bounds, mostStates)
        {
            Progress = (states, depth) =>
            {
                if (!json)
                    Console.Error.WriteLine($"{states:N0} states, {depth} events deep");
            },
        };
        var found = search.Run();
        if (found.Violation is { } violation)
        {
            Console.WriteLine(violation);
            foreach (string line in Story.Tell(search.World, found.Path))
                Console.WriteLine(line);
        }
        Console.WriteLine(json ? JsonSerializer.Serialize(Summary(scope, found)) : InWords(scope, found));
        return found.Violation is null ? 0 : 1;
    }

    private static Dictionary<string, object> Summary(string scope, Found found) => new()
    {
        ["scope"] = scope,
        ["states"] = found.States,
        ["transitions"] = found.Transitions,
        ["depth"] = found.Depth,
        ["depth_done"] = found.DepthDone,
        ["complete"] = found.IsComplete,
        ["seconds"] = Math.Round(found.Seconds, 1),
        ["violations"] = found.Violation is null ? 0 : 1,
        ["core_turns"] = found.Turns,
        ["member_states"] = found.MemberStates,
        ["messages"] = found.Messages,
        ["peak_mb"] = Environment.WorkingSet >> 20,
    };

    private static string InWords(string scope, Found found) =>
        $"{scope}: {found.States:N0} states, {found.Transitions:N0} transitions, {found.Depth} events deep, in {found.Seconds:N1} s; "
        + (found.Violation is null ? "nothing was broken in any. " : $"broken: {found.Violation}. ")
        + (found.IsComplete ? "Nothing is left within the bounds." : $"All states up to {found.DepthDone} events away were found.");
}
