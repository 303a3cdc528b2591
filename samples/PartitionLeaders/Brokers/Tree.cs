using RaftKit.Node.Proposals;
using RaftKit.Znodes;

namespace PartitionLeaders.Brokers;

/// <summary>What every broker does with the tree when a session begins.</summary>
internal static class Tree
{
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(10);

    /// <summary>
    /// Creates what is missing of the brokers' common skeleton. All brokers do so at once; whoever comes first creates it.
    /// </summary>
    public static async Task EnsureAsync(IZnodeSession session, BrokerSettings settings, CancellationToken cancel)
    {
        await Task.WhenAll(new[] { Paths.Brokers, Paths.Partitions, Paths.Probes }.Select(path => EnsureAsync(session, path, cancel)));
        await EnsureAsync(session, Paths.Probe(settings.Id), cancel);
        await Task.WhenAll(
            settings.Cluster.PartitionsOf(settings.Id).Select(partition => EnsurePartitionAsync(session, partition, cancel)));
    }

    /// <summary>
    /// Does something that may be done twice until its outcome is known. A quorum without a leader is no reason to give up: the session
    /// lives on as long as a leader comes back within its timeout.
    /// </summary>
    public static async Task<T> RetryAsync<T>(Func<Task<T>> repeatable, CancellationToken cancel)
    {
        while (true)
        {
            try
            {
                return await repeatable();
            }
            catch (Exception e) when (e is NotAppliedException or OutcomeUnknownException)
            {
                await Task.Delay(RetryPause, cancel);
            }
        }
    }

    private static Task<bool> EnsureAsync(IZnodeSession session, string path, CancellationToken cancel) => RetryAsync(
        async () =>
        {
            try
            {
                await session.CreateAsync(path, cancellationToken: cancel);
                return true;
            }
            catch (ZnodeException e) when (e.Error == ZnodeError.NodeExists)
            {
                return false;
            }
        },
        cancel);

    // One multi: nobody ever sees half a partition.
    private static Task<MultiResult> EnsurePartitionAsync(IZnodeSession session, int partition, CancellationToken cancel) => RetryAsync(
        () => session.MultiAsync(
            [
                new ZnodeOperation.Create(Paths.Partition(partition), default),
                new ZnodeOperation.Create(Paths.Election(partition), default),
                new ZnodeOperation.Create(Paths.State(partition), default(PartitionState).ToBytes()),
                new ZnodeOperation.Create(Paths.Leaders(partition), default),
            ],
            cancel),
        cancel);
}
