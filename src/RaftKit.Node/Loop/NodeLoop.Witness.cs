using RaftKit.Node.Log;

namespace RaftKit.Node.Loop;

/// <summary>
/// What others told of their disks is written down a little later, beside the log: no promise waits for it, and an idle cluster writes
/// nothing.
/// </summary>
internal sealed partial class NodeLoop
{
    private WitnessJob? _witnessing;
    private int _ticksSinceWitness;

    private void WitnessTick()
    {
        if (++_ticksSinceWitness >= _options.WitnessTicks)
            WriteWitness();
    }

    private void WriteWitness()
    {
        if (_witnessing is not null || Core is null || IsStopped || !_links.HasNews)
            return;
        _ticksSinceWitness = 0;
        _witnessing = new WitnessJob(_storage.Witness, _links.TakeWitnessed());
        _ports.SnapshotLane.Submit(_witnessing);
    }

    private sealed class WitnessJob(WitnessFile file, IReadOnlyList<Witnessed> witnessed) : DiskJob
    {
        protected override void Run() => file.Write(witnessed);
    }
}
