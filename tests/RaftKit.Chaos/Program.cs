using System.CommandLine;
using RaftKit.Chaos;
using RaftKit.Chaos.Clock;
using RaftKit.Chaos.Faults;
using RaftKit.Simulation;

if (args is [ClockTrial.Verb])
    return await ClockTrial.TellAsync();
if (args is [Judgement.Verb, var kept])
    return Judgement.Tell(kept);

var members = new Option<int>("--members") { Description = "How many member processes.", DefaultValueFactory = _ => 5 };
var observers =
    new Option<int>("--observers") { Description = "How many processes beside them observe the quorum.", DefaultValueFactory = _ => 1 };
var runFor = new Option<double>("--run-for") { Description = "Seconds of faults.", DefaultValueFactory = _ => 120 };
var seed = new Option<int>("--seed") { Description = "Draws which faults strike whom, and when.", DefaultValueFactory = _ => 1 };
var history =
    new Option<string?>("--history") { Description = "Keeps what clients did and were told, one JSON object a line.", HelpName = "FILE" };
var faults =
    new Option<string?>("--faults") { Description = "Which kinds of fault strike, comma separated. Default: all.", HelpName = "LIST" };
var json = new Option<bool>("--json") { Description = "One JSON object a line, the summary last." };
members.Check(count => count is >= 3 and <= 7, "--members must be 3 to 7: faults strike fewer than half of them at a time.");
observers.Check(count => count is >= 0 and <= 3, "--observers must be 0 to 3.");
runFor.Check(length => length is >= 10 and <= 86_400, "--run-for must be 10 to 86400 seconds.");
seed.Check(_ => true, "--seed must be a whole number.");
history.Check(file => CommandLine.WhyNotWritten("--history", file!), "");
faults.Check(list => Chosen(list).Count > 0, $"--faults must name some of {string.Join(", ", Fault.All.Select(fault => fault.Name))}.");

var command = new RootCommand(
    "Real member processes under real faults, with clients whose history is checked. Exits with 0 if nothing was lost and the history is linearizable, "
    + "1 if not, 2 for bad flags or where something that it needs is missing, 130 if it was interrupted before it could tell.") { members,
        observers, runFor, seed, faults, history, json };
command.SetAction((flags, _) => new ChaosRun(new ChaosOptions
{
    Members = flags.GetValue(members),
    Observers = flags.GetValue(observers),
    RunFor = TimeSpan.FromSeconds(flags.GetValue(runFor)),
    Seed = flags.GetValue(seed),
    Faults = Chosen(flags.GetValue(faults)),
    History = flags.GetValue(history),
    Json = flags.GetValue(json),
}).RunAsync());
return await CommandLine.RunAsync(command, args);

// None where one of them does not exist.
static IReadOnlyList<Fault> Chosen(string? list)
{
    if (list is null)
        return Fault.All;
    var names = list.Split(',');
    Fault[] chosen = [.. Fault.All.Where(fault => names.Contains(fault.Name))];
    return chosen.Length == names.Length ? chosen : [];
}
