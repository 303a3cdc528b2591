using System.CommandLine;
using RaftKit.Exhaustive;
using RaftKit.Simulation;

var scope =
    new Option<string>("--scope") { Description = $"A set of bounds: {string.Join(", ", Bounds.Scopes.Keys)}.", DefaultValueFactory = _ =>
    "all" };
scope.AcceptOnlyFromAmong([.. Bounds.Scopes.Keys]);
var states =
    new Option<int>("--states") { Description = "Ends the search at so many different states.", DefaultValueFactory = _ => 40_000_000 };
states.Check(count => count is >= 1 and <= 500_000_000, "--states must be 1 to 500000000.");
var with = new Option<string[]>("--with") { Description = "Bounds that are other than the scope's: elections=3 slow-writes=0 ...",
    AllowMultipleArgumentsPerToken = true };
with.Check(
    changes => new Bounds().With(changes) is not null,
    $"--with takes {string.Join(", ", typeof(Bounds).GetProperties().Where(p => p.CanWrite).Select(p => p.Name))}, each =NUMBER.");
var mutant =
    new Option<string?>("--mutant") { Description = "Puts a known bug back first, in a copy: a patch of tests/RaftKit.Simulation/Mutants, or of Mutants here.", HelpName = "NAME" };
var json = new Option<bool>("--json") { Description = "The result as one JSON object." };
var command = new RootCommand(
    "Three real cores, and every order in which messages, timeouts, writes, crashes and clients can reach them within bounds. Exits with 0 if nothing was broken in any state, 1 if something was, 2 for bad flags.")
    { scope, with, states, mutant, json };
command.SetAction(flags =>
{
    string name = flags.GetValue(scope)!;
    string[] changes = flags.GetValue(with) ?? [];
    return flags.GetValue(mutant) is { } bug
        ? Mutants.Run(bug, [.. args.Where(a => a != "--json" && a != "--mutant" && a != bug)], flags.GetValue(json))
        : Report.Run(
            string.Join(' ', [name, .. changes]), Bounds.Scopes[name].With(changes)!, flags.GetValue(states), flags.GetValue(json));
});
return await CommandLine.RunAsync(command, args);
