namespace RaftKit.Node.Tests.Loop;

/// <summary>Waits for what other threads bring about.</summary>
internal static class Eventually
{
    /// <summary>Looks until it holds.</summary>
    /// <exception cref="OperationCanceledException">It did not within <paramref name="patience"/>.</exception>
    public static async Task HoldsAsync(TimeSpan patience, Func<bool> condition)
    {
        using var limit = new CancellationTokenSource(patience);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(5));
        while (!condition())
            await timer.WaitForNextTickAsync(limit.Token);
    }
}
