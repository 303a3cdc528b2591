using RaftKit.Consensus;
using RaftKit.Node.Levels;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Members;

/// <summary>Whether what comes over a link may reach the consensus core.</summary>
internal enum Admission
{
    /// <summary>It may.</summary>
    Admitted,

    /// <summary>Not yet: the peer's start must be remembered durably first, or the peer has no identity yet.</summary>
    Waiting,

    /// <summary>It may not; the link was refused.</summary>
    Refused,
}

/// <summary>Why a link's peer is not heard.</summary>
/// <param name="Reason">In words, with the values, and what to do.</param>
/// <param name="IsRolledBack">
/// Its disk has forgotten what it promised under this incarnation: it must never take part under it again.
/// </param>
/// <param name="IsUnready">Its process does not support a level that is finalised.</param>
internal sealed record LinkRefusal(string Reason, bool IsRolledBack, bool IsUnready = false)
{
    /// <summary>Whether the peer is to hear it over the link, and to stop: it has no business with anybody else either.</summary>
    public bool IsTold => IsRolledBack || IsUnready;
}

/// <summary>
/// Who is at the other end of each link, and whether it may take part: a member that lost or rolled back its disk must never vote or
/// acknowledge under the identity it had (DESIGN, promise 4). Decided on the loop, so that the simulator decides it too. Loop thread only.
/// </summary>
internal sealed class PeerLinks
{
    private readonly Dictionary<long, Peer> _links = [];
    private readonly Dictionary<MemberId, long> _current = [];
    private readonly Dictionary<MemberId, PeerBoot> _remembered = [];
    private readonly Dictionary<MemberId, HeardStart> _heard = [];
    private readonly Dictionary<long, (PeerHello Hello, LinkRefusal Refusal)> _told = [];
    private readonly List<PeerBoot> _toRemember = [];

    /// <summary>Starts that the next log batch must carry.</summary>
    public bool HasBootsToRemember => _toRemember.Count > 0;

    public PeerBoot[] TakeBootsToRemember()
    {
        PeerBoot[] boots = [.. _toRemember];
        _toRemember.Clear();
        return boots;
    }

    /// <summary>What the disk remembers of other members' starts.</summary>
    public void Restore(IEnumerable<PeerBoot> boots)
    {
        foreach (var boot in boots)
            _remembered[boot.Member] = boot;
    }

    /// <summary>What earlier starts of this member were told.</summary>
    public void Restore(IEnumerable<Witnessed> witnessed)
    {
        foreach (var one in witnessed)
        {
            _heard[one.Member] = new HeardStart(
                new PeerHello(
                    Guid.Empty, one.Member, one.Incarnation, one.Boot, "", one.Process) { RunEnds = one.RunEnds }) { Told = one.Told };
        }
    }

    /// <summary>Whether members told more of their disks than was taken to be written down.</summary>
    public bool HasNews { get; private set; }

    public IReadOnlyList<Witnessed> TakeWitnessed()
    {
        HasNews = false;
        return [.. _heard.OrderBy(h => h.Key).Where(h => !h.Key.IsObserver).Select(h => h.Value.ToWitnessed())];
    }

    /// <summary>Whether this member has ever seen the other one take part.</summary>
    public bool Remembers(MemberId member) => _remembered.ContainsKey(member);

    /// <summary>Whether this member has ever seen that incarnation of the other one take part.</summary>
    public bool Remembers(MemberIncarnation life) =>
        (_remembered.TryGetValue(life.Id, out var boot) && boot.Incarnation >= life.Incarnation)
        || (_heard.TryGetValue(life.Id, out var heard) && heard.Hello.Incarnation >= life.Incarnation);

    /// <summary>The hello of the member's current link; null when there is none.</summary>
    public PeerHello? Current(MemberId member) => _current.TryGetValue(member, out var link) ? _links[link].Hello : null;

    /// <summary>Lives whose data is of before an operator forced a new quorum. They are told so, and stop.</summary>
    public RecoveryEpoch Recovery { get; set; } = RecoveryEpoch.First;

    /// <summary>The last life that the log gave to a member, as far as it is applied here.</summary>
    public Func<MemberId, int> LastLifeOf { get; set; } = static _ => 0;

    /// <summary>Finalised levels: whoever does not support them is told so, and stops.</summary>
    public FinalizedLevels Levels { get; set; } = FinalizedLevels.None;

    public bool IsUp(MemberId member) => _current.ContainsKey(member);

    /// <summary>Whether this is the link of the member that is heard.</summary>
    public bool IsHeard(MemberId member, long link) => _current.TryGetValue(member, out var current) && current == link;

    public IReadOnlyList<long> AllLinks => [.. _links.Keys.Order()];

    /// <summary>Members with a link.</summary>
    public IEnumerable<MemberId> Linked => _current.Keys.Order();

    /// <summary>A link came up: judges its peer.</summary>
    /// <returns>Why the link is refused; null if it is not.</returns>
    public LinkRefusal? Up(long link, PeerHello hello, Guid clusterId, Membership membership)
    {
        var refusal = Judge(hello, clusterId, membership);
        if (refusal is { IsTold: true })
            _told[link] = (hello, refusal);
        if (refusal is not null)
            return refusal;
        var peer = new Peer(hello);
        _links[link] = peer;
        _current[hello.Member] = link;
        if (hello.Incarnation == 0)
            return null;
        if (!_heard.TryGetValue(hello.Member, out var heard) || !heard.IsStart(hello))
        {
            _heard[hello.Member] = new HeardStart(hello);
            HasNews |= !hello.Member.IsObserver;
        }
        var boot = new PeerBoot(hello.Member, hello.Incarnation, hello.Boot);
        // An observer promises nothing that it could forget. Each segment of the log names those that are remembered: that is for members.
        if (hello.Member.IsObserver)
            peer.Admission = Admission.Admitted;
        else if (_remembered.TryGetValue(hello.Member, out var known) && known == boot)
            peer.Admission = Admission.Admitted;
        else if (!_toRemember.Contains(boot))
            _toRemember.Add(boot);
        return null;
    }

    /// <summary>Starts are durable now: messages that waited for that may go on, in order.</summary>
    public void Remembered(IReadOnlyList<PeerBoot> boots, Action<MemberId, PeerMessage> deliver)
    {
        foreach (var boot in boots)
        {
            if (!_remembered.TryGetValue(boot.Member, out var known) || IsOlder(known, boot.Incarnation, boot.Boot))
                _remembered[boot.Member] = boot;
            if (_current.TryGetValue(boot.Member, out var link) && _links[link] is { } peer && peer.IsStart(boot))
                peer.Admit(deliver);
        }
    }

    /// <summary>What a peer is to hear that was refused for good and speaks nevertheless: it may not have heard why.</summary>
    public PeerMessage.StartJudged? VerdictOn(long link) =>
        _told.TryGetValue(link, out var refused)
            ? new(refused.Hello.Incarnation, refused.Hello.Boot, refused.Refusal.Reason, refused.Refusal.IsUnready) : null;

    public void Down(long link)
    {
        _told.Remove(link);
        if (_links.Remove(link, out var peer) && _current.TryGetValue(peer.Hello.Member, out var current) && current == link)
            _current.Remove(peer.Hello.Member);
    }

    /// <summary>Whether a message of the core, or of sessions, may pass now; keeps it if it must wait.</summary>
    public Admission Pass(long link, PeerMessage message)
    {
        if (!_links.TryGetValue(link, out var peer) || _current[peer.Hello.Member] != link)
            return Admission.Refused;
        // A promise, or the word of one: its sender's disk held all of it up to this batch.
        if (message is PeerMessage.Raft { DurableBatch: var batch } && _heard.TryGetValue(peer.Hello.Member, out var heard)
            && batch > heard.Told)
        {
            heard.Told = batch;
            HasNews |= !peer.Hello.Member.IsObserver;
        }
        if (peer.Admission == Admission.Waiting && peer.Hello.Incarnation != 0)
            peer.Keep(message);
        return peer.Admission;
    }

    /// <summary>
    /// Whether the core may hear a message that was admitted. Messages name members and not lives: what a later life answers would count
    /// for the one that this membership names, which may have promised, or acknowledged, what the later one knows nothing of. So it is left
    /// out until this member has heard of a membership that names the later one; that there is a newer term is heard nevertheless. Requests
    /// are of whoever makes them.
    /// </summary>
    public bool MayCount(Message message, Membership membership, Term term)
    {
        var granted = message is VoteReply { Granted: true };
        if (!granted && (message.Term > term || message is not (VoteReply or AppendReply or HeartbeatReply or SnapshotReply)))
            return true;
        return Current(message.From) is not { } hello || !membership.NamesAnotherLifeOf(new(hello.Member, hello.Incarnation));
    }

    /// <summary>Links that a newer membership rules out: their member goes by a newer incarnation now.</summary>
    public List<(long Link, string Reason)> Outdated(Membership membership)
    {
        var outdated = new List<(long, string)>();
        foreach (var (link, peer) in _links)
        {
            if (Replaced(peer.Hello, membership) is { } reason)
                outdated.Add((link, reason));
        }
        return outdated;
    }

    /// <summary>Links of processes that do not support what is finalised now. They are heard no more.</summary>
    public List<(long Link, MemberId Member, string Reason)> TakeUnready() => Take(Unready);

    /// <summary>
    /// Links that came up before this member heard of the break, of members that it left behind. They are heard no more.
    /// </summary>
    public List<(long Link, MemberId Member, string Reason)> TakeLeftBehind(Membership membership) =>
        Take(hello => hello.Incarnation == 0 ? null : LeftBehind(hello, membership));

    private List<(long Link, MemberId Member, string Reason)> Take(Func<PeerHello, LinkRefusal?> judge)
    {
        var taken = new List<(long, MemberId, string)>();
        foreach (var (link, peer) in _links.OrderBy(l => l.Key).ToList())
        {
            if (judge(peer.Hello) is not { } refusal)
                continue;
            Down(link);
            _told[link] = (peer.Hello, refusal);
            taken.Add((link, peer.Hello.Member, refusal.Reason));
        }
        return taken;
    }

    private LinkRefusal? Unready(PeerHello hello) =>
        Levels.WhyUnready(hello.Member, hello.Features) is { } reason ? new(reason, false, IsUnready: true) : null;

    private LinkRefusal? Judge(PeerHello hello, Guid clusterId, Membership membership)
    {
        if (clusterId != Guid.Empty && hello.ClusterId != Guid.Empty && hello.ClusterId != clusterId)
        {
            return new($"Member {hello.Member} belongs to cluster {hello.ClusterId}, this is cluster {clusterId}. Check the member's data directory and endpoints.", false);
        }
        if (hello.Incarnation == 0)
            return Unready(hello);
        if (LeftBehind(hello, membership) is { } leftBehind)
            return leftBehind;
        if (Replaced(hello, membership) is { } replaced)
            return new(replaced, false);
        if (_remembered.TryGetValue(hello.Member, out var known)
            && IsOlder(new PeerBoot(hello.Member, hello.Incarnation, hello.Boot), known.Incarnation, known.Boot))
        {
            return RolledBack(hello, $"but incarnation {known.Incarnation}, boot {known.Boot} of it was seen");
        }
        return _heard.TryGetValue(hello.Member, out var heard) && heard.WhatIsForgottenBy(hello) is { } forgotten
            ? RolledBack(hello, forgotten) : Unready(hello);
    }

    // Either the break names it, or it is of a life that the log never gave, of before the break: the survivor had not heard of it.
    private LinkRefusal? LeftBehind(PeerHello hello, Membership membership)
    {
        if (Recovery.LeftBehind.Any(life => life.Id == hello.Member && hello.Incarnation <= life.Incarnation)
            || (!hello.Member.IsObserver && hello.Incarnation <= Recovery.LastLifeBefore && hello.Incarnation > LastLifeOf(hello.Member)
                && membership.IncarnationOf(hello.Member)?.Incarnation != hello.Incarnation))
        {
            return new(
                $"Member {hello.Member} starts as incarnation {hello.Incarnation}, with data of before recovery epoch {Recovery.Epoch}, in which an operator forced a new quorum without "
                + "it: what its log holds beyond that is given up, and is not merged. Empty the directory; the member then joins under a new incarnation.", true);
        }
        return null;
    }

    private static LinkRefusal RolledBack(PeerHello hello, string why) => new(
        $"Member {hello.Member} starts as incarnation {hello.Incarnation}, boot {hello.Boot}, {why}: its data directory is an old copy and may have forgotten "
        + "votes and entries. Empty the directory; the member then joins under a new incarnation.", true);

    private static string? Replaced(PeerHello hello, Membership membership)
    {
        var named = membership.IncarnationOf(hello.Member);
        return hello.Incarnation != 0 && named is { } now && now.Incarnation > hello.Incarnation
            ? $"Incarnation {hello.Incarnation} of member {hello.Member} was replaced by incarnation {now.Incarnation}. Empty its data directory; it then joins anew."
            : null;
    }

    private static bool IsOlder(PeerBoot boot, int incarnation, long number) =>
        boot.Incarnation != incarnation ? boot.Incarnation < incarnation : boot.Boot < number;

    /// <summary>The newest start of a member that was linked here, and the most that it told of what its disk holds.</summary>
    private sealed class HeardStart(PeerHello hello)
    {
        public PeerHello Hello => hello;

        /// <summary>The last batch of its log that it said to be synced. It promised nothing that is not in there.</summary>
        public long Told { get; set; }

        public Witnessed ToWitnessed() => new(hello.Member, hello.Incarnation, hello.Boot, Told, hello.Process, hello.RunEnds);

        public bool IsStart(PeerHello other) => (other.Incarnation, other.Boot) == (hello.Incarnation, hello.Boot);

        /// <summary>What a later hello's disk has surely held and does not hold; null if nothing.</summary>
        public string? WhatIsForgottenBy(PeerHello later)
        {
            if (later.Incarnation != hello.Incarnation)
                return null;
            if (later.Boot == hello.Boot)
            {
                // The copy is of before that start was counted; or it is the very process that was linked before.
                return later.Process != hello.Process && later.Process != HostProcess.Unknown && hello.Process != HostProcess.Unknown
                    ? $"and so did another process of it (pid {hello.Process.Pid})"
                    : null;
            }
            // An observer counts its starts by the clock, which may have been set back; but never below one that its directory knows of
            // (simulator seed 541).
            if (later.Boot < hello.Boot)
                return $"but boot {hello.Boot} of it was seen";
            if (later.RunEnds.Of(hello.Boot) is { } end && end < Told)
                return $"and its boot {hello.Boot} ended with batch {end} of its log, but batch {Told} was on its disk when it last spoke to this member";
            foreach (var known in hello.RunEnds.Ends)
            {
                if (later.RunEnds.Of(known.Boot) is { } other && other != known.Batch)
                    return $"and its boot {known.Boot} ended with batch {other} of its log, but it said {known.Batch} when it was boot {hello.Boot}";
            }
            return null;
        }
    }

    private sealed class Peer(PeerHello hello)
    {
        // Bounded: what a peer says before it is admitted is repeated by Raft anyway.
        private const int MaxKept = 1024;
        private readonly List<PeerMessage> _kept = [];

        public PeerHello Hello { get; } = hello;

        public Admission Admission { get; set; } = Admission.Waiting;

        public bool IsStart(PeerBoot boot) => Hello.Incarnation == boot.Incarnation && Hello.Boot == boot.Boot;

        public void Keep(PeerMessage message)
        {
            if (_kept.Count < MaxKept)
                _kept.Add(message);
        }

        public void Admit(Action<MemberId, PeerMessage> deliver)
        {
            Admission = Admission.Admitted;
            foreach (var message in _kept)
                deliver(Hello.Member, message);
            _kept.Clear();
        }
    }
}
