using RaftKit.Simulation;
using Xunit;

namespace HouseTests;

/// <summary>What the simulator's mutant command counts as caught.</summary>
public sealed class MutantHuntTests
{
    private readonly List<string> _said = [];

    [Fact]
    public void A_mutant_is_caught_by_the_first_seed_that_fails_on_it_and_passes_on_the_clean_code() =>
        Assert.Equal(7ul, Hunt(onMutant: [7, 9], onClean: [3]).Run(1, 10)?.Seed);

    [Fact]
    public void A_seed_that_fails_on_the_clean_code_as_well_is_named_and_does_not_count()
    {
        Assert.Equal(9ul, Hunt(onMutant: [7, 9], onClean: [7]).Run(1, 10)?.Seed);
        Assert.StartsWith("seed 7 fails on the clean code as well", Assert.Single(_said));
    }

    [Fact]
    public void A_mutant_that_only_fails_where_the_clean_code_fails_is_not_caught()
    {
        Assert.Null(Hunt(onMutant: [7, 10], onClean: [7, 10]).Run(1, 10));
        Assert.Equal(2, _said.Count);
    }

    [Fact]
    public void A_mutant_that_no_seed_fails_is_not_caught_and_the_clean_code_is_not_run()
    {
        Assert.Null(new MutantHunt((_, _) => null, seed => throw new InvalidOperationException($"{seed} was run"), _said.Add).Run(1, 10));
        Assert.Empty(_said);
    }

    private MutantHunt Hunt(ulong[] onMutant, ulong[] onClean) => new(
        (from, to) =>
            onMutant.Where(seed => seed >= from && seed <= to).Select(
                seed => new MutantHunt.Catch(seed, "invariant 1: two leaders")).FirstOrDefault(),
        seed => onClean.Contains(seed) ? "liveness: no leader" : null,
        _said.Add);
}
