using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Liveness;
using RaftKit.Node.Members;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Loop;

internal sealed partial class NodeLoop
{
    /// <summary>
    /// How a member without an identity comes by one, and what this member tells others who have none. <see cref="Bootstrap"/> decides,
    /// this acts.
    /// </summary>
    private sealed class Formation(NodeLoop loop)
    {
        private const int ProbeEveryTicks = 8;
        private const int JoinEveryTicks = 20;
        private const int MostReasons = 64;

        private readonly Bootstrap _bootstrap = new(
            loop.Self, [.. loop._options.Members.Keys.Order()], loop._options.ForceBootstrap, loop._options.JoinOnly);
        private SeededGuids _guids = new(loop._options.Seed);
        private MemberId _leaderHint;
        private readonly HashSet<MemberId> _minting = [];
        private readonly HashSet<MemberId> _adding = [];

        /// <summary>Which process was given which life that no disk of it may hold yet.</summary>
        private readonly Dictionary<MemberId, (int Life, HostProcess Process)> _given = [];
        private bool _redirected;
        private string _refusal = "";
        private readonly HashSet<string> _reasonsLogged = new(StringComparer.Ordinal);
        private int _ticks;

        public string Waiting => _refusal.Length > 0 ? _refusal
            : loop.Self.IsObserver
                ? $"Waiting for one of members {string.Join(", ", loop._options.Members.Keys.Order())}, of a cluster that is formed and has a leader." : _bootstrap.Waiting;

        public Guid NewClusterId() => _guids.Next();

        public void Tick()
        {
            if (loop.Core is not null)
                return;
            if (_ticks++ % ProbeEveryTicks == 0 && !loop.Self.IsObserver)
            {
                foreach (var member in loop._links.Linked)
                    Probe(member);
            }
            Step();
            if (loop.Self.IsObserver)
            {
                if (_ticks % JoinEveryTicks == 0)
                    AskToObserve(_ticks / JoinEveryTicks);
            }
            else if (loop.Core is null && _ticks % JoinEveryTicks == 0 && _bootstrap.Decide() == BootstrapStep.Join)
            {
                _redirected = false;
                AskToJoin();
            }
            if (_ticks % 2000 == 0)
                LogWaiting(loop._ports.Logger, loop.Self.Value, Waiting);
        }

        public void Linked(PeerHello hello)
        {
            if (loop.Core is not null)
                return;
            if (loop.Self.IsObserver)
            {
                AskToJoin(hello.Member);
                return;
            }
            // Before anything else that it says: whoever names its cluster must not come too late.
            _bootstrap.Linked(hello);
            Probe(hello.Member);
        }

        /// <summary>Forms the cluster if everything that it needs is known.</summary>
        public void Step()
        {
            if (loop.Core is null && !loop.Self.IsObserver && _bootstrap.Decide() == BootstrapStep.Form)
                TakeIdentity(() => loop._storage.Form());
        }

        public void Probed(MemberId from, PeerMessage.BootstrapProbe probe)
        {
            var state = BootstrapState.Formed;
            if (loop.Core is null)
                state = BootstrapState.Empty;
            // A founder that is late is told so; one that took part already, and asks, has lost its disk.
            else if (loop.Core.Commit == LogIndex.Zero && loop.ClusterId == Guid.Empty && !loop._links.Remembers(from)
                && probe.Configured.Contains(from))
                state = BootstrapState.Forming;
            loop._ports.Transport.Send(from, new PeerMessage.BootstrapAnswer(state, loop.ClusterId, _bootstrap.Configured));
        }

        public void Answered(MemberId from, PeerMessage.BootstrapAnswer answer)
        {
            if (loop.Core is not null)
                return;
            _bootstrap.Answered(from, answer);
            if (answer.State == BootstrapState.Formed && _leaderHint.IsNone)
            {
                _leaderHint = from;
                _redirected = false;
                AskToJoin();
            }
            Step();
        }

        public void AskedToJoin(MemberId from, long link, PeerMessage.JoinRequest request)
        {
            // Of a link that was replaced, perhaps by another process under the same number: the answer would go to that one.
            if (loop.Core is not { } core || request.Member != from || !loop._links.IsHeard(from, link)
                || loop._links.Current(from) is not { Incarnation: 0 } hello)
                return;
            if (from.IsObserver)
            {
                // Any member may answer: the log gives the number. One that waits for its answer already is not asked for again.
                if (!loop.Self.IsObserver && loop.ClusterId != Guid.Empty && loop.Status.Ready && _minting.Add(from))
                    loop.Take(new NodeInput.Propose(
                        Applier.NodeSection, Applier.MintObserverLife(from), new ObserverLife(this, from, link)));
                return;
            }
            // Not an observer: what operators decided for the members is not its to overrule.
            if (hello.AsksToBeAdded && !loop.Self.IsObserver && loop.Status.Ready && loop.ClusterId != Guid.Empty && AddsIt(core, link, hello, request.Endpoint))
                return;
            if (MembershipKeeper.Join(
                core, request, loop.ClusterId, loop.Status.Ready, life => loop._links.Remembers(life) || IsOfAnother(life, hello.Process),
                loop._applier.Recovery.LastLifeBefore, loop.Now.UnixMilliseconds, loop._applier.Members.Wanted.ContainsKey(from)) is { } reply)
            {
                if (reply.Accepted)
                    _given[from] = (reply.Incarnation, hello.Process);
                // The new member may not know of the leader yet: it is told where to find it.
                var leader = reply.Leader.IsNone ? "" : loop.Endpoints(core).GetValueOrDefault(reply.Leader, "");
                loop._ports.Transport.Send(from, reply with { LeaderEndpoint = leader });
            }
        }

        // Two processes under one life would each vote, and acknowledge, by what it has itself.
        private bool IsOfAnother(MemberIncarnation life, HostProcess process) =>
            _given.TryGetValue(life.Id, out var given) && given.Life == life.Incarnation && given.Process != process;

        /// <summary>
        /// Two processes run under one number. The one that came later hears so at its handshake; this tells the one that is linked.
        /// </summary>
        public void Doubled(MemberId member, string reason)
        {
            if (loop.Core is not null && loop._links.Current(member) is { } hello)
                loop._ports.Transport.Send(member, new PeerMessage.JoinReply(false, loop.ClusterId, hello.Incarnation, MemberId.None, reason));
        }

        /// <summary>
        /// A process that no operator named asks to be a member: any member proposes that, and the log decides (KIP-853's auto join). Once
        /// it is one, it is taken in like any other. What would be refused as of now does not reach the log: it comes again, every <see
        /// cref="JoinEveryTicks"/> ticks.
        /// </summary>
        /// <returns>Whether that is all for now; else it is a member already, or is to be one.</returns>
        private bool AddsIt(RaftCore core, long link, PeerHello hello, string endpoint)
        {
            var member = hello.Member;
            var change = new MembershipChange.AddItself(loop.ConfiguredEndpoints, member, endpoint, hello.Features);
            if (loop.Endpoints(core).TryGetValue(member, out var known))
            {
                // It may be that member, whose disk is lost. At another address it is another process, which was given a number that is
                // taken: it must not put an end to that member's life.
                if (change.WhyAnother(known) is not { } another)
                    return false;
                Refuse(member, another);
                return true;
            }
            if (!loop._options.AllowAutoJoin)
                Refuse(member, HelloRules.NobodyByTheirOwnWish(loop.Self, member, endpoint));
            else if (NetworkAddress.WhyNotDialled(endpoint) is { } undialled)
                Refuse(member, $"Member {member} says that it listens at '{endpoint}', which no member can dial: {undialled}");
            else if (loop.Endpoints(core).TryGetValue(loop.Self, out var own) && NetworkAddress.IsOnLoopback(own) != NetworkAddress.IsOnLoopback(endpoint))
            {
                // It would get a vote, and be linked with whoever it dialled alone.
                Refuse(member, $"Member {member} says that it listens at '{endpoint}', and member {loop.Self} is known at '{own}': one of them can only be dialled from its own machine. Give each an endpoint in Members that all others can dial.");
            }
            else if (loop._applier.WhyRefused(change) is { } refusal)
                Refuse(member, refusal);
            else if (change.IsSound && _adding.Add(member))
            {
                LogAdding(loop._ports.Logger, loop.Self.Value, member.Value, endpoint);
                loop.Take(new NodeInput.Propose(Applier.NodeSection, change.Encode(), new Addition(this, member, link)));
            }
            return true;
        }

        /// <summary>The log decided on whoever asked to be added; one that was added hears so when it asks again, by its first life.</summary>
        public void Decided(MemberId asked, long link, string refusal)
        {
            _adding.Remove(asked);
            if (refusal.Length > 0 && loop._links.IsHeard(asked, link) && loop._links.Current(asked) is { Incarnation: 0 })
                Refuse(asked, refusal);
        }

        /// <summary>It is not known here whether it was added; it asks again, and is a member by then if it was.</summary>
        public void Undecided(MemberId asked, long link, string reason)
        {
            LogUndecided(loop._ports.Logger, loop.Self.Value, asked.Value, reason);
            if (loop.IsStopped)
                _adding.Remove(asked);
            else
                Decided(asked, link, $"Member {loop.Self} proposed to add it, and has no result of that: {reason}");
        }

        private void Refuse(MemberId asked, string reason) =>
            loop._ports.Transport.Send(asked, new PeerMessage.JoinReply(false, loop.ClusterId, 0, MemberId.None, reason));

        public void Minted(MemberId observer, long link, int life)
        {
            _minting.Remove(observer);
            // Once only, and only to the process that asked: one that was started since may have had a later life already, and lost it, and
            // could propose nothing under this one (simulator seed 73 of 60 s). It asks again.
            if (life > 0 && loop._links.IsHeard(observer, link) && loop._links.Current(observer) is { Incarnation: 0 })
                loop._ports.Transport.Send(observer, new PeerMessage.JoinReply(true, loop.ClusterId, life, loop.Status.Leader, ""));
        }

        public void JoinAnswered(MemberId from, PeerMessage.JoinReply reply)
        {
            if (loop.Core is not null)
            {
                // Not an answer: one names no life with a refusal. What this one asked before it was taken in may still be answered.
                if (!reply.Accepted && reply.Incarnation > 0 && reply.Incarnation == loop.Incarnation && IsNews(reply.Reason))
                    LogDoubled(loop._ports.Logger, loop.Self.Value, from.Value, reply.Reason);
                return;
            }
            _refusal = reply.Reason;
            if (!reply.Accepted)
            {
                // It goes on asking, for what is in its way may be mended while it runs; that is said once.
                if (reply.Reason is not ("" or MembershipKeeper.NotLeader) && IsNews(reply.Reason))
                    LogNotTakenIn(loop._ports.Logger, loop.Self.Value, from.Value, reply.Reason);
                _leaderHint = reply.Leader;
                if (reply.Leader is { IsNone: false, IsObserver: false } && reply.Leader != loop.Self
                    && NetworkAddress.TryParse(reply.LeaderEndpoint, out _))
                    loop.Learn(reply.Leader, reply.LeaderEndpoint);
                // At once only when it names another, and once: a leader that refuses is asked again in its time, not as fast as it
                // answers.
                if (reply.Leader != from && !reply.Leader.IsNone && !_redirected)
                {
                    _redirected = true;
                    AskToJoin();
                }
                return;
            }
            LogJoining(loop._ports.Logger, loop.Self.Value, reply.ClusterId, reply.Incarnation, from.Value);
            // Without a term it would hear whoever comes first, also a leader that a forced quorum left behind.
            TakeIdentity(() => loop._storage.Join(reply.ClusterId, reply.Incarnation, reply.Term));
        }

        // Members that are asked in turn may each have a reason of their own.
        private bool IsNews(string reason)
        {
            if (_reasonsLogged.Count >= MostReasons)
                _reasonsLogged.Clear();
            return _reasonsLogged.Add(reason);
        }

        private void Probe(MemberId member) =>
            loop._ports.Transport.Send(member, new PeerMessage.BootstrapProbe(_bootstrap.Configured));

        private void AskToJoin()
        {
            var target = _leaderHint.IsNone || !loop._links.IsUp(_leaderHint) ? _bootstrap.Formed : _leaderHint;
            if (!target.IsNone)
                AskToJoin(target);
            // One whose link is on its way yet is asked once it is there.
            if (target == _leaderHint)
                _leaderHint = MemberId.None;
        }

        private void AskToObserve(int turn)
        {
            if (loop._links.Linked.ToList() is { Count: > 0 } linked)
                AskToJoin(linked[turn % linked.Count]);
        }

        private void AskToJoin(MemberId member) =>
            loop._ports.Transport.Send(
                member, new PeerMessage.JoinRequest(loop.Self, loop._options.Members.GetValueOrDefault(loop.Self, "")));

        private void TakeIdentity(Func<RestoredState> take)
        {
            loop.BeginConsensus(take(), StartJudgement.NotNeeded);
            loop.AnnounceSelf();
            // The links of before were made by a member without an identity: they are made again under the new one.
            foreach (var link in loop._links.AllLinks)
                loop._ports.Transport.Relink(link, $"Member {loop.Self} has an identity now.");
        }
    }

    /// <summary>Tells an observer the life that the log gave it.</summary>
    private sealed class ObserverLife(Formation formation, MemberId observer, long link) : IProposalCallback
    {
        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result) =>
            formation.Minted(observer, link, new MessagePackReader(result).ReadInt32());

        public void Failed(ProposalFailure failure, string reason) => formation.Minted(observer, link, 0);
    }

    /// <summary>Tells a process that asked to be added if it is not.</summary>
    private sealed class Addition(Formation formation, MemberId member, long link) : IProposalCallback
    {
        public void Applied(in CommandContext context, ReadOnlyMemory<byte> result) =>
            formation.Decided(member, link, new MessagePackReader(result).ReadString() ?? "");

        public void Failed(ProposalFailure failure, string reason) => formation.Undecided(member, link, reason);
    }

    /// <summary>Ids that follow from the seed, so that a simulation mints the same ones each time.</summary>
    private struct SeededGuids(ulong seed)
    {
        private ulong _state = seed;

        public Guid Next()
        {
            Span<byte> bytes = stackalloc byte[16];
            BitConverter.TryWriteBytes(bytes, Mix());
            BitConverter.TryWriteBytes(bytes[8..], Mix());
            return new Guid(bytes);
        }

        // SplitMix64.
        private ulong Mix()
        {
            var z = _state += 0x9E3779B97F4A7C15;
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            return z ^ (z >> 31);
        }
    }
}
