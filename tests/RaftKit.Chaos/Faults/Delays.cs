using RaftKit.Chaos.Network;

namespace RaftKit.Chaos.Faults;

/// <summary>
/// What a member sends and receives takes longer, and not always as long. In the end its connections are torn apart, some in the middle of
/// a frame.
/// </summary>
internal sealed record Delay() : Fault("delay")
{
    public override async Task<string> StrikeAsync(Strike strike)
    {
        var (least, spread, lasts) = (strike.Seconds(0.001, 0.03), strike.Seconds(0, 0.03), strike.Seconds(1, 5));
        int connections;
        await using (var detour = await strike.Room.Detours.OpenAsync(
            strike.Victim.Id, new Weather(least, least + spread, strike.Random.Next())))
        {
            await Task.Delay(lasts);
            connections = detour.Connections;
            detour.Tear();
            await Task.Delay(strike.Seconds(0.05, 0.3));
        }

        return $"{connections} connections take {least.TotalMilliseconds:0} to {(least + spread).TotalMilliseconds:0} ms each way for {lasts.TotalSeconds:0.0} s, then are torn";
    }
}

/// <summary>A member's connections stay up and carry nothing, in either direction; later all that was sent arrives at once.</summary>
internal sealed record Stall() : Fault("stall")
{
    public override async Task<string> StrikeAsync(Strike strike)
    {
        var (lasts, before) = (strike.Seconds(0.1, strike.Random.Next(3) == 0 ? 4 : 1.5), strike.Seconds(0.3, 1));
        var weather = new Weather(TimeSpan.Zero, TimeSpan.FromMilliseconds(2), strike.Random.Next());
        int connections;
        await using (var detour = await strike.Room.Detours.OpenAsync(strike.Victim.Id, weather))
        {
            await Task.Delay(before);
            await using (await strike.Room.Links.ExcuseAsync(strike.Victim.Id))
            {
                weather.Stall();
                await Task.Delay(lasts);
                weather.Flow();
            }

            await Task.Delay(before);
            connections = detour.Connections;
        }

        return $"{connections} connections carry nothing for {lasts.TotalSeconds:0.0} s, then all of it";
    }
}
