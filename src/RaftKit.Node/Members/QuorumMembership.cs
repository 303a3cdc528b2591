using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Liveness;
using RaftKit.Node.Loop;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Members;

/// <summary>
/// The door to the membership: proposes changes, and tells whoever asked when the applied membership has become what it wanted. On the loop
/// but for the calls of the door.
/// </summary>
internal sealed class QuorumMembership(INodeInbox inbox, TaskCreationOptions completion) : IQuorumMembership, ILoopParticipant
{
    private readonly List<Request> _waiting = [];
    private ILoopServices? _services;
    private MemberTable? _table;
    private Membership _applied = Membership.Empty;

    public QuorumMembers? Current { get => Volatile.Read(ref field); private set => Volatile.Write(ref field, value); }

    public byte Channel => 2;

    public Task<QuorumMembers> AddAsync(int member, string endpoint, bool voter = true, CancellationToken cancellationToken = default)
    {
        var id = Checked(member, nameof(member));
        CheckEndpoint(endpoint);
        return AskAsync(
            known => new MembershipChange.Add(known, id, endpoint, voter),
            new Goal(
                voter ? $"Member {member} is no longer to vote" : $"Member {member} is no longer to be a learner",
                table => table.Wanted.TryGetValue(id, out var stays) && stays.IsVoter == voter,
                // A voter that is to learn only counts until its demotion is committed.
                now => voter ? Votes(now, id) : !now.IsJoint && !now.IsVoter(id) && now.IncarnationOf(id) is not null),
            cancellationToken);
    }

    public Task<QuorumMembers> PromoteAsync(int member, CancellationToken cancellationToken = default)
    {
        if (new MemberId(member) is { IsObserver: true, Value: <= MemberId.GreatestObserver })
        {
            throw new ArgumentOutOfRangeException(
                nameof(member), member, "This is an observer's number, and observers never vote: add the process as a member, under a number from 1 to 255.");
        }
        var id = Checked(member, nameof(member));
        return AskAsync(
            known => new MembershipChange.Promote(known, id),
            new Goal(
                $"Member {member} is no longer to vote",
                table => table.Wanted.TryGetValue(id, out var stays) && stays.IsVoter, now => Votes(now, id)),
            cancellationToken);
    }

    public Task<QuorumMembers> RemoveAsync(int member, CancellationToken cancellationToken = default)
    {
        var id = Checked(member, nameof(member));
        return AskAsync(
            known => new MembershipChange.Remove(known, id),
            new Goal($"Member {member} is to be a member again", table => !table.Wanted.ContainsKey(id), now =>
                !now.IsJoint && now.IncarnationOf(id) is null),
            cancellationToken);
    }

    public Task<QuorumMembers> ReplaceAsync(int old, int @new, string endpoint, CancellationToken cancellationToken = default)
    {
        var (leaving, entering) = (Checked(old, nameof(old)), Checked(@new, nameof(@new)));
        CheckEndpoint(endpoint);
        return AskAsync(
            known => new MembershipChange.Replace(known, leaving, entering, endpoint),
            new Goal(
                $"Member {@new} is no longer to replace member {old}",
                table => table.Wanted.ContainsKey(entering)
                    && (!table.Wanted.TryGetValue(leaving, out var stays) || stays.Until is not null),
                now => Votes(now, entering) && now.IncarnationOf(leaving) is null),
            cancellationToken);
    }

    public Task<QuorumMembers> MoveAsync(int member, string endpoint, CancellationToken cancellationToken = default)
    {
        var id = Checked(member, nameof(member));
        CheckEndpoint(endpoint);
        return AskAsync(
            known => new MembershipChange.Move(known, id, endpoint),
            new Goal(
                $"Member {member} is no longer to listen at {endpoint}",
                table => table.Wanted.TryGetValue(id, out var stays) && stays.Endpoint == endpoint,
                // What is told then names the new endpoint: that is brought up to date a little after the change was applied. One that is
                // to enter is not named yet.
                _ => Current?.Members.FirstOrDefault(m => m.Id == member) is not { } named || named.Endpoint == endpoint),
            cancellationToken);
    }

    public Task<QuorumMembers> SetAsync(IReadOnlyDictionary<int, string> voters, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(voters);
        var wanted = voters.ToDictionary(v => Checked(v.Key, nameof(voters)), v => v.Value);
        foreach (var endpoint in voters.Values)
            CheckEndpoint(endpoint);
        return AskAsync(
            known => new MembershipChange.Set(known, wanted),
            new Goal(
                "Another set of members is wanted now",
                table => table.Wanted.Where(w => w.Value.Until is null).Select(w => w.Key).ToHashSet().SetEquals(wanted.Keys),
                now => !now.IsJoint && now.Voters.Select(v => v.Id).ToHashSet().SetEquals(wanted.Keys) && now.Learners.Count == 0),
            cancellationToken);
    }

    public void Start(ILoopServices services) => _services = services;

    /// <summary>A membership, or what is wanted, was applied.</summary>
    public void MembershipApplied(MemberTable table, Membership applied, IReadOnlyDictionary<MemberId, string> endpoints)
    {
        (_table, _applied) = (table, applied);
        Current = new QuorumMembers(
            [.. applied.All.Select(id => new QuorumMember(
                id.Value, applied.IncarnationOf(id)!.Value.Incarnation, applied.IsVoter(id), endpoints.GetValueOrDefault(id, "")))],
            applied.IsJoint || MembershipKeeper.IsWanting(table, applied));
        for (var i = _waiting.Count - 1; i >= 0; i--)
        {
            if (_waiting[i].Judge(this))
                _waiting.RemoveAt(i);
        }
    }

    public void StatusChanged(NodeStatus status)
    {
        // What is applied counts, whoever leads.
    }

    public void Tick(TimeSpan lateness) => _waiting.RemoveAll(static request => request.IsAbandoned);

    public void Received(MemberId from, ReadOnlyMemory<byte> payload)
    {
        // Nothing is sent on this channel.
    }

    public void LinkChanged(MemberId member, bool up)
    {
        // The keeper looks at the links itself.
    }

    public void PeerDied(DeathEvidence evidence)
    {
        // A dead member stays one until somebody removes it.
    }

    public void Stopping(Action done) => done();

    public void Stopped(string reason)
    {
        foreach (var request in _waiting)
            request.Fail(new OutcomeUnknownException($"{reason} The change was asked for; look at the members elsewhere."));
        _waiting.Clear();
    }

    private static bool Votes(Membership now, MemberId id) => !now.IsJoint && now.IsVoter(id);

    private static MemberId Checked(int member, string name)
    {
        if (member is < 1 or > 255)
            throw new ArgumentOutOfRangeException(name, member, "A member's number is 1 to 255.");
        return new MemberId(member);
    }

    private static void CheckEndpoint(string endpoint)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(endpoint);
        if (NetworkAddress.WhyNotDialled(endpoint) is { } reason)
            throw new ArgumentException($"'{endpoint}' is no endpoint that the other members can dial: {reason}", nameof(endpoint));
    }

    private Task<QuorumMembers> AskAsync(
        Func<IReadOnlyDictionary<MemberId, string>, MembershipChange> change, Goal goal, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var request = new Request(this, change, goal, completion, cancellationToken);
        inbox.Post(new NodeInput.Call(request));
        return request.Task.WaitAsync(cancellationToken);
    }

    /// <summary>What a request waits for.</summary>
    /// <param name="TakenBack">What to say when a later change wants something else.</param>
    /// <param name="IsWanted">Whether it is still wanted.</param>
    /// <param name="IsReached">Whether the applied membership is that.</param>
    private sealed record Goal(string TakenBack, Func<MemberTable, bool> IsWanted, Func<Membership, bool> IsReached);

    private sealed class Request(
        QuorumMembership owner, Func<IReadOnlyDictionary<MemberId, string>, MembershipChange> change, Goal goal,
        TaskCreationOptions completion,
        CancellationToken cancellationToken) : ILoopCall, IProposalCallback
    {
        private readonly TaskCompletionSource<QuorumMembers> _done = new(completion);

        public Task<QuorumMembers> Task => _done.Task;

        public bool IsAbandoned => cancellationToken.IsCancellationRequested;

        public void Run()
        {
            if (!IsAbandoned)
                owner._services!.Propose(Applier.NodeSection, change(owner._services.ConfiguredEndpoints).Encode(), this);
        }

        public void Stopped() => Fail(new NotAppliedException("The node has stopped."));

        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result)
        {
            var refusal = new MessagePackReader(result).ReadString();
            if (refusal is { Length: > 0 })
                Fail(new MembershipChangeRefusedException(refusal));
            else if (!Judge(owner))
                owner._waiting.Add(this);
        }

        public void Failed(ProposalFailure failure, string reason) =>
            Fail(failure == ProposalFailure.NotApplied ? new NotAppliedException(reason) : new OutcomeUnknownException(reason));

        /// <returns>Whether it need not wait any longer.</returns>
        public bool Judge(QuorumMembership now)
        {
            if (now._table is not { } table)
                return false;
            if (goal.IsReached(now._applied))
                _done.TrySetResult(now.Current!);
            else if (!goal.IsWanted(table))
                Fail(new MembershipChangeRefusedException($"{goal.TakenBack}: a later change took it back."));
            return _done.Task.IsCompleted;
        }

        public void Fail(Exception failure) => _done.TrySetException(failure);
    }
}
