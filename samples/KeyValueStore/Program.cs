using KeyValueStore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RaftKit.Node.Proposals;

var builder = Host.CreateApplicationBuilder(args);
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.Services.AddRaftKit().AddStateMachine<Store>();
builder.Services.AddSingleton<StoreClient>();
using var host = builder.Build();
await host.StartAsync();

var store = host.Services.GetRequiredService<StoreClient>();
Console.WriteLine("set KEY VALUE | get KEY | remove KEY | count; an empty line ends.");
while (await Console.In.ReadLineAsync() is { Length: > 0 } line)
{
    try
    {
        Console.WriteLine(line.Split(' ', 3) switch
        {
            ["set", var key, var value] => $"was '{await store.SetAsync(key, value)}'",
            ["get", var key] => await store.GetAsync(key) is { } value ? $"'{value}'" : "nothing",
            ["remove", var key] => $"was '{await store.RemoveAsync(key)}'",
            ["count"] => $"{await store.CountLocallyAsync()} keys here",
            _ => "set KEY VALUE | get KEY | remove KEY | count",
        });
    }
    catch (Exception e) when (e is ArgumentException or NotAppliedException or OutcomeUnknownException)
    {
        Console.WriteLine(e.Message);
    }
}

await host.StopAsync();
