using System.Text;
using RaftKit.Node.Proposals;
using RaftKit.Node.Reads;
using RaftKit.Znodes;

namespace RaftKit.TestKit;

/// <summary>
/// A client that only reads, in every way that a view offers, and holds each answer against what it claims to be worth: linearizable
/// answers are checked at once and go into the history, too; others against what was acknowledged when, and against what their session had
/// seen through other members.
/// </summary>
internal sealed class ReadClient(
    Workload workload, int number, SimulatedProcess process, SimulatedScheduler scheduler, IZnodeView view, SimulatedRandom random)
{
    public async Task Run()
    {
        while (!workload.Stopped)
        {
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(2), process.Time);
            try
            {
                await (random.Next(6) switch
                {
                    0 => ReadBehind(patience.Token),
                    1 => ReadInSession(patience.Token),
                    2 => ReadLinearizably(ReadConsistency.Linearizable, patience.Token),
                    _ => ReadLinearizably(ReadConsistency.LinearizableByLease, patience.Token),
                });
            }
            catch (Exception refused) when (refused is NotAppliedException or OperationCanceledException or StaleReadException)
            {
                // Nobody could say; it asks again.
            }
            await Task.Delay(random.Between(TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(30)) * workload.Pace, process.Time);
        }
    }

    private async Task ReadLinearizably(ReadConsistency consistency, CancellationToken cancellationToken)
    {
        var path = $"/r{random.Next(3)}/k{random.Next(3)}";
        var acknowledged = workload.HighestAcknowledged;
        var read = await workload.Log.Record(
            new HistoryOperation { Client = number, Kind = HistoryKind.Get, Path = path },
            () => view.ReadAsync(v => (Znode: v.Get(path), v.Zxid), consistency, cancellationToken),
            (operation, read) => read.Value.Znode is { } znode
                ? operation with { Exists = true, Out = Encoding.UTF8.GetString(znode.Data.Span), Version = znode.Stat.Version,
                    Zxid = read.Value.Zxid }
                : operation with { Exists = false, Zxid = read.Value.Zxid });
        if (read.Zxid < acknowledged)
        {
            workload.Violate(
                15, $"a client of process {process.Number} read the state of {read.Zxid:x} as linearizable ({read.Guarantee}), though {acknowledged:x} was "
                + "acknowledged before");
        }
        if (read.Guarantee != ReadGuarantee.ReadIndex
            && (read.Guarantee != ReadGuarantee.Lease || consistency != ReadConsistency.LinearizableByLease))
            workload.Violate(15, $"a client of process {process.Number} asked for {consistency}, and got {read.Guarantee}");
        workload.Oracle.CheckRead($"a read in process {process.Number}", path, read.Value.Znode, read.Value.Zxid);
        if (read.Guarantee == ReadGuarantee.Lease)
            workload.ReadsByLease++;
    }

    private async Task ReadBehind(CancellationToken cancellationToken)
    {
        var bound = random.Between(TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(600));
        var called = scheduler.Now;
        ReadResult<long> read;
        try
        {
            read = await view.ReadAsync(v => v.Zxid, ReadConsistency.AtMostBehind(bound), cancellationToken);
        }
        catch (StaleReadException stale)
        {
            workload.ReadsTooStale++;
            if (stale.Behind <= bound)
                workload.Violate(
                    15, $"a client of process {process.Number} was refused a read at most {bound} behind, of a state {stale.Behind} behind");
            throw;
        }
        workload.ReadsBehind++;
        if (read.Behind is not { } behind || behind > bound)
        {
            workload.Violate(
                15, $"a client of process {process.Number} asked for a state at most {bound} behind, and got one that is {read.Behind}");
            return;
        }
        var known = workload.AcknowledgedBy(called - behind);
        if (read.Zxid < known)
            workload.Violate(
                15, $"a client of process {process.Number} read the state of {read.Zxid:x} as {behind} behind, though {known:x} was acknowledged before {called - behind}");
    }

    // The session is one user's, who asks through any member.
    private async Task ReadInSession(CancellationToken cancellationToken)
    {
        var session = random.Pick(workload.ReadSessions);
        var seen = session.Seen;
        var read = await view.ReadAsync(v => v.Zxid, ReadConsistency.Session(session), cancellationToken);
        if (read.Zxid < seen)
            workload.Violate(35, $"a user who had seen {seen:x} read the state of {read.Zxid:x} in process {process.Number}");
    }
}
