using System.CommandLine;
using RaftKit.Fuzz;
using RaftKit.Simulation;

var inputs =
    new Option<long>("--inputs") { Description = "How many damaged inputs.", HelpName = "N", DefaultValueFactory = _ => 1_000_000 };
var seed = new Option<ulong>("--seed") { Description = "Draws all of them.", HelpName = "S", DefaultValueFactory = _ => 1 };
var target = new Option<string?>("--target") { Description = $"Only one of {string.Join(", ", Fuzzer.Targets)}.", HelpName = "NAME" };
var input = new Option<long?>("--input") { Description = "Runs one input again, and tells what happens.", HelpName = "K" };
var json = new Option<bool>("--json") { Description = "The result as one JSON object." };
inputs.Check(count => count > 0, "--inputs must be 1 or more.");
seed.Check(_ => true, "--seed must be a whole number, 0 or more.");
input.Check(number => number >= 0, "--input is the number that a failure named, 0 or more.");
target.AcceptOnlyFromAmong([.. Fuzzer.Targets]);

var command = new RootCommand(
    "Damaged peer frames, log files and snapshot files. Exits with 0 if all are handled, 1 if one is not.") { inputs, seed, target, input,
    json };
command.SetAction(flags =>
{
    var fuzzer = new Fuzzer(flags.GetValue(seed), flags.GetValue(target));
    if (flags.GetValue(input) is { } one)
        return fuzzer.Explain(one, Console.Out) ? 0 : 1;
    var report = fuzzer.Run(flags.GetValue(inputs));
    Console.WriteLine(flags.GetValue(json) ? report.ToJson() : report.ToString());
    return report.Failures.Count == 0 ? 0 : 1;
});
return await CommandLine.RunAsync(command, args);
