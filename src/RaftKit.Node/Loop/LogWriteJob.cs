using RaftKit.Consensus;
using RaftKit.Node.Log;

namespace RaftKit.Node.Loop;

/// <summary>One turn's durable part on its way to disk, with the messages that wait for it.</summary>
internal sealed class LogWriteJob(ILogStore store, LogBatch batch, PersistRequest? request, NodeCounters counters) : DiskJob
{
    public PersistRequest? Request { get; } = request;

    public LogBatch Batch => batch;

    public IReadOnlyList<PeerBoot> Boots => batch.PeerBoots;

    /// <summary>The last batch of the log once this is durable.</summary>
    public long LastBatch { get; private set; }

    /// <summary>Sent once this is durable. Loop thread only.</summary>
    public List<Message> Held { get; } = [];

    public override bool CanShareSync => true;

    protected override void Run()
    {
        store.Write(batch);
        LastBatch = store.LastBatch;
        counters.LogBatchesCount++;
        counters.EntriesWrittenCount += batch.Entries.Count;
        if (SyncDeferred)
            return;
        store.Sync();
        counters.FsyncsCount++;
    }
}

/// <summary>Drops what a durable snapshot made superfluous.</summary>
internal sealed class LogCompactJob(ILogStore store, LogIndex upTo) : DiskJob
{
    protected override void Run() => store.Compact(upTo);
}

/// <summary>Something rotted in this segment while the member ran: nothing more is written into it.</summary>
internal sealed class LogRollJob(SegmentedLog log, long segment) : DiskJob
{
    protected override void Run() => log.RollFrom(segment);
}
