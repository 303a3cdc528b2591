using RaftKit.Consensus;
using RaftKit.Hosting;
using RaftKit.Node.Levels;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Recipes.Tests.Fakes;
using RaftKit.Znodes;
using RaftKit.Znodes.Sessions;

namespace RaftKit.Tests.Fakes;

/// <summary>A member without a node, that does what a test says.</summary>
internal sealed class FakeMember : IClusterMember, IClusterMemberFactory
{
    private readonly TaskCompletionSource<Exception> _failed = new();

    public static NodeStatus Leading { get; } =
        new(new MemberId(1), RaftRole.Leader, new Term(3), new MemberId(1), true, new LogIndex(42), new LogIndex(41));

    public List<string> Events { get; } = [];

    public FakeQuorum Quorum { get; } = new();

    public IZnodeSessions Sessions => Quorum;

    public NodeStatus? Status { get; set; }

    public NodeCounters? Counters { get; } = new();

    public SessionCounters SessionCounters { get; } = new();

    public IProposalMeter? ProposalMeter { get; set; }

    public Task<Exception> Failed => _failed.Task;

    public Exception? StartFailure { get; set; }

    public Exception? BarrierFailure { get; set; }

    public RaftKitOptions? Options { get; private set; }

    public IReadOnlyList<IStateMachine> Machines { get; private set; } = [];

    public IFeatureLevels Levels => throw new InvalidOperationException("This member has no quorum.");

    public IQuorumMembership Membership => throw new InvalidOperationException("This member has no quorum.");

    public INodeInbox Inbox => throw new InvalidOperationException("This member has no loop.");

    public IClusterMember Create(RaftKitOptions options, IReadOnlyList<IStateMachine> machines)
    {
        Machines = machines;
        Options = options;
        return this;
    }

    public void Fail(Exception cause) => _failed.SetResult(cause);

    public Task StartAsync(CancellationToken cancellationToken)
    {
        Events.Add("member started");
        Status ??= Leading;
        return StartFailure is { } failure ? Task.FromException(failure) : Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken)
    {
        Events.Add("member stopped");
        return Task.CompletedTask;
    }

    public Task ReadBarrierAsync(CancellationToken cancellationToken) =>
        BarrierFailure is { } failure ? Task.FromException(failure) : Task.CompletedTask;

    public TaskCompletionSource Disposed { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ValueTask DisposeAsync()
    {
        Disposed.TrySetResult();
        return default;
    }
}
