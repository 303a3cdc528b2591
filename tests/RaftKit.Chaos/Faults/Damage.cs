using RaftKit.Chaos.Disk;

namespace RaftKit.Chaos.Faults;

/// <summary>
/// A member comes back with nothing: it must never vote again as who it was, and a new life takes its place (DESIGN, promise 4). An
/// observer just begins anew.
/// </summary>
internal sealed record Wipe() : Fault("wipe")
{
    public override bool Damages => true;

    public override async Task<string> StrikeAsync(Strike strike)
    {
        using (strike.Room.HoldOff(strike.Id))
        {
            await strike.KillAsync();
            strike.Room.Disk(strike.Id).Empty();
        }

        const string What = "SIGKILL, its directory emptied";
        return strike.Victim.IsObserver ? What : $"{What}: {await strike.ReplacedAsync(strike.Victim.Incarnation)}";
    }
}

/// <summary>
/// A member comes back with an older copy of its directory, taken while it was stopped: it has forgotten what it promised since. The others
/// must tell it so and it must stop, and no later start in that directory may do otherwise; emptied, it comes back as a new life. An
/// observer promised nothing: it goes on, and must repeat no number of what it proposed since.
/// </summary>
internal sealed record Rollback() : Fault("rollback")
{
    private static readonly TimeSpan NoticedWithin = TimeSpan.FromSeconds(30);

    public override bool Damages => true;

    public override async Task<string> StrikeAsync(Strike strike)
    {
        var (room, id) = (strike.Room, strike.Id);
        var incarnation = strike.Victim.Incarnation;
        DirectoryCopy copy;
        using (room.HoldOff(id))
        {
            await strike.KillAsync();
            copy = room.Disk(id).Copy();
        }

        await strike.BackAsync();
        var goesOn = strike.Seconds(0.5, 4);
        await Task.Delay(goesOn);
        using (room.HoldOff(id))
        {
            await strike.KillAsync();
            room.Disk(id).PutBack(copy);
        }

        var what = FormattableString.Invariant($"SIGKILL, its directory as it was {goesOn.TotalSeconds:0.0} s of its life before");
        if (strike.Victim.IsObserver)
            return what;
        await NoticedAsync(strike);
        // Each later start refuses by itself: it would take part otherwise.
        using (room.HoldOff(id))
        {
            await strike.KillAsync();
            room.Disk(id).Empty();
        }

        return $"{what}; it was told, and stopped; emptied: {await strike.ReplacedAsync(incarnation)}";
    }

    // The process that starts on the copy ends by itself; the one after that, by what the first has noted in the directory.
    private static async Task NoticedAsync(Strike strike)
    {
        var log = strike.Room.Log(strike.Id);
        var from = log.Length;
        await strike.UntilAsync(
            () => log.Since(from).Contains("is an old copy, as member", StringComparison.Ordinal), NoticedWithin,
            "an old copy of its directory was put back, and nobody told it so");
        await strike.UntilAsync(
            () => log.Since(from).Contains("was found to be an old copy", StringComparison.Ordinal), NoticedWithin,
            "an old copy of its directory, told once, was not refused by the next start");
    }
}

/// <summary>
/// One bit of what a member had made durable flips while it is down: it must start, notice, get it again from the leader and go on.
/// </summary>
internal sealed record Rot() : Fault("rot")
{
    private static readonly TimeSpan RepairedWithin = TimeSpan.FromSeconds(30);

    public override bool Damages => true;

    public override async Task<string> StrikeAsync(Strike strike)
    {
        var (room, id) = (strike.Room, strike.Id);
        BitRot? rot;
        long from;
        using (room.HoldOff(id))
        {
            await strike.KillAsync();
            rot = await BitRot.StrikeAsync(room.Disk(id).Folder, strike.Random);
            from = room.Log(id).Length;
        }

        await strike.BackAsync();
        if (rot is null)
            return "SIGKILL; no bit of what is on its disk could flip and leave it a member";
        if (!rot.IsNeeded)
            return $"{rot.What}: not needed any more";
        await strike.UntilAsync(
            () => room.Log(id).Since(from).Contains("has again all that it could not read", StringComparison.Ordinal), RepairedWithin,
            $"{rot.What}: it was not repaired");
        return $"{rot.What}: fetched again";
    }
}
