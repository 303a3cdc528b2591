using RaftKit.Node.Log;

namespace RaftKit.Node.Loop;

/// <summary>What others told of their disks is written down a little later, beside the log: no promise waits for it, and an idle cluster writes nothing.</summary>
internal sealed partial class NodeLoop
{
    private WitnessJob? _witnessing;
    private int _ticksSinceWitness;

    /// <summary>How often the disk answered a read of log or snapshots with an error.</summary>
    public int ReadErrorCount => _storage.ReadErrorCount;

    private void WitnessTick()
    {
        if (++_ticksSinceWitness >= _options.WitnessTicks)
            WriteWitness();
    }

    /// <returns>Whether that is under way.</returns>
    private bool WriteWitness()
    {
        if (_witnessing is null && Core is not null && !IsStopped && _links.HasNews)
        {
            _ticksSinceWitness = 0;
            _witnessing = new WitnessJob(_storage.Witness, _links.TakeWitnessed());
            _ports.SnapshotLane.Submit(_witnessing);
        }
        return _witnessing is not null;
    }

    private sealed class WitnessJob(WitnessFile file, IReadOnlyList<Witnessed> witnessed) : DiskJob
    {
        protected override void Run() => file.Write(witnessed);
    }
}
