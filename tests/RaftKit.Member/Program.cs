using System.Globalization;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using RaftKit.Node.Reads;
using RaftKit.Znodes;

// A member in a process of its own, which does nothing unless a line of its input says so: for tests in which nobody else may write. Its
// log goes to its output, answers begin with '>'.
const string Ephemerals = "/ephemerals";
var builder = Host.CreateEmptyApplicationBuilder(null);
builder.Configuration.AddCommandLine(args);
builder.Logging.AddSimpleConsole(console => console.SingleLine = true);
builder.Services.AddRaftKit();
using var host = builder.Build();
await host.StartAsync();
var session = host.Services.GetRequiredService<IZnodeSession>();
var view = host.Services.GetRequiredService<IZnodeView>();
try
{
    await session.CreateAsync(Ephemerals, default);
}
catch (ZnodeException exists) when (exists.Error == ZnodeError.NodeExists)
{
    // Another member was first.
}

await session.CreateAsync($"{Ephemerals}/{builder.Configuration["RaftKit:Member"]}", default, CreateMode.Ephemeral);
Answer("registered");
while (await Console.In.ReadLineAsync() is { } line)
{
    switch (line)
    {
        case "read":
            Answer((await view.ReadAsync(v => v.Get(Ephemerals)!.Stat.Version, ReadConsistency.Linearizable)).Value.ToString(
                CultureInfo.InvariantCulture));
            break;
        case "write":
            Answer((await session.SetAsync(Ephemerals, default)).Version.ToString(CultureInfo.InvariantCulture));
            break;
        case "ephemerals":
            var found = await view.ReadAsync(
                v => v.GetChildren(Ephemerals)!.Names.Order(StringComparer.Ordinal).Select(
                    name => $"{name} of {v.Get($"{Ephemerals}/{name}")!.Stat.EphemeralOwner:x}").ToArray(), ReadConsistency.Linearizable);
            Answer(string.Join(", ", found.Value));
            break;
    }
}

await host.StopAsync();

static void Answer(string what) => Console.WriteLine($"> {what}");
