using System.Globalization;

namespace RaftKit.Fuzz;

/// <summary>What the command line asks for.</summary>
internal sealed record Arguments
{
    private const string Usage = """
        RaftKit.Fuzz: damaged peer frames, log files and snapshot files, all drawn from one seed.
          [--inputs N] [--seed S] [--target NAME] [--json]   run N inputs (1,000,000); exit code 1 if any is not handled
          --input K [--seed S] [--target NAME]               run one input again, and tell what happens
        """;

    public long Inputs { get; init; } = 1_000_000;

    public ulong Seed { get; init; } = 1;

    public long? Input { get; init; }

    public string? Target { get; init; }

    public bool Json { get; init; }

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
                    continue;
                case "--inputs" when long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var inputs) && inputs > 0:
                    wanted = wanted with { Inputs = inputs };
                    break;
                case "--seed" when ulong.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var seed):
                    wanted = wanted with { Seed = seed };
                    break;
                case "--input" when long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var input):
                    wanted = wanted with { Input = input };
                    break;
                case "--target" when Fuzzer.Targets.Contains(value):
                    wanted = wanted with { Target = value };
                    break;
                case "--target":
                    return wanted with { Error = $"There is no target {value}; there are {string.Join(", ", Fuzzer.Targets)}." };
                default:
                    return wanted with { Error = $"Not understood: {args[i]} {value}".TrimEnd() };
            }
            i++;
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
