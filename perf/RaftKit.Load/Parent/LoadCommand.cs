using System.CommandLine;

namespace RaftKit.Load.Parent;

/// <summary>The command line.</summary>
internal static class LoadCommand
{
    private const int BadFlags = 2;

    private static readonly Option<int> Members = Count("--members", 3, 1, 7, "How many member processes.");
    private static readonly Option<int> Outstanding = Count("--outstanding", 256, 1, 8192, "How many operations are under way at a time.");
    private static readonly Option<int> Size = Count("--size", 128, 0, 1 << 20, "Bytes of data in each znode.");
    private static readonly Option<int> Seconds = Count("--seconds", 10, 1, 86_400, "How long to measure, after a warm-up of 4 s.");
    private static readonly Option<int> Znodes = Count("--znodes", 1_000_000, 1_000, 10_000_000, "How many znodes the tree holds.");
    private static readonly Option<int> Times = Count("--times", 10, 1, 10_000, "How often to take the leader away.");

    private static readonly Option<string> Data = new("--data")
    {
        Description =
            "A folder on the disk to measure. The members' data and logs go into a new folder below it, removed at the end unless the measurement failed.",
        HelpName = "DIR",
        DefaultValueFactory = _ => Path.GetTempPath(),
    };

    private static readonly Option<bool> Json = new("--json") { Description = "Prints one JSON line for each measurement." };
    private static readonly Option<bool> Linearizable = new(
        "--linearizable") { Description = "Only linearizable reads (a sync, then a read)." };
    private static readonly Option<bool> Local = new(
        "--local") { Description = "Only local reads: of the view, and in the session's order." };
    private static readonly Option<bool> Freeze = new(
        "--freeze") { Description = "Freezes the leader with SIGSTOP instead of killing it." };

    public static async Task<int> RunAsync(string[] args)
    {
        var writes = new Command(
            "writes", "Sets znodes' data, with fsync on a quorum before each is acknowledged.") { Members, Outstanding, Size, Seconds, Data,
            Json };
        writes.SetAction((flags, _) => RunAsync(flags, Options(flags), Measurements.WritesAsync));
        var reads = new Command("reads", "Reads znodes: of the view, in the session's order, and linearizable.")
        {
            Members, Outstanding, Size, Seconds, Data, Json, Local, Linearizable,
        };
        reads.SetAction((flags, _) => RunAsync(flags, Options(flags) with { Kinds = Kinds(flags) }, Measurements.ReadsAsync));
        var failover = new Command(
            "failover", "Takes the leader away, and measures until a write that was submitted later is acknowledged.")
        {
            Members, Times, Freeze, Data, Json,
        };
        failover.SetAction((flags, _) => RunAsync(
            flags,
            Options(flags) with { Kills = flags.GetValue(Times), Freeze = flags.GetValue(Freeze) },
            Measurements.FailoverAsync));
        var snapshot = new Command(
            "snapshot", "Fills a tree, and measures what a snapshot of it costs the loop while writes go on.") { Znodes, Size, Data, Json };
        snapshot.SetAction(
            (flags, _) => RunAsync(flags, Options(flags) with { Znodes = flags.GetValue(Znodes) }, SnapshotMeasurement.RunAsync));
        var catchUp = new Command(
            "catch-up",
            "Brings up a follower that only a snapshot can, while writes go on.") { Members, Znodes, Outstanding, Size, Seconds, Data,
            Json };
        catchUp.SetAction(
            (flags, _) => RunAsync(flags, Options(flags) with { Znodes = flags.GetValue(Znodes) }, CatchUpMeasurement.RunAsync));
        var timeouts = new Command(
            "timeouts",
            "For several heartbeats and election timeouts: the gap of a frozen leader, and elections for nothing on a busy machine.")
        {
            Members, Times, Outstanding, Size, Seconds, Data, Json,
        };
        timeouts.SetAction(
            (flags, _) => RunAsync(flags, Options(flags) with { Kills = flags.GetValue(Times) }, Measurements.TimeoutsAsync));
        var parsed = new RootCommand("Measures a quorum of RaftKit members, each in a process of its own, on loopback.") 
        {
            writes, reads, failover, timeouts, snapshot, catchUp,
        }.Parse(args);
        if (parsed.Errors.Count == 0)
            return await parsed.InvokeAsync();
        foreach (var error in parsed.Errors)
            await Console.Error.WriteLineAsync(error.Message);
        await Console.Error.WriteLineAsync("See --help.");
        return BadFlags;
    }

    private static async Task<int> RunAsync(
        ParseResult flags, LoadOptions options, Func<LoadOptions, string, IAsyncEnumerable<MeasuredResult>> measure)
    {
        var folder = Directory.CreateDirectory(Path.Combine(options.Data, $"raftkit-load-{Guid.NewGuid():n}")).FullName;
        var succeeded = false;
        try
        {
            await foreach (var result in measure(options, folder))
                Console.WriteLine(options.Json ? result.ToJson() : result.ToText());
            succeeded = true;
            return 0;
        }
        catch (LoadFailedException e)
        {
            await Console.Error.WriteLineAsync(e.Message);
            return 1;
        }
        finally
        {
            if (succeeded)
                Directory.Delete(folder, recursive: true);
            else
                await Console.Error.WriteLineAsync($"What the members logged is left in {folder}.");
        }
    }

    private static LoadOptions Options(ParseResult flags) => new()
    {
        Members = flags.GetValue(Members),
        Data = flags.GetValue(Data)!,
        Json = flags.GetValue(Json),
        Outstanding = flags.GetValue(Outstanding),
        Size = flags.GetValue(Size),
        Seconds = flags.GetValue(Seconds),
    };

    private static LoadKind[] Kinds(ParseResult flags) => (flags.GetValue(Local), flags.GetValue(Linearizable)) switch
    {
        (true, false) => [LoadKind.ViewRead, LoadKind.SessionRead],
        (false, true) => [LoadKind.LinearizableRead],
        _ => [LoadKind.ViewRead, LoadKind.SessionRead, LoadKind.LinearizableRead],
    };

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
}
