namespace RaftKit.Recipes.Election;

/// <summary>
/// Waits longer from one refusal to the next (2 ms doubling to 256 ms), so that a busy or leaderless quorum is not flooded with retries.
/// </summary>
internal sealed class Pace(TimeProvider time)
{
    private static readonly TimeSpan First = TimeSpan.FromMilliseconds(2);
    private static readonly TimeSpan Longest = TimeSpan.FromMilliseconds(256);

    private TimeSpan _next = First;

    public Task WaitAsync(CancellationToken cancellationToken)
    {
        var delay = _next;
        _next = _next * 2 > Longest ? Longest : _next * 2;
        return Task.Delay(delay, time, cancellationToken);
    }
}
