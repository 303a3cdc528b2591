using RaftKit.Chaos.Clock;
using RaftKit.Chaos.Disk;
using RaftKit.Chaos.Network;

namespace RaftKit.Chaos;

/// <summary>
/// A machine for each member, as far as a member can tell: a network namespace, a disk with a file system, a wall clock, each of its own.
/// Everything carries the run's name and goes when it is disposed; what a run leaves that was killed, the next one removes.
/// </summary>
internal sealed class MachineRoom : IAsyncDisposable
{
    private readonly Dictionary<int, MemberDisk> _disks = [];
    private readonly Dictionary<int, MemberClock> _clocks = [];
    private readonly Dictionary<int, MemberLog> _logs = [];

    private MachineRoom(ChaosOptions options, Func<int, bool, Task> tellCutOff)
    {
        Name = Leftovers.NameOfThisRun();
        Folder = Directory.CreateDirectory(Leftovers.FolderOf(Name)).FullName;
        Network = new MemberNetwork(Name, options.Processes);
        Links = new Links(Network, options.Processes, tellCutOff);
        Detours = new Detours(Network, Links);
        Addresses = [.. Enumerable.Range(1, options.Members).Select(member => $"{MemberNetwork.Address(member)}:{MemberNetwork.Port}")];
    }

    public string Name { get; }

    public string Folder { get; }

    public MemberNetwork Network { get; }

    public Links Links { get; }

    public Detours Detours { get; }

    /// <summary>Where each member listens.</summary>
    public IReadOnlyList<string> Addresses { get; }

    /// <summary>Where the subject keeps its data.</summary>
    public string Data => Path.Combine(Folder, "data");

    /// <summary>Starts a member on its machine.</summary>
    public string Launcher => Path.Combine(Folder, "launch");

    public static async Task<MachineRoom> BuildAsync(ChaosOptions options, Func<int, bool, Task> tellCutOff)
    {
        await Leftovers.RemoveAsync();
        var room = new MachineRoom(options, tellCutOff);
        try
        {
            await ClockTrial.RunAsync(room.ClockFile("trial"));
            await room.Network.BuildAsync();
            var disks = Directory.CreateDirectory(Leftovers.DisksOf(room.Name)).FullName;
            foreach (var member in options.Processes)
            {
                room._clocks[member] = new MemberClock(room.ClockFile($"{member}"));
                room._disks[member] = await MemberDisk.MakeAsync(
                    Path.Combine(disks, $"disk-{member}"), Path.Combine(room.Data, $"broker-{member}"));
                room._logs[member] = new MemberLog(Path.Combine(room.Data, $"broker-{member}.log"));
            }

            await room.WriteLauncherAsync();
            return room;
        }
        catch
        {
            await room.DisposeAsync();
            throw;
        }
    }

    public MemberClock Clock(int member) => _clocks[member];

    public MemberDisk Disk(int member) => _disks[member];

    /// <summary>What it logs.</summary>
    public MemberLog Log(int member) => _logs[member];

    /// <summary>The member is not started until the result is disposed: its machine is off.</summary>
    public IDisposable HoldOff(int member) => new OffSwitch(Path.Combine(Folder, $"off-{member}"));

    /// <summary>Something went wrong: it may be seen from these files what.</summary>
    /// <returns>Where they are, when everything else is gone.</returns>
    public string KeepLogs(string history, IReadOnlyList<string> findings)
    {
        var kept = Directory.CreateTempSubdirectory("raftkit-chaos-logs-").FullName;
        File.WriteAllLines(Path.Combine(kept, "findings"), findings);
        foreach (var log in Directory.EnumerateFiles(Data, "*.log"))
            File.Copy(log, Path.Combine(kept, Path.GetFileName(log)));
        foreach (var (file, name) in new[] { (history, "history"), (Judgement.LocalFile(history), Judgement.LocalFile("history")) }.Where(
            f => File.Exists(f.Item1)))
            File.Copy(file, Path.Combine(kept, name));
        return kept;
    }

    public async ValueTask DisposeAsync()
    {
        Detours.Dispose();
        try
        {
            await Network.DisposeAsync();
            await Leftovers.RemoveAsync(Name);
        }
        catch (Exception failure) when (failure is CommandFailedException or IOException)
        {
            // What the run came to must not be lost for that; the next run tries again.
            await Console.Error.WriteLineAsync($"Not everything of {Name} could be removed. {failure.Message}");
        }

        FakeTime.RemoveLeftMemory();
    }

    private string ClockFile(string of) => Path.Combine(Folder, $"clock-{of}");

    private async Task WriteLauncherAsync()
    {
        // It becomes the member, so that its process is the one that was started.
        await File.WriteAllTextAsync(Launcher, $"""
            #!/bin/sh
            id=$1
            shift
            while [ -e "{Folder}/off-$id" ]; do sleep 0.05; done
            exec nsenter --net={Network.NamespacePath("$id")} env {string.Join(' ', FakeTime.Environment(ClockFile("$id")))} "$@"

            """);
        await Command.RunAsync("chmod", "u+x", Launcher);
    }

    private sealed class OffSwitch : IDisposable
    {
        private readonly string _file;

        public OffSwitch(string file) => File.WriteAllText(_file = file, "");

        public void Dispose() => File.Delete(_file);
    }
}
