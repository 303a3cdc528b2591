using System.Globalization;
using System.Text;
using System.Text.Json;
using RaftKit.TestKit;

namespace RaftKit.Simulation;

/// <summary>What many seeds came to.</summary>
internal sealed record Summary(IReadOnlyList<SeedResult> Results, TimeSpan WallTime)
{
    private const long FewestEvents = 1000;

    public static Summary Of(IReadOnlyList<SeedResult> results, TimeSpan wallTime) => new(results, wallTime);

    private IReadOnlyList<SeedResult> Failed => [.. Results.Where(r => r.Violation is not null).OrderBy(r => r.Seed)];

    private int Undecided => Results.Count(r => r.HistoryUndecided.Length > 0);

    private FaultCounters Faults
    {
        get
        {
            var sum = new FaultCounters();
            foreach (var result in Results)
                sum.Add(result.Faults);
            return sum;
        }
    }

    /// <summary>Why the sweep fails; nothing if it does not.</summary>
    public IEnumerable<string> Problems(bool needsCoverage)
    {
        if (Failed.Count > 0)
            yield return $"failing seeds: {string.Join(' ', Failed.Select(r => r.Seed))}";
        foreach (var result in Results.Where(r => r.Violation is null && r.Events < FewestEvents))
            yield return $"seed {result.Seed} delivered only {result.Events} events, fewer than {FewestEvents}";
        // A history that is not decided proves nothing: few may be.
        if (Undecided * 20 > Results.Count)
            yield return $"{Undecided} of {Results.Count} histories were not decided: more than one in 20";
        if (!needsCoverage)
            yield break;
        foreach (var (name, count) in Faults.All.Concat(Faults.Coverage.All).Where(f => f.Count == 0))
            yield return $"no {name} in {Results.Count} seeds (that is {count}): the sweep did not test what it is to test";
        if (Results.Sum(r => r.SnapshotsInstalled) == 0)
            yield return $"no snapshot was installed in {Results.Count} seeds";
        if (Results.Sum(r => r.GuestConnections) == 0)
            yield return $"no client connected through a member in {Results.Count} seeds";
        if (Results.Sum(r => r.ReadsByLease) == 0)
            yield return $"no read rested on a lease in {Results.Count} seeds";
        if (Results.Sum(r => r.ReadsBehind) == 0 || Results.Sum(r => r.ReadsTooStale) == 0)
            yield return $"no read of bounded staleness was answered, or none was refused, in {Results.Count} seeds";
        if (Results.Sum(r => r.EventsFoundByJumps) == 0)
            yield return $"no watch heard of a snapshot's jump in {Results.Count} seeds";
        if (Results.Select(r => r.Members).Distinct().Count() < 7)
            yield return $"not all ensembles of 1 to 7 were drawn in {Results.Count} seeds";
    }

    public string ToJson()
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteNumber("seeds", Results.Count);
            json.WriteNumber("failed", Failed.Count);
            json.WriteNumber("events", Results.Sum(r => r.Events));
            json.WriteNumber("sim_seconds", Math.Round(Results.Sum(r => r.SimulatedTime.TotalSeconds), 1));
            json.WriteNumber("wall_seconds", Math.Round(WallTime.TotalSeconds, 1));
            json.WriteNumber("writes_acked", Results.Sum(r => r.WritesAcknowledged));
            json.WriteNumber("leader_changes", Results.Sum(r => r.LeaderChanges));
            json.WriteNumber("sessions_expired", Results.Sum(r => r.SessionsExpired));
            json.WriteNumber("watch_events", Results.Sum(r => r.WatchEvents));
            json.WriteNumber("watch_events_by_jumps", Results.Sum(r => r.EventsFoundByJumps));
            json.WriteNumber("recipe_leaders", Results.Sum(r => r.Elections));
            json.WriteNumber("guest_connections", Results.Sum(r => r.GuestConnections));
            json.WriteNumber("reads_by_lease", Results.Sum(r => r.ReadsByLease));
            json.WriteNumber("reads_behind", Results.Sum(r => r.ReadsBehind));
            json.WriteNumber("reads_too_stale", Results.Sum(r => r.ReadsTooStale));
            json.WriteNumber("snapshots_installed", Results.Sum(r => r.SnapshotsInstalled));
            json.WriteNumber("histories_undecided", Undecided);
            json.WriteStartObject("faults");
            foreach (var (name, count) in Faults.All)
                json.WriteNumber(name, count);
            json.WriteEndObject();
            json.WriteStartObject("coverage");
            foreach (var (name, count) in Faults.Coverage.All)
                json.WriteNumber(name, count);
            json.WriteEndObject();
            if (Failed.Count > 0)
            {
                json.WriteStartArray("failing");
                foreach (var result in Failed)
                    json.WriteNumberValue(result.Seed);
                json.WriteEndArray();
            }
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(buffer.ToArray());
    }

    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Results.Count} seeds, {Failed.Count} failed; {Results.Sum(r => r.Events)} events in {WallTime.TotalSeconds:F1} s "
        + $"({Results.Sum(r => r.Events) / Math.Max(0.001, WallTime.TotalSeconds):F0} a second)");
}
