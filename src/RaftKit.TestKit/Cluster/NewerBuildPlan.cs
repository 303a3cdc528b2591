using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;

namespace RaftKit.TestKit;

/// <summary>
/// Observers of a newer build, in a part of the seeds that have any: now and then they ask the node for what no leader knows yet. Each is
/// to be told so, and to go on with what it proposed behind it. Only observers: who proposes something, and then leads, puts it into the
/// log as it is, and a member that knows a command is one that its build can apply.
/// </summary>
internal sealed class NewerBuildPlan
{
    private static readonly byte[] Unknown = [0xa5, .. "newer"u8];

    private readonly SimulatedWorld _world;
    private readonly FaultPlan _faults;
    private readonly SimulatedRandom _random;

    public NewerBuildPlan(SimulatedWorld world, FaultPlan faults)
    {
        (_world, _faults) = (world, faults);
        _random = world.Random.Split("newer build");
        IsActive = _random.Chance(0.3) && world.Observers.Count > 0;
    }

    /// <summary>Whether anybody asks for such things in this seed.</summary>
    public bool IsActive { get; }

    public void Begin()
    {
        if (IsActive)
            After(Ask);
    }

    private void Ask()
    {
        var up = _world.Observers.Where(o => o.Run is { HasStarted: true, Process.IsPaused: false }).ToList();
        if (up.Count > 0)
        {
            var asker = _random.Pick(up);
            _world.Trace.Event(asker.Id, "asks for what nobody knows");
            asker.Run!.Post(new NodeInput.Call(new Request(_world, asker.Id, asker.Run.Loop)));
        }
        After(Ask);
    }

    private void After(Action what) =>
        _world.Scheduler.After(_random.Between(TimeSpan.FromSeconds(0.3), TimeSpan.FromSeconds(3)), () =>
    {
        if (!_faults.IsHealed)
            what();
    });

    private sealed class Request(SimulatedWorld world, MemberId asker, ILoopServices services) : ILoopCall, IProposalCallback
    {
        public void Run() => services.Propose(Applier.NodeSection, Unknown, this);

        public void Stopped()
        {
            // It was not asked.
        }

        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result) =>
            world.Violate($"levels: {asker} was told that what nobody knows was applied at {context.Index}");

        public void Failed(ProposalFailure failure, string reason)
        {
            if (failure == ProposalFailure.NotApplied && reason.Contains("knows no such command", StringComparison.Ordinal))
                world.Faults.Coverage.Struck(MenuItem.CommandUnknown);
        }
    }
}
