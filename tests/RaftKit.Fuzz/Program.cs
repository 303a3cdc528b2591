using RaftKit.Fuzz;

var wanted = Arguments.Parse(args);
if (wanted.Error is { } error)
    return Arguments.Refuse(error);
var fuzzer = new Fuzzer(wanted.Seed, wanted.Target);
if (wanted.Input is { } input)
    return fuzzer.Explain(input, Console.Out) ? 0 : 1;

var report = fuzzer.Run(wanted.Inputs);
Console.WriteLine(wanted.Json ? report.ToJson() : report.ToString());
return report.Failures.Count == 0 ? 0 : 1;
