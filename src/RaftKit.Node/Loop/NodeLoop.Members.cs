using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Log;
using RaftKit.Node.Members;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Loop;

/// <summary>The loop's dealings with who is a member: links follow the membership, and participants hear of it.</summary>
internal sealed partial class NodeLoop
{
    private readonly Dictionary<MemberId, string> _learned = [];

    public IReadOnlyDictionary<MemberId, string> ConfiguredEndpoints => _options.Members;

    /// <summary>What this is while it takes no part.</summary>
    private RaftRole NoRole => Self.IsObserver ? RaftRole.Observer : RaftRole.Follower;

    private void FollowMembership()
    {
        if (Core is not { } core)
            return;
        var tableChanged = _membersSeen != _applier.Members.Version;
        if (core.MembershipIndex != _membershipSeen)
        {
            // A member that was replaced by a newer incarnation of itself must not be heard any more.
            foreach (var (link, reason) in _links.Outdated(core.Membership))
                _ports.Transport.Refuse(link, reason);
        }
        else if (!tableChanged)
        {
            return;
        }
        _membershipSeen = core.MembershipIndex;
        _membersSeen = _applier.Members.Version;
        LinkMembers();
        WarnFounder(core);
        WarnMoved();
        if (!tableChanged)
            return;
        foreach (var participant in _participants)
            participant.MembershipApplied(_applier.Members, _applier.AppliedMembership, Endpoints(core));
    }

    // An empty directory that is configured with nobody else is a founder's (Bootstrap.Decide): nobody is there to tell it otherwise.
    private void WarnFounder(RaftCore core)
    {
        if (_founderWarned || _options.JoinOnly || Self.IsObserver || _options.Members.Count > 1 || core.Membership.All.Count() < 2)
            return;
        _founderWarned = true;
        LogFounder(_ports.Logger, Self.Value);
    }

    private bool _founderWarned;

    // It dials the others, and is linked; where two moved that way, neither finds the other.
    private void WarnMoved()
    {
        if (_options.Members.GetValueOrDefault(Self) is not { } configured || NetworkAddress.WhyNotDialled(configured) is not null
            || _applier.Members.Wanted.GetValueOrDefault(Self) is not { Endpoint: { Length: > 0 } known } || known == _movedFrom)
            return;
        _movedFrom = known;
        if (!NetworkAddress.AreSame(known, configured))
            LogMoved(_ports.Logger, Self.Value, configured, known);
    }

    private string _movedFrom = "";

    /// <summary>
    /// A member that hears no leader may have missed that others moved, or know it better than its operator, who gave it other endpoints:
    /// it goes by the one and by the other in turn.
    /// </summary>
    private void SeekMembers()
    {
        if (Core is null || (!Status.Leader.IsNone && !_seeksByConfiguration))
            _ticksWithoutLeader = 0;
        else if (!Status.Leader.IsNone || ++_ticksWithoutLeader % SeekTicks == 0)
        {
            _seeksByConfiguration = Status.Leader.IsNone && !_seeksByConfiguration;
            if (_options.Members.Any(m => _applier.Members.Wanted.GetValueOrDefault(m.Key) is { Endpoint.Length: > 0 } known && known.Endpoint != m.Value))
                LinkMembers();
        }
    }

    private const int SeekTicks = 200;
    private int _ticksWithoutLeader;
    private bool _seeksByConfiguration;

    /// <summary>
    /// Links with everybody who is a member or is to be one. Until somebody asked for a change, also with whoever is configured; a member
    /// of which it is not known where it listens (this one joined, and has not applied that yet) is waited for.
    /// </summary>
    private void LinkMembers()
    {
        var endpoints = Core is { } core ? Endpoints(core, toDial: true) : [];
        if (_applier.Members.IsEmpty)
        {
            foreach (var (id, endpoint) in _options.Members.Concat(_learned))
            {
                if (!IsLogAhead || _seeksByConfiguration || !_storage.EndpointsInLog.ContainsKey(id))
                    endpoints[id] = endpoint;
            }
        }
        else if (Self.IsObserver)
        {
            // What it holds of the members may be of long ago, and nobody dials it: those that it is configured with can tell who they are
            // now.
            foreach (var (id, endpoint) in _options.Members)
                endpoints.TryAdd(id, endpoint);
        }
        endpoints.Remove(Self);
        _ports.Transport.SetPeers(endpoints);
    }

    /// <summary>Another member has held this start against what it was told before.</summary>
    private void Judged(MemberId by, long link, PeerMessage.StartJudged judged)
    {
        if ((judged.Incarnation, judged.Boot) != (Incarnation, Boot))
            return;
        // Only of one that is heard: who was left behind by a forced quorum may know levels that were given up with it.
        if (judged.IsUnready && _links.IsHeard(by, link) && MayKnowLevels(by))
            throw new FeatureLevelUnsupportedException($"Member {by} refused this process: {judged.Refusal}");
        if (judged.IsUnready || Core is null)
            return;
        if (judged.Refusal.Length == 0)
        {
            _judgement.Admitted(by);
            return;
        }
        // Durably, so that no later start votes before somebody refuses it again.
        _storage.MarkRolledBack(judged.Refusal);
        throw new DirectoryRolledBackException($"{_ports.Directory.Location} is an old copy, as member {by} found: {judged.Refusal}");
    }

    /// <summary>
    /// Levels never fall, so whoever is of this cluster tells the truth of them: also one that this member does not know yet. But for what
    /// a forced quorum gave up: the survivor does not name whom it never knew of, and their word is about levels that may be gone.
    /// </summary>
    private bool MayKnowLevels(MemberId member) =>
        _applier.Recovery.Epoch == 0
            || (_links.Current(member) is { } hello && Core?.Membership.IncarnationOf(member)?.Incarnation == hello.Incarnation);

    /// <summary>
    /// Members that a forced quorum left behind may still run, and be linked with those of it that have not heard of the break yet. Neither
    /// hears the other: one that was left behind and took over a term of the new quorum's would stand for election in the next one, beside
    /// that quorum's own leader, and who joined last would follow it and serve what was given up (simulator seed 24). Observers repeat what
    /// they were told, and go on to the later epoch.
    /// </summary>
    private bool IsOfAnotherEpoch(RaftCore core, Message message) =>
        !message.From.IsObserver && core.Term > Term.Zero
        && (RecoveryEpoch.IsOfEarlier(message.Term, core.Term) || (!Self.IsObserver && RecoveryEpoch.IsOfEarlier(core.Term, message.Term)));

    /// <summary>
    /// A break was applied: whoever it left behind, and was linked before, is told so. Their terms are another epoch's and unseat nobody,
    /// so that a leader among them would go on as long as its links do.
    /// </summary>
    private void FollowRecovery(RaftCore core)
    {
        if (_applier.Recovery.Epoch <= _links.Recovery.Epoch || IsStopped)
            return;
        _links.Recovery = _applier.Recovery;
        TellRefused(_links.TakeLeftBehind(core.Membership));
    }

    private void TellRefused(List<(long Link, MemberId Member, string Reason)> refused)
    {
        foreach (var (link, member, reason) in refused)
        {
            LogLinkRefused(_ports.Logger, member.Value, reason);
            _ports.Transport.Send(member, _links.VerdictOn(link)!);
            // A later link of it, of a newer build, may be up already.
            if (!_links.IsUp(member))
                Unlinked(member);
        }
    }

    /// <summary>
    /// This observer holds what was committed once, and is not any more: durably, so that no later start shows that to anybody.
    /// </summary>
    private void EndDiverged(string why)
    {
        var reason =
            $"{why}. An operator forced a new quorum, which gave up what this observer holds beyond it, or the directory is of another cluster. "
            + "Empty the directory: the observer then starts anew.";
        _storage.MarkRolledBack(reason);
        throw new DirectoryRolledBackException($"{_ports.Directory.Location} holds what is not the cluster's: {reason}");
    }

    /// <summary>
    /// A later start of this observer proposes already. Nobody need have noticed its directory, since it promises nothing: that may be an
    /// old copy, of before it was emptied and given another life (then no later start can propose either, and says so), or be in use twice,
    /// or its clock, by which it counts its starts, went back (then the next one is later).
    /// </summary>
    private void EndSuperseded()
    {
        var reason = $"A later start of observer {Self} proposes already than this one ({_pending.Proposer}).";
        if (_applier.Proposers.LastLife(Self) > Incarnation)
        {
            reason += " It has another life since: the directory is of before it was emptied. Empty it: the observer then starts anew.";
            _storage.MarkRolledBack(reason);
        }
        else
        {
            reason += " Is the directory, or a copy of it, in use twice, or did the machine's clock go back? End the other one, or start this one again.";
        }
        throw new DirectoryRolledBackException($"{_ports.Directory.Location} is not the newest of its observer: {reason}");
    }

    /// <summary>This member joins, and was told of one that it is not configured with.</summary>
    private void Learn(MemberId member, string endpoint)
    {
        if (_options.Members.ContainsKey(member) || (_learned.TryGetValue(member, out var known) && known == endpoint))
            return;
        _learned[member] = endpoint;
        LinkMembers();
    }

    /// <summary>
    /// Everybody who is a member or is to be one, and where: by the table, then by this member's configuration, then by what the log asks
    /// for and may not be committed. To dial them, what the log says beyond what is applied comes first: whoever moved by it is there.
    /// </summary>
    private Dictionary<MemberId, string> Endpoints(RaftCore core, bool toDial = false)
    {
        var byLog = toDial && IsLogAhead;
        var byConfiguration = toDial && _seeksByConfiguration;
        return core.Membership.All.Concat(_applier.AppliedMembership.All).Concat(_applier.Members.Wanted.Keys).Distinct().ToDictionary(id => id, EndpointOf);

        string EndpointOf(MemberId id)
        {
            var configured = _options.Members.GetValueOrDefault(id, "");
            var logged = _storage.EndpointsInLog.GetValueOrDefault(id, "");
            if (byConfiguration && configured.Length > 0)
                return configured;
            if (byLog && logged.Length > 0)
                return logged;
            if (_applier.Members.Wanted.TryGetValue(id, out var wanted) && wanted.Endpoint.Length > 0)
                return wanted.Endpoint;
            return configured.Length > 0 ? configured : logged;
        }
    }

    // What was read at the start is older than what was applied since, and is nothing once another leader's entries took its place.
    private bool IsLogAhead => Core is { } core && _storage.LastChangeInLog is var (index, term) && index > core.Applied && core.Log.Holds(index, term);
}
