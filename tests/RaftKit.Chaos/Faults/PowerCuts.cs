using RaftKit.Chaos.Disk;
using RaftKit.Chaos.Network;

namespace RaftKit.Chaos.Faults;

/// <summary>
/// A member's machine loses its power: nobody is told (its links are silent), its file system keeps what was synced and perhaps nothing
/// else, the process is gone. When the power is back, the journal is replayed and the member starts on what is there. All that it
/// acknowledged must be.
/// </summary>
internal sealed record PowerOff() : Fault("power-cut")
{
    public override async Task<string> StrikeAsync(Strike strike)
    {
        var (room, id, random) = (strike.Room, strike.Victim.Id, strike.Random);
        var how = (PowerCut)random.Next(3);
        // The hardest one more often: only it shows what was never synced.
        how = random.Next(2) == 0 ? PowerCut.NothingWritten : how;
        var (check, off) = (random.Next(2) == 0, strike.Seconds(0.1, 3));
        await using (await room.Links.CutAsync(Topology.Between([id], room.Links.Others(id))))
        {
            using (room.HoldOff(id))
            {
                room.Disk(id).CutPower(how);
                await Command.TryAsync(null, "kill", "-KILL", $"{strike.Victim.Pid}");
                await Task.Delay(off);
                await room.Disk(id).ComeBackAsync(check);
            }
        }

        return $"power cut ({how}), back after {off.TotalSeconds:0.0} s, {(check ? "checked, then mounted" : "mounted")}";
    }
}

/// <summary>All machines lose their power at once. Whatever was acknowledged must be on a majority of their disks.</summary>
internal sealed record Blackout() : Fault("blackout")
{
    public override bool Wide => true;

    public override async Task<string> StrikeAsync(Strike strike)
    {
        var (room, off) = (strike.Room, strike.Seconds(0.1, 1));
        var switches = strike.Victims.Select(victim => room.HoldOff(victim.Id)).ToArray();
        foreach (var victim in strike.Victims)
            room.Disk(victim.Id).CutPower(PowerCut.NothingWritten);
        await Command.TryAsync(null, "kill", ["-KILL", .. strike.Victims.Select(victim => $"{victim.Pid}")]);
        await Task.Delay(off);
        await Task.WhenAll(strike.Victims.Select(victim => room.Disk(victim.Id).ComeBackAsync(check: false)));
        foreach (var held in switches)
            held.Dispose();
        return $"all lost their power, back after {off.TotalSeconds:0.0} s";
    }
}
