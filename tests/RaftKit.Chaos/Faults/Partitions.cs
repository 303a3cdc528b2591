using RaftKit.Chaos.Network;

namespace RaftKit.Chaos.Faults;

/// <summary>All of a member's connections end, as by a middlebox that forgot them: resets to both sides.</summary>
internal sealed record Reset() : Fault("reset")
{
    public override async Task<string> StrikeAsync(Strike strike) =>
        $"{await strike.Room.Network.ResetAsync(strike.Victim.Id)} connections reset";
}

/// <summary>A member hears nobody and is heard by nobody. Nobody is told: packets are dropped.</summary>
internal sealed record Isolate() : Fault("isolate")
{
    public override async Task<string> StrikeAsync(Strike strike)
    {
        var (id, lasts) = (strike.Victim.Id, strike.Seconds(0.3, strike.Random.Next(3) == 0 ? 6 : 2));
        await using (await strike.Room.Links.CutAsync(Topology.Between([id], strike.Room.Links.Others(id))))
            await Task.Delay(lasts);
        return $"cut off from all others for {lasts.TotalSeconds:0.0} s";
    }
}

/// <summary>Only one direction is lost: a member is not heard, or hears nothing, of one other or of all.</summary>
internal sealed record OneWay() : Fault("one-way")
{
    public override async Task<string> StrikeAsync(Strike strike)
    {
        var (id, lasts) = (strike.Victim.Id, strike.Seconds(0.3, 4));
        var all = strike.Room.Links.Others(id);
        var others = strike.Random.Next(2) == 0 ? all : [all.ElementAt(strike.Random.Next(all.Count))];
        var mute = strike.Random.Next(2) == 0;
        await using (await strike.Room.Links.CutAsync(mute ? Topology.From([id], others) : Topology.From(others, [id])))
            await Task.Delay(lasts);
        return $"{(mute ? "is not heard by" : "does not hear")} {string.Join(", ", others)} for {lasts.TotalSeconds:0.0} s";
    }
}

/// <summary>A minority and a majority, the leader on either side.</summary>
internal sealed record Split() : Fault("split")
{
    public override bool Wide => true;

    public override async Task<string> StrikeAsync(Strike strike)
    {
        var lasts = strike.Seconds(0.5, strike.Random.Next(3) == 0 ? 6 : 3);
        var ids = strike.Victims.Where(v => !v.IsObserver).Select(v => v.Id).ToArray();
        var observers = strike.Victims.Where(v => v.IsObserver).Select(v => v.Id).ToLookup(_ => strike.Random.Next(2));
        int[] few = [.. ids[..((ids.Length - 1) / 2)], .. observers[0]];
        int[] many = [.. ids[((ids.Length - 1) / 2)..], .. observers[1]];
        await using (await strike.Room.Links.CutAsync(Topology.Between(few, many)))
            await Task.Delay(lasts);
        return $"{string.Join(", ", few)} cut off from {string.Join(", ", many)} for {lasts.TotalSeconds:0.0} s";
    }
}

/// <summary>
/// Two halves that see each other only through one member that both see: a majority is there, and no two of its members agree on who is.
/// </summary>
internal sealed record Bridge() : Fault("bridge")
{
    public override bool Wide => true;

    public override async Task<string> StrikeAsync(Strike strike)
    {
        var lasts = strike.Seconds(0.5, 4);
        var ids = strike.Victims.Where(v => !v.IsObserver).Select(v => v.Id).ToArray();
        var observers = strike.Victims.Where(v => v.IsObserver).Select(v => v.Id).ToLookup(_ => strike.Random.Next(2));
        var middle = ids.Length / 2;
        int[] one = [.. ids[..middle], .. observers[0]];
        int[] other = [.. ids[(middle + 1)..], .. observers[1]];
        await using (await strike.Room.Links.CutAsync(Topology.Between(one, other)))
            await Task.Delay(lasts);
        return $"{string.Join(", ", one)} and {string.Join(", ", other)} only see {ids[middle]} for {lasts.TotalSeconds:0.0} s";
    }
}

/// <summary>Some percent of a member's packets are lost, in and out.</summary>
internal sealed record Loss() : Fault("loss")
{
    public override async Task<string> StrikeAsync(Strike strike)
    {
        var (percent, lasts) = (strike.Random.Next(3, 40), strike.Seconds(1, 5));
        await using (await strike.Room.Links.LoseAsync(strike.Victim.Id, percent))
            await Task.Delay(lasts);
        return $"{percent} % of packets lost for {lasts.TotalSeconds:0.0} s";
    }
}
