using System.Diagnostics;

namespace RaftKit.Chaos.Faults;

/// <summary>Who is struck, where, and what chance decides.</summary>
internal sealed record Strike(MachineRoom Room, Subject Subject, IReadOnlyList<MemberProcess> Victims, Random Random)
{
    public static readonly TimeSpan BackWithin = TimeSpan.FromSeconds(60);

    // An end is told of by then; and whoever is back has caught up by then.
    private static readonly TimeSpan Settling = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan GoneWithin = TimeSpan.FromSeconds(15);
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(50);

    public MemberProcess Victim => Victims[0];

    public int Id => Victim.Id;

    /// <summary>What all others log from now on, while they run: who starts anew tells again what it finds in its log.</summary>
    public Hearing OthersLogs() =>
        new(Subject,
        [.. Subject.Members.Where(other => other.Id != Id).Select(other => (other, Room.Log(other.Id), Room.Log(other.Id).Length))]);

    public TimeSpan Seconds(double from, double to) => TimeSpan.FromSeconds(from + ((to - from) * Random.NextDouble()));

    /// <summary>Kills the process that the victim's number has now, and waits until nothing of it runs any more.</summary>
    public async Task KillAsync()
    {
        if (Subject.Find(Id) is not { } process)
            return;
        await Command.TryAsync(null, "kill", "-KILL", $"{process.Pid}");
        await UntilAsync(() => Subject.Find(Id)?.Pid != process.Pid, GoneWithin, $"process {process.Pid} was killed and did not end");
    }

    /// <summary>Waits until the victim takes part again, under whatever process.</summary>
    public async Task BackAsync()
    {
        await Task.Delay(Settling);
        await UntilAsync(() => Subject.Find(Id) is { TakesPart: true }, BackWithin, "did not take part again");
        await Task.Delay(Settling);
    }

    /// <summary>Waits until the quorum has put a new life in the place of one that it knew, and that votes.</summary>
    /// <returns>What came of it, in words.</returns>
    public async Task<string> ReplacedAsync(int incarnation)
    {
        var began = Stopwatch.GetTimestamp();
        await UntilAsync(
            () => Subject.Find(Id) is { TakesPart: true } now && now.Incarnation > incarnation, BackWithin,
            $"was not replaced by a later life than {incarnation} that votes");
        return FormattableString.Invariant(
            $"incarnation {incarnation} was replaced by {Subject.Find(Id)?.Incarnation}, which votes {Stopwatch.GetElapsedTime(began).TotalSeconds:0.0} s later");
    }

    /// <summary>Waits for what must come.</summary>
    /// <exception cref="FindingException">It did not.</exception>
    public async Task UntilAsync(Func<bool> condition, TimeSpan within, string otherwise)
    {
        var began = Stopwatch.GetTimestamp();
        while (!condition())
        {
            if (Subject.Ended)
                throw new FindingException("the sample ended");
            if (Stopwatch.GetElapsedTime(began) > within)
                throw new FindingException($"{otherwise} within {within.TotalSeconds:0} s");
            await Task.Delay(LookEvery);
        }
    }
}
