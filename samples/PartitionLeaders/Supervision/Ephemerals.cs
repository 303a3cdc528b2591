using PartitionLeaders.Reports;

namespace PartitionLeaders.Supervision;

/// <summary>
/// Judges every removal of a broker's ephemeral znode: was that broker dead, frozen or cut off, or did it lose it without being to blame?
/// </summary>
internal sealed class Ephemerals(TimeSpan sessionTimeout)
{
    private readonly List<(BrokerProcess Broker, long Zxid, long At)> _registrations = [];
    private readonly Dictionary<long, (int Broker, long At)> _removals = [];

    public void Registered(BrokerProcess broker, BrokerReport.Registered report)
    {
        broker.Registered = broker.EverRegistered = true;
        _registrations.Add((broker, report.Zxid, report.At));
    }

    /// <summary>Every broker tells of every removal, some of them late.</summary>
    public void Gone(BrokerReport.EphemeralGone report)
    {
        var at = _removals.TryGetValue(report.Zxid, out var known) ? Math.Min(known.At, report.At) : report.At;
        _removals[report.Zxid] = (report.Broker, at);
        if (OwnerOf(report.Broker, report.Zxid) is { } owner
            && owner.Zxid == _registrations.Where(r => r.Broker.Id == report.Broker).Max(r => r.Zxid))
            owner.Broker.Registered = false;
    }

    /// <summary>
    /// Those that were removed from brokers that were neither dead nor frozen nor cut off, before the supervisor told all to stop.
    /// </summary>
    public IReadOnlyList<(BrokerProcess Broker, long Zxid, long At)> FindForeign(long stoppedAt) =>
    [
        .. from removal in _removals
           where removal.Value.At < stoppedAt
           let owner = OwnerOf(removal.Value.Broker, removal.Key)
           where owner is not null && !owner.Value.Broker.Excuses.Any(outage => Explains(outage, owner.Value.At, removal.Value.At))
           select (owner.Value.Broker, removal.Key, removal.Value.At),
    ];

    // The registration that a removal ended: the newest before it. Null if the broker died before it could tell of it, which needs no
    // explanation.
    private (BrokerProcess Broker, long Zxid, long At)? OwnerOf(int broker, long removal)
    {
        var before = _registrations.Where(r => r.Broker.Id == broker && r.Zxid < removal).ToArray();
        return before.Length == 0 ? null : before.MaxBy(r => r.Zxid);
    }

    private bool Explains((long From, long? To) outage, long registered, long removed)
    {
        var aftermath = (long)(sessionTimeout.TotalSeconds * 2 * System.Diagnostics.Stopwatch.Frequency);
        return outage.From <= removed && (outage.To is not { } to || (to >= registered && removed <= to + aftermath));
    }
}
