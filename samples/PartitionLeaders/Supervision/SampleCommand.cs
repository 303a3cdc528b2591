using System.CommandLine;
using System.Globalization;
using PartitionLeaders.Display;

namespace PartitionLeaders.Supervision;

/// <summary>The command line.</summary>
internal static class SampleCommand
{
    private const int BadFlags = 2;

    private static readonly Option<int> Brokers = Count(
        "--brokers", 3, 1, 7, "How many brokers to start, each with a member of the quorum inside.");
    private static readonly Option<int> Partitions = Count("--partitions", 64, 1, 10_000, "How many partitions to elect leaders for.");
    private static readonly Option<int> Observers = Count(
        "--observers", 0, 0, 8,
        "How many processes to start beside them that observe the quorum: sessions, watches and reads, no vote, no partitions.");
    private static readonly Option<int> SnapshotEvery = Count(
        "--snapshot-every", 0, 0, 10_000_000, "After how many entries members take a snapshot; 0: as the library does.");
    private static readonly Option<int> LeaderLease = Count(
        "--leader-lease", 0, 0, 200,
        "For how many milliseconds a leader is promised that nobody else leads, so that it answers reads without asking; 0: it asks. Else at least 60.");
    private static readonly Option<double> RunFor = Seconds("--run-for", 30, "How long to inject faults; 0: until Ctrl-C.");
    private static readonly Option<double> SessionTimeout = Seconds(
        "--session-timeout", 2, "How long the quorum waits for a silent broker.", 0.5, 60);
    private static readonly Option<double> KillEvery = Seconds("--kill-every", 5, "How often to kill a broker with SIGKILL; 0: never.");
    private static readonly Option<double> FreezeEvery = Seconds(
        "--freeze-every", 20, "How often to freeze a broker with SIGSTOP for three session timeouts; 0: never.");

    private static readonly Option<string?> Data = new("--data")
    {
        Description = "Where the brokers keep their data, for the next run to go on with. Default: a temporary folder, removed at the end.",
        HelpName = "DIR",
    };

    private static readonly Option<string?> History = new("--history")
    {
        Description = "Runs clients that record every call and its result here, for a linearizability checker.",
        HelpName = "FILE",
    };

    private static readonly Option<string?> Addresses = new("--addresses")
    {
        Description =
            "Where each broker's member listens, in the order of their ids, as ADDRESS:PORT,... Default: free ports on loopback. There is no TLS.",
        HelpName = "LIST",
    };

    private static readonly Option<string?> Launcher = new("--launcher")
    {
        Description =
            "Starts each broker through this program, which gets the broker's id and its command line, and must become that command (exec).",
        HelpName = "PROGRAM",
    };

    private static readonly Option<bool> ExpireOnRefused = new("--expire-on-refused-connection")
    {
        Description =
            "A broker that refuses connections counts as dead, also where nothing proves it (other machines, other pid namespaces). Its leases may then overlap with those of others.",
    };

    private static readonly Option<bool> Attended = new("--attended")
    {
        Description =
            "Standard input tells who is cut off from the others by somebody outside, and who no longer: 'cut ID', 'mended ID'. The run ends with it.",
    };

    private static readonly Option<bool> Json = new("--json") { Description = "Prints one JSON object a line, the summary last." };

    public static async Task<int> RunAsync(string[] args)
    {
        var command = new RootCommand(
            "Brokers that elect the leaders of partitions through a quorum of their own, while they are killed and frozen. "
            + "Exits with 0 if nothing that was acknowledged is missing and no partition had two leaders, 1 if not, 2 for bad flags.")
        {
            Brokers, Observers, Partitions, SnapshotEvery, LeaderLease, RunFor, SessionTimeout, ExpireOnRefused, KillEvery, FreezeEvery, Data, History,
            Addresses, Launcher, Attended, Json,
        };
        command.SetAction((flags, _) => RunAsync(flags));
        var parsed = command.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            foreach (var error in parsed.Errors)
                await Console.Error.WriteLineAsync(error.Message);
            await Console.Error.WriteLineAsync("See --help.");
            return BadFlags;
        }

        // Ctrl-C is the supervisor's business: it ends the run with its summary.
        return await parsed.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = null });
    }

    private static async Task<int> RunAsync(ParseResult flags)
    {
        var options = new RunOptions
        {
            Cluster = new Cluster(flags.GetValue(Brokers), flags.GetValue(Partitions), flags.GetValue(Observers)),
            SnapshotEvery = flags.GetValue(SnapshotEvery) is > 0 and var every ? every : null,
            LeaderLeaseMs = flags.GetValue(LeaderLease),
            RunFor = TimeSpan.FromSeconds(flags.GetValue(RunFor)),
            SessionTimeout = TimeSpan.FromSeconds(flags.GetValue(SessionTimeout)),
            ExpireOnRefused = flags.GetValue(ExpireOnRefused),
            KillEvery = TimeSpan.FromSeconds(flags.GetValue(KillEvery)),
            FreezeEvery = TimeSpan.FromSeconds(flags.GetValue(FreezeEvery)),
            DataDirectory = flags.GetValue(Data),
            HistoryFile = flags.GetValue(History),
            Addresses = flags.GetValue(Addresses)?.Split(','),
            Launcher = flags.GetValue(Launcher),
            Attended = flags.GetValue(Attended),
            Json = flags.GetValue(Json),
        };
        // Here, and not by a validator of the command: that sees no defaults, and throws where one of the flags could not be read.
        if (options.Addresses is { } addresses && addresses.Count != options.Cluster.Brokers)
        {
            await Console.Error.WriteLineAsync(
                $"--addresses must give one address for each of the {options.Cluster.Brokers} brokers, but is '{string.Join(',', addresses)}'.");
            return BadFlags;
        }
        if (options.LeaderLeaseMs is > 0 and < 60)
        {
            await Console.Error.WriteLineAsync($"--leader-lease must be 0, or at least two heartbeats (60), but is {options.LeaderLeaseMs}.");
            return BadFlags;
        }
        DataFolder folder;
        HistoryFile? history;
        try
        {
            folder = DataFolder.Open(options.DataDirectory);
            history = options.HistoryFile is { } file ? new HistoryFile(file) : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return BadFlags;
        }

        using (folder)
        using (history)
            return await RunAsync(options, folder, history);
    }

    private static async Task<int> RunAsync(RunOptions options, DataFolder folder, HistoryFile? history)
    {
        var display = RunDisplay.Choose(options);
        Summary summary;
        await using (var supervisor = new Supervisor(options, folder, history, display))
            summary = await display.WhileShownAsync(supervisor.RunAsync);
        if (summary.Passed)
        {
            display.Show(summary);
            return 0;
        }

        folder.Keep();
        await Console.Error.WriteLineAsync(
            $"{summary.Failure ?? "The summary shows a failure."} The brokers' data and logs are kept in {folder.Path}.");
        display.Show(summary);
        return 1;
    }

    private static Option<int> Count(string name, int byDefault, int least, int most, string description)
    {
        var option = new Option<int>(name) { Description = description, HelpName = "N", DefaultValueFactory = _ => byDefault };
        option.Validators.Add(result =>
        {
            if (result.Errors.Any() || result.Tokens.Count == 0)
                return;
            if (!int.TryParse(result.Tokens[0].Value, out var count) || count < least || count > most)
                result.AddError($"{name} must be a whole number from {least} to {most}, but is '{result.Tokens[0].Value}'.");
        });
        return option;
    }

    private static Option<double> Seconds(string name, double byDefault, string description, double least = 0, double most = 1_000_000)
    {
        var option = new Option<double>(name) { Description = description, HelpName = "SECONDS", DefaultValueFactory = _ => byDefault };
        option.Validators.Add(result =>
        {
            if (result.Errors.Any() || result.Tokens.Count == 0)
                return;
            if (!double.TryParse(result.Tokens[0].Value, CultureInfo.InvariantCulture, out var seconds)
                || !(seconds >= least && seconds <= most))
                result.AddError(
                    string.Create(
                        CultureInfo.InvariantCulture,
                        $"{name} must be a number of seconds from {least} to {most}, but is '{result.Tokens[0].Value}'."));
        });
        return option;
    }
}
