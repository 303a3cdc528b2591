using System.Globalization;

namespace RaftKit.Simulation;

/// <summary>What the command line asks for.</summary>
internal sealed record Arguments
{
    private const string Usage = """
        RaftKit.Simulation: whole clusters, simulated from one seed each.
          --seeds A..B [--json] [--stop-at-first] [--jobs N]   run seeds A to B; exit code 1 if any fails
          --seed N [--trace] [--hash] [--json] [--history F]   run one seed; --trace prints every event, F gets what clients saw
          --list-mutants                                       known bugs, as patches of the product's code
          --mutant NAME [--seeds A..B] [--json]                apply one to a copy, and run seeds (1..1000) until it is caught
          --mutants [--seeds A..B] [--json]                    all of them, a line each
        """;

    private (ulong From, ulong To)? _seeds;

    public (ulong From, ulong To) Seeds => _seeds ?? (AllMutants || Mutant is not null ? (1UL, 1000UL) : (1UL, 100UL));

    public ulong? Seed { get; init; }

    public bool Json { get; init; }

    public bool Trace { get; init; }

    public bool Hash { get; init; }

    public string? History { get; init; }

    public bool StopAtFirst { get; init; }

    public bool ListMutants { get; init; }

    public string? Mutant { get; init; }

    public bool AllMutants { get; init; }

    public int Jobs { get; init; } = Environment.ProcessorCount;

    public string? Error { get; init; }

    public static Arguments Parse(string[] args)
    {
        var wanted = new Arguments();
        for (var i = 0; i < args.Length; i++)
        {
            var value = i + 1 < args.Length ? args[i + 1] : "";
            switch (args[i])
            {
                case "--json":
                    wanted = wanted with { Json = true };
                    break;
                case "--trace":
                    wanted = wanted with { Trace = true };
                    break;
                case "--hash":
                    wanted = wanted with { Hash = true };
                    break;
                case "--stop-at-first":
                    wanted = wanted with { StopAtFirst = true };
                    break;
                case "--list-mutants":
                    wanted = wanted with { ListMutants = true };
                    break;
                case "--mutants":
                    wanted = wanted with { AllMutants = true };
                    break;
                case "--seed" when ulong.TryParse(value, CultureInfo.InvariantCulture, out var seed):
                    wanted = wanted with { Seed = seed };
                    i++;
                    break;
                case "--jobs" when int.TryParse(value, CultureInfo.InvariantCulture, out var jobs) && jobs > 0:
                    wanted = wanted with { Jobs = jobs };
                    i++;
                    break;
                case "--history" when value.Length > 0:
                    wanted = wanted with { History = value };
                    i++;
                    break;
                case "--mutant" when value.Length > 0:
                    wanted = wanted with { Mutant = value };
                    i++;
                    break;
                case "--seeds" when value.Split("..") is [var first, var last]
                    && ulong.TryParse(first, CultureInfo.InvariantCulture, out var from)
                    && ulong.TryParse(last, CultureInfo.InvariantCulture, out var to) && from <= to:
                    wanted = wanted with { _seeds = (from, to) };
                    i++;
                    break;
                default:
                    return wanted with { Error = $"Not understood: {args[i]} {value}".TrimEnd() };
            }
        }
        return wanted;
    }

    public static int Refuse(string error)
    {
        Console.Error.WriteLine(error);
        Console.Error.WriteLine(Usage);
        return 2;
    }
}
