using System.Text;
using KeyValueStore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;

var builder = Host.CreateApplicationBuilder(args);
builder.Logging.SetMinimumLevel(LogLevel.Warning);
builder.Services.AddRaftKit().AddStateMachine<Store>();
using var host = builder.Build();
await host.StartAsync();

var store = host.Services.GetRequiredService<IReplicated<Store>>();
Console.WriteLine("KEY=VALUE sets, KEY= removes, KEY reads; an empty line ends.");
while (await Console.In.ReadLineAsync() is { Length: > 0 } line)
{
    try
    {
        Console.WriteLine(line.Contains('=')
            ? $"was '{Encoding.UTF8.GetString((await store.ProposeAsync(Encoding.UTF8.GetBytes(line))).Span)}'"
            : $"is '{await store.ReadAsync(machine => machine.Values.GetValueOrDefault(line))}'");
    }
    catch (Exception e) when (e is ArgumentException or NotAppliedException or OutcomeUnknownException)
    {
        Console.WriteLine(e.Message);
    }
}

await host.StopAsync();
