using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using RaftKit.Simulation;

const int Invariants = 37;

var seeds =
    new Option<(ulong From, ulong To)?>("--seeds") { Description = "Runs seeds A to B; exits with 1 if any fails. 1..100 by default, 1..1000 for mutants.", HelpName = "A..B", CustomParser = ToRange };
var stopAtFirst = new Option<bool>("--stop-at-first") { Description = "Ends a sweep at its first failure." };
var jobs = new Option<int>("--jobs") { Description = "How many seeds at once, one a thread.", HelpName = "N", DefaultValueFactory = _ =>
    Environment.ProcessorCount };
var seconds =
    new Option<double>("--seconds") { Description = "How long each seed lasts at the least, in simulated seconds; 0: as its seed draws it.",
    HelpName = "S" };
var seed = new Option<ulong?>("--seed") { Description = "Runs one seed.", HelpName = "N" };
var trace = new Option<bool>("--trace") { Description = "With --seed: prints every event." };
var hash = new Option<bool>("--hash") { Description = "Prints the hash of all that was delivered, of one seed or of each, equal in every process." };
var history =
    new Option<string?>("--history") { Description = "With --seed: writes what clients did and were told, one JSON object a line.",
    HelpName = "FILE" };
var invariants =
    new Option<int[]>("--invariant") { Description = "Judges by this invariant (README.md has their numbers) alone; may be given several times.", HelpName = "N" };
var listMutants = new Option<bool>("--list-mutants") { Description = "Names known bugs, which are patches of the product's code." };
var mutant =
    new Option<string?>("--mutant") { Description = "Puts one back into a copy, and runs seeds until it is caught; exits with 1 if it is not.", HelpName = "NAME" };
var mutants = new Option<bool>("--mutants") { Description = "All of them, a line each." };
var json = new Option<bool>("--json") { Description = "Results as JSON, one object a line." };
jobs.Check(count => count is >= 1 and <= 1024, "--jobs must be 1 to 1024.");
seconds.Check(atLeast => atLeast is >= 0 and <= 86_400, "--seconds must be 0 to 86400.");
seed.Check(_ => true, "--seed must be a whole number, 0 or more.");
invariants.Check(numbers => numbers.All(n => n is >= 1 and <= Invariants), $"--invariant must be 1 to {Invariants}: README.md has their numbers.");
history.Check(file => CommandLine.WhyNotWritten("--history", file!), "");

var command = new RootCommand("Whole clusters, simulated, each wholly drawn from its seed.")
{
    seeds, stopAtFirst, jobs, seconds, seed, invariants, trace, hash, history, listMutants, mutant, mutants, json,
};
command.Validators.Add(all =>
{
    var modes = new Option[] { seeds, seed, listMutants }.Count(mode => all.GetResult(mode) is { Implicit: false });
    var hunts = new Option[] { mutant, mutants, listMutants, seed }.Count(mode => all.GetResult(mode) is { Implicit: false });
    Check(all, hunts <= 1, "Only one of --mutant, --mutants, --list-mutants and --seed can be asked for.");
    Check(all, modes <= 1, "Only one of --seeds, --seed and --list-mutants can be asked for.");
    Check(all, all.GetResult(seed) is { Implicit: false }
        || !new Option[] { trace, history }.Any(flag => all.GetResult(flag) is { Implicit: false }),
        "--trace and --history look at one run: say which with --seed N.");
});
command.SetAction(flags =>
{
    var wanted = flags.GetValue(seeds);
    var isJson = flags.GetValue(json);
    var judgedBy = flags.GetValue(invariants) ?? [];
    var atLeast = TimeSpan.FromSeconds(flags.GetValue(seconds));
    if (flags.GetValue(listMutants))
        return Mutants.List();
    if (flags.GetValue(mutants))
        return Mutants.RunAll(wanted ?? (1, 1000), isJson);
    if (flags.GetValue(mutant) is { } name)
        return Mutants.Run(name, wanted ?? (1, 1000), isJson);
    return flags.GetValue(seed) is { } one
        ? OneSeed.Run(one, atLeast, judgedBy, flags.GetValue(trace), flags.GetValue(hash), isJson, flags.GetValue(history))
        : Sweep.Run(wanted ?? (1, 100), atLeast, judgedBy, isJson, flags.GetValue(hash), flags.GetValue(stopAtFirst), flags.GetValue(jobs));
});
return await CommandLine.RunAsync(command, args);

static (ulong From, ulong To)? ToRange(ArgumentResult argument)
{
    var text = argument.Tokens.Single().Value;
    if (text.Split("..") is [var first, var last] && ulong.TryParse(first, NumberStyles.None, CultureInfo.InvariantCulture, out var from)
        && ulong.TryParse(last, NumberStyles.None, CultureInfo.InvariantCulture, out var to) && from <= to)
    {
        return (from, to);
    }
    argument.AddError($"--seeds takes a range as 1..500, not '{text}'.");
    return null;
}

static void Check(SymbolResult flag, bool holds, string otherwise)
{
    if (!holds)
        flag.AddError(otherwise);
}
