namespace RaftKit.Simulation;

/// <summary>
/// Runs seeds on a mutant until one fails that passes on the clean code. One that fails on both shows a fault of a check, or of the
/// product, and nothing of the mutant: seed 519 once "caught" several in this way.
/// </summary>
/// <param name="onMutant">Runs seeds up to the first that fails there; null if none does.</param>
/// <param name="onClean">Runs one seed without the bug, judged by the same checks: what it breaks there, or null.</param>
/// <param name="say">Hears of each seed that proves nothing.</param>
internal sealed class MutantHunt(Func<ulong, ulong, MutantHunt.Catch?> onMutant, Func<ulong, string?> onClean, Action<string> say)
{
    /// <returns>The first seed that the mutant alone fails; null if there is none.</returns>
    public Catch? Run(ulong from, ulong to)
    {
        while (from <= to && onMutant(from, to) is { } caught)
        {
            if (onClean(caught.Seed) is not { } failed)
                return caught;
            say($"seed {caught.Seed} fails on the clean code as well, which must be looked into, and proves nothing: {failed}");
            if (caught.Seed == ulong.MaxValue)
                return null;
            from = caught.Seed + 1;
        }
        return null;
    }

    /// <param name="Seed">The seed that failed.</param>
    /// <param name="What">What it broke.</param>
    internal sealed record Catch(ulong Seed, string What);
}
