using System.Diagnostics;

namespace RaftKit.Chaos.Network;

/// <summary>
/// A network of its own: each member in a network namespace, all of them on a bridge in another one. Nothing of it can be reached from
/// outside, and nothing outside from it, so every run has the same addresses. Members see each other at 10.83.0.ID; the bridge also has
/// 10.83.1.ID, from which a proxy dials for that member.
/// </summary>
internal sealed class MemberNetwork(string run, IReadOnlyList<int> processes) : IAsyncDisposable
{
    public const int Port = 16_000;
    public const string Hub = "10.83.0.254";
    private const string Bridge = "bridge";
    private static readonly TimeSpan EndWithin = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(20);

    private string HubNamespace => $"{run}-hub";

    public string HubPath => PathOf(HubNamespace);

    private string Namespace(int member) => $"{run}-{member}";

    public string NamespacePath(string member) => PathOf($"{run}-{member}");

    public static string Address(int member) => $"10.83.0.{Host(member)}";

    /// <summary>Where a member's connections come from when they go through a proxy.</summary>
    public static string Substitute(int member) => $"10.83.1.{Host(member)}";

    // Observers are numbered from 256.
    private static int Host(int member) => member <= byte.MaxValue ? member : 200 + (member % 256);

    public async Task BuildAsync()
    {
        await Ip($"netns add {HubNamespace}");
        await InHub($"link set lo up");
        await InHub($"link add {Bridge} type bridge");
        await InHub($"addr add {Hub}/16 dev {Bridge}");
        await InHub($"link set {Bridge} up");
        foreach (var member in processes)
        {
            await InHub($"addr add {Substitute(member)}/16 dev {Bridge}");
            await Ip($"netns add {Namespace(member)}");
            await InHub($"link add port{member} type veth peer name eth0 netns {Namespace(member)}");
            await InHub($"link set port{member} master {Bridge} up");
            await Ip($"-n {Namespace(member)} link set lo up");
            await Ip($"-n {Namespace(member)} addr add {Address(member)}/16 dev eth0");
            await Ip($"-n {Namespace(member)} link set eth0 up");
        }
    }

    /// <summary>Runs a program inside a member's network.</summary>
    public Task<string> RunAsync(int member, string? input, string program, params string[] arguments) =>
        Command.RunAsync(input, "nsenter", [$"--net={NamespacePath($"{member}")}", program, .. arguments]);

    /// <summary>Resets all of a member's connections.</summary>
    /// <returns>How many there were.</returns>
    public async Task<int> ResetAsync(int member) =>
        Command.Lines(await RunAsync(member, null, "ss", "-KtnH", "state", "established")).Count();

    public async ValueTask DisposeAsync()
    {
        // Members first: with its namespace each one's end of its cable goes, and with that the bridge's.
        foreach (var name in processes.Select(Namespace).Append(HubNamespace).Where(name => File.Exists(PathOf(name))))
            await RemoveAsync(name);
    }

    /// <summary>Ends what still runs in a namespace, and removes it.</summary>
    public static async Task RemoveAsync(string name)
    {
        var began = Stopwatch.GetTimestamp();
        while (Command.Lines((await Command.TryAsync(null, "ip", "netns", "pids", name)).Output).ToArray() is [_, ..] pids
            && Stopwatch.GetElapsedTime(began) < EndWithin)
        {
            await Command.TryAsync(null, "kill", ["-KILL", .. pids]);
            await Task.Delay(LookEvery);
        }

        await Command.TryAsync(null, "ip", "netns", "del", name);
    }

    private Task InHub(string command) => Ip($"-n {HubNamespace} {command}");

    private static Task Ip(string command) => Command.RunAsync("ip", command.Split(' '));

    private static string PathOf(string name) => $"/run/netns/{name}";
}
