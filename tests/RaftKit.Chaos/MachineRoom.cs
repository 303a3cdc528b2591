using RaftKit.Chaos.Network;

namespace RaftKit.Chaos;

/// <summary>
/// A machine for each member, as far as a member can tell: a network namespace. Everything carries the run's name and goes when it is disposed; what a run leaves
/// that was killed, the next one removes.
/// </summary>
internal sealed class MachineRoom : IAsyncDisposable
{
    private MachineRoom(int members, Func<int, bool, Task> tellCutOff)
    {
        Name = Leftovers.NameOfThisRun();
        Folder = Directory.CreateDirectory(Leftovers.FolderOf(Name)).FullName;
        Network = new MemberNetwork(Name, members);
        Links = new Links(Network, members, tellCutOff);
        Addresses = [.. Enumerable.Range(1, members).Select(member => $"{MemberNetwork.Address(member)}:{MemberNetwork.Port}")];
    }

    public string Name { get; }

    public string Folder { get; }

    public MemberNetwork Network { get; }

    public Links Links { get; }

    /// <summary>Where each member listens.</summary>
    public IReadOnlyList<string> Addresses { get; }

    /// <summary>Where the subject keeps its data.</summary>
    public string Data => Path.Combine(Folder, "data");

    /// <summary>Starts a member on its machine.</summary>
    public string Launcher => Path.Combine(Folder, "launch");

    public static async Task<MachineRoom> BuildAsync(int members, Func<int, bool, Task> tellCutOff)
    {
        await Leftovers.RemoveAsync();
        var room = new MachineRoom(members, tellCutOff);
        try
        {
            await room.Network.BuildAsync();
            Directory.CreateDirectory(room.Data);
            await room.WriteLauncherAsync();
            return room;
        }
        catch
        {
            await room.DisposeAsync();
            throw;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Network.DisposeAsync();
        Directory.Delete(Folder, recursive: true);
    }

    private async Task WriteLauncherAsync()
    {
        // It becomes the member, so that its process is the one that was started.
        await File.WriteAllTextAsync(Launcher, $"""
            #!/bin/sh
            id=$1
            shift
            exec nsenter --net={Network.NamespacePath("$id")} "$@"

            """);
        await Command.RunAsync("chmod", "u+x", Launcher);
    }
}
