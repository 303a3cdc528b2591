using Xunit;

namespace RaftKit.Tests;

/// <summary>
/// What the repository's programs say to flags that they cannot follow: what is wrong, and exit code 2, which is neither success nor a
/// finding. Those of the chaos run and of the sample are in <see cref="ChaosTests"/> and <see cref="PartitionLeadersTests"/>.
/// </summary>
public sealed class CommandLineTests
{
    private const string Simulation = "tests/RaftKit.Simulation", Fuzz = "tests/RaftKit.Fuzz", Exhaustive = "tests/RaftKit.Exhaustive",
        Chaos = "tests/RaftKit.Chaos", Load = "perf/RaftKit.Load", Sample = "samples/PartitionLeaders";

    /// <summary>Each program, each message that is its own, and the flags.</summary>
    public static TheoryData<string, string, string> Wrong { get; } = new()
    {
        { Simulation, "--jobs must be 1 to 1024.", "--jobs many" },
        { Simulation, "--seconds must be 0 to 86400.", "--seconds NaN" },
        { Simulation, "--seeds takes a range as 1..500, not '5..1'.", "--seeds 5..1" },
        { Simulation, "--seed must be a whole number, 0 or more.", "--seed -1" },
        { Simulation, "--invariant must be 1 to 37: README.md has their numbers.", "--invariant 38" },
        { Simulation, "Only one of --seeds, --seed and --list-mutants can be asked for.", "--seed 1 --seeds 1..2" },
        { Simulation, "Only one of --mutant, --mutants, --list-mutants and --seed can be asked for.", "--mutants --seed 1" },
        { Simulation, "--trace and --history look at one run: say which with --seed N.", "--trace" },
        { Simulation, "--history is '/nowhere/history', and there is no folder /nowhere.", "--seed 1 --history /nowhere/history" },
        { Simulation, "There is no mutant nobody; --list-mutants names them.", "--mutant nobody" },
        { Simulation, "Unrecognized command or argument '--frobnicate'.", "--frobnicate" },
        { Fuzz, "--inputs must be 1 or more.", "--inputs all" },
        { Fuzz, "--input is the number that a failure named, 0 or more.", "--input -1" },
        { Fuzz, "--seed must be a whole number, 0 or more.", "--seed -1" },
        { Fuzz, "Argument 'nothing' not recognized. Must be one of:", "--target nothing" },
        { Exhaustive, "--states must be 1 to 500000000.", "--states all" },
        { Exhaustive, "--with takes ", "--with elections" },
        { Exhaustive, "Argument 'nothing' not recognized. Must be one of:", "--scope nothing" },
        { Exhaustive, "There is no mutant nobody.", "--mutant nobody" },
        { Chaos, "--members must be 3 to 7", "--members three" },
        { Chaos, "--history is '/nowhere/history', and there is no folder /nowhere.", "--history /nowhere/history" },
        { Chaos, "--history must name a file, not '/'.", "--history /" },
        { Load, "--members must be a whole number from 1 to 7, but is '0'.", "writes --members 0" },
        { Load, "--size must be a whole number from 0 to 1048576, but is 'big'.", "reads --size big" },
        { Load, "Unrecognized command or argument '--freeze'.", "writes --freeze" },
        { Load, "Required command was not provided.", "" },
        { Sample, "--addresses must give one address for each of the 3 brokers, but is '127.0.0.1:1'.", "--addresses 127.0.0.1:1" },
        { Sample, "--brokers must be a whole number from 1 to 7, but is 'all'.", "--brokers all --addresses 127.0.0.1:1" },
        { Sample, "--leader-lease must be 0, or at least two heartbeats (60), but is 30.", "--leader-lease 30" },
        { Sample, "Could not find a part of the path '/nowhere/history'.", "--history /nowhere/history" },
    };

    [Theory, MemberData(nameof(Wrong))]
    public async Task A_flag_that_cannot_be_followed_is_named_and_is_no_finding(string program, string message, string flags)
    {
        var run = await ProgramRun.OfAsync(program, flags.Split(' ', StringSplitOptions.RemoveEmptyEntries));

        Assert.True(run.ExitCode == 2, run.ToString());
        Assert.Contains(message, run.Errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", run.Errors, StringComparison.Ordinal);
        Assert.Empty(run.Output);
    }
}
