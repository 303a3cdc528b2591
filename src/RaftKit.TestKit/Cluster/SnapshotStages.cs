using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;

namespace RaftKit.TestKit;

/// <summary>
/// Where a member is in taking, sending or installing a snapshot: what coverage counts when it ends there, and where <see
/// cref="RareFaultPlan"/> ends it. The jobs of the snapshot lane are known by their names: one that is renamed is missed by the sweep,
/// which wants every stage.
/// </summary>
internal static class SnapshotStages
{
    /// <summary>The counter of a crash in this work; null where it has to do with no snapshot.</summary>
    public static MenuItem? Of(DiskJob job) => job is LogWriteJob written
        ? written.Batch.ResetTo is null ? null : MenuItem.SnapshotCrashResetting
        : job.GetType().Name switch
        {
            "FrameJob" => MenuItem.SnapshotCrashTaking,
            "CommitJob" => MenuItem.SnapshotCrashCommitting,
            "ReadChunkJob" => MenuItem.SnapshotCrashSending,
            "WriteChunkJob" => MenuItem.SnapshotCrashReceiving,
            "CompleteReceiveJob" => MenuItem.SnapshotCrashCompleting,
            "ReadFramesJob" => MenuItem.SnapshotCrashRestoring,
            _ => null,
        };

    /// <summary>The snapshot lane begins this piece of work.</summary>
    public static void Begins(Coverage coverage, SimulatedRun run, DiskJob job)
    {
        switch (Of(job))
        {
            case MenuItem.SnapshotCrashCompleting:
                run.IsInstalling = true;
                break;
            case MenuItem.SnapshotCrashCommitting when IsAmidChange(run):
                coverage.Struck(MenuItem.SnapshotTakenAmidChange);
                break;
        }
    }

    /// <summary>A leader's snapshot took the place of what was here.</summary>
    public static void Restored(Coverage coverage, SimulatedRun run)
    {
        run.IsInstalling = false;
        if (IsAmidChange(run))
            coverage.Struck(MenuItem.SnapshotInstalledAmidChange);
    }

    public static void Heard(Coverage coverage, SimulatedRun run, SnapshotChunk chunk)
    {
        if (!run.IsInstalling && chunk.IsLast)
            run.LastWhole = chunk.Snapshot.Index;
        else if (run.IsInstalling && chunk.Snapshot.Index > run.LastWhole)
            coverage.Struck(MenuItem.SnapshotBehindInstall);
    }

    private static bool IsAmidChange(SimulatedRun run) => ((SimulatedZnodes)run.Application).Membership.Current is { IsChanging: true };
}
