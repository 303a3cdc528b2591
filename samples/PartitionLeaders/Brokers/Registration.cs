using System.Diagnostics;
using System.Globalization;
using System.Text;
using PartitionLeaders.Reports;
using RaftKit.Node.Proposals;
using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>Registers this broker as an ephemeral znode, and tells whenever anybody's goes.</summary>
internal sealed class Registration(IZnodeSession session, int broker, ReportSink reports)
{
    private readonly string _path = Paths.Broker(broker);

    public async Task RegisterAsync(CancellationToken cancel)
    {
        var data = Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"pid {Environment.ProcessId}"));
        while (true)
        {
            try
            {
                var created = await session.CreateAsync(_path, data, CreateMode.Ephemeral, cancel);
                reports.Send(new BrokerReport.Registered(created.Stat.CreatedZxid, Stopwatch.GetTimestamp()));
                return;
            }
            catch (NotAppliedException)
            {
                await Task.Delay(10, cancel);
            }
            catch (Exception e) when (e is OutcomeUnknownException or ZnodeException { Error: ZnodeError.NodeExists })
            {
                if (await FindOwnAsync(cancel) is { } found)
                {
                    reports.Send(new BrokerReport.Registered(found.Stat.CreatedZxid, Stopwatch.GetTimestamp()));
                    return;
                }
            }
        }
    }

    /// <summary>Reports every ephemeral that goes, from now on and without a gap, as this broker's copy of the tree sees it.</summary>
    public async Task WatchBrokersAsync(CancellationToken cancel)
    {
        long? after = null;
        while (true)
        {
            try
            {
                await foreach (var happened in session.EventsAsync(Paths.Brokers, recursive: true, after, cancel))
                {
                    after = happened.Zxid;
                    if (happened.Type == WatchEventType.Deleted && Paths.BrokerOf(happened.Path) is { } gone)
                        reports.Send(new BrokerReport.EphemeralGone(gone, happened.Zxid, Stopwatch.GetTimestamp()));
                }

                return;
            }
            catch (WatchCompactedException compacted)
            {
                after = compacted.Zxid;
            }
        }
    }

    // Null once an earlier session's is gone: this broker's last life ended, but the quorum may need a moment to be sure.
    private async Task<Znode?> FindOwnAsync(CancellationToken cancel)
    {
        var gone = new TaskCompletionSource();
        var found = await session.GetAsync(_path, _ => gone.TrySetResult(), cancel);
        if (found is null || found.Stat.EphemeralOwner == session.Id)
            return found;
        await gone.Task.WaitAsync(cancel);
        return null;
    }
}
