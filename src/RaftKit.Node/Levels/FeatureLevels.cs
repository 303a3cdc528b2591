using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;

namespace RaftKit.Node.Levels;

/// <summary>The door to the levels: proposes one, and tells whoever waits for one. On the loop but for the calls of the door.</summary>
internal sealed class FeatureLevels(INodeInbox inbox, FeatureRanges supported, TaskCreationOptions completion)
    : IFeatureLevels, ILoopParticipant
{
    private readonly List<Wait> _waiting = [];
    private FinalizedLevels _levels = FinalizedLevels.None;
    private ILoopServices? _services;

    public IReadOnlyDictionary<string, FeatureRange> Supported => supported.All;

    public byte Channel => 3;

    public int Finalized(string feature)
    {
        ArgumentNullException.ThrowIfNull(feature);
        return Volatile.Read(ref _levels).Of(feature);
    }

    public Task FinalizeAsync(string feature, int level, CancellationToken cancellationToken = default)
    {
        Check(feature, level);
        cancellationToken.ThrowIfCancellationRequested();
        // An observer is asked by nobody else, and would end by its own word.
        if (!supported.Of(feature).Contains(level))
        {
            return Task.FromException(new FeatureLevelRefusedException(
                $"This process supports levels {supported.Of(feature)} of {feature}, not {level}: finalise it from one that does."));
        }
        var request = new Request(this, new FinalizeLevel(feature, level), completion);
        inbox.Post(new NodeInput.Call(request));
        return request.Task.WaitAsync(cancellationToken);
    }

    public Task WhenFinalizedAsync(string feature, int level, CancellationToken cancellationToken = default)
    {
        Check(feature, level);
        cancellationToken.ThrowIfCancellationRequested();
        if (Finalized(feature) >= level)
            return Task.CompletedTask;
        var wait = new Wait(this, feature, level, completion, cancellationToken);
        inbox.Post(new NodeInput.Call(wait));
        return wait.Task.WaitAsync(cancellationToken);
    }

    public void Start(ILoopServices services) => _services = services;

    public void LevelsApplied(FinalizedLevels levels)
    {
        Volatile.Write(ref _levels, levels);
        _waiting.RemoveAll(static wait => wait.IsOver);
    }

    public void StatusChanged(NodeStatus status)
    {
        // What is applied counts, whoever leads.
    }

    public void Tick(TimeSpan lateness)
    {
        if (_waiting.Count > 0)
            _waiting.RemoveAll(static wait => wait.IsAbandoned);
    }

    public void Received(MemberId from, ReadOnlyMemory<byte> payload)
    {
        // Nothing is sent on this channel: what a process supports is in its hello.
    }

    public void LinkChanged(MemberId member, bool up)
    {
        // The node asks the links when it takes a proposal in.
    }

    public void PeerDied(DeathEvidence evidence)
    {
        // A dead member is not ready.
    }

    public void Stopping(Action done) => done();

    public void Stopped(string reason)
    {
        foreach (var wait in _waiting)
            wait.Fail(reason);
        _waiting.Clear();
    }

    private static void Check(string feature, int level)
    {
        ArgumentNullException.ThrowIfNull(feature);
        if (FeatureRanges.CheckName(feature) is { } wrong)
            throw new ArgumentException(wrong, nameof(feature));
        if (level is < 1 or > FeatureRanges.GreatestLevel)
            throw new ArgumentOutOfRangeException(nameof(level), level, $"A level is 1 to {FeatureRanges.GreatestLevel}.");
    }

    private sealed class Request(FeatureLevels owner, FinalizeLevel command, TaskCreationOptions completion) : ILoopCall, IProposalCallback
    {
        private readonly TaskCompletionSource _done = new(completion);

        public Task Task => _done.Task;

        public void Run() => owner._services!.Propose(Applier.NodeSection, command.Encode(), this);

        public void Stopped() => _done.TrySetException(new NotAppliedException("The node has stopped."));

        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result)
        {
            if (new MessagePackReader(result).ReadRequiredString() is { Length: > 0 } refusal)
                _done.TrySetException(new FeatureLevelRefusedException(refusal));
            else
                _done.TrySetResult();
        }

        public void Failed(ProposalFailure failure, string reason) => _done.TrySetException(
            failure == ProposalFailure.NotApplied ? new NotAppliedException(reason) : new OutcomeUnknownException(reason));
    }

    private sealed class Wait(
        FeatureLevels owner, string feature, int level, TaskCreationOptions completion, CancellationToken cancellationToken) : ILoopCall
    {
        private readonly TaskCompletionSource _done = new(completion);

        public Task Task => _done.Task;

        public bool IsAbandoned => cancellationToken.IsCancellationRequested;

        /// <summary>Whether the level is reached; whoever waits is then told.</summary>
        public bool IsOver => owner.Finalized(feature) >= level && (_done.TrySetResult() || true);

        public void Run()
        {
            if (!IsOver)
                owner._waiting.Add(this);
        }

        public void Stopped() => Fail("The node has stopped.");

        public void Fail(string reason) =>
            _done.TrySetException(
                new NotAppliedException(
                    $"{reason} Nothing more is applied here; level {level} of {feature} was not finalised before that."));
    }
}
