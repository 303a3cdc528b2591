using System.Runtime.CompilerServices;
using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;

namespace RaftKit.TestKit;

/// <summary>
/// Raft's invariants (by their numbers in tests/RaftKit.Simulation/README.md), checked after every event on the member that took it,
/// against what all members ever did. It knows what the disks truly hold, and never asks a node what it believes about that.
/// </summary>
internal sealed partial class SafetyChecker
{
    private readonly SimulatedWorld _world;
    private readonly Dictionary<MemberId, Mirror> _mirrors = [];
    private readonly Dictionary<Term, (MemberId Member, int Process)> _leaders = [];
    private readonly Dictionary<(MemberIncarnation Voter, Term Term), MemberId> _votes = [];
    private readonly Dictionary<(LogIndex Index, Term Term), (ulong Hash, Term? Previous)> _entries = [];
    private readonly Dictionary<LogIndex, Term> _committed = [];
    private readonly SortedDictionary<Term, LogIndex> _committedIn = [];
    private readonly HashSet<MemberIncarnation> _promised = [];
    private readonly HashSet<MemberIncarnation> _lost = [];
    private readonly HashSet<MemberIncarnation> _rolledBack = [];
    private readonly Dictionary<MemberIncarnation, DurableLog> _beforeDamage = [];
    private readonly Dictionary<MemberIncarnation, (DurableLog Log, LogEnd End)> _beforeRot = [];
    private readonly Dictionary<(int Process, MemberId From), Told> _told = [];
    private readonly Dictionary<(int Process, ulong Token), LogIndex> _reads = [];

    public SafetyChecker(SimulatedWorld world)
    {
        _world = world;
        foreach (var member in world.Everybody)
            _mirrors.Add(member.Id, new Mirror());
    }

    /// <summary>How often a member became leader.</summary>
    public int LeaderChanges { get; private set; }

    /// <summary>The highest index that any leader committed.</summary>
    public LogIndex Committed { get; private set; }

    /// <summary>A process is up: what its start found on the disk must hold all that was durable before.</summary>
    public void Started(SimulatedMember member, SimulatedRun run)
    {
        var mirror = _mirrors[member.Id];
        mirror.Begin(run.Process.Number);
        run.Transport.Sending = (to, message) => Sending(member, run, to, message);
        run.LogLane.Executing = job =>
        {
            if (job is LogWriteJob { Batch: var batch })
                _mirrors[member.Id].Durable.Attempt(batch);
        };
        run.LogLane.Executed = job => Executed(member, job);
        if (run.Loop.Core is { } core)
            TakeRestored(member, run, core);
    }

    /// <summary>Whether a member is in the newest committed membership, or in one that may come after it.</summary>
    public bool MayCount(MemberId member)
    {
        var known = _mirrors.Where(m => !_world[m.Key].IsLeftBehind).Select(m => m.Value).ToList();
        var committed = known.Select(m => m.MembershipIndex).Where(i => i <= Committed).DefaultIfEmpty().Max();
        return known.Any(m => m.MembershipIndex >= committed && m.Membership.IncarnationOf(member) is not null);
    }

    /// <summary>
    /// The newest committed membership, if no member holds one that may come after it; null otherwise, or while two halves count.
    /// </summary>
    public Membership? SettledMembership
    {
        get
        {
            var newest = _mirrors.Where(m => !m.Key.IsObserver && !_world[m.Key].IsLeftBehind).MaxBy(m => m.Value.MembershipIndex).Value;
            return newest.MembershipIndex <= Committed && !newest.Membership.IsJoint ? newest.Membership : null;
        }
    }

    public void AfterTurn(SimulatedMember member, SimulatedRun run, IReadOnlyList<NodeInput> inputs)
    {
        for (var i = 0; i < inputs.Count; i++)
        {
            if (inputs[i] is NodeInput.Received { Message: PeerMessage.Raft { Message: var raft }, From: var from })
                Hear(run, from, raft);
        }
        if (run.Loop.IsStopped || run.Loop.Core is not { } core)
            return;
        var mirror = _mirrors[member.Id];
        if (!mirror.HasCore)
            TakeRestored(member, run, core);
        var membership = MembershipOf(mirror, core);
        if (member.Id.IsObserver)
            CheckObserver(member, mirror, core, inputs);
        CheckTerm(member, mirror, core);
        Require(!member.IsLeftBehind || member.Id.IsObserver || core.Term < ForcedTerm, 1,
            $"member {member.Id}, which a forced quorum left behind, came to term {core.Term}: those from {ForcedTerm} on are that quorum's");
        if (core.RottenEnd is null && mirror.Durable.Last >= core.LastIndex)
            _beforeRot.Remove(new MemberIncarnation(member.Id, run.Loop.Incarnation));
        CheckLog(member, mirror, core);
        if (core.Role == RaftRole.Leader && mirror.Role != RaftRole.Leader)
            CheckElection(member, run, mirror, core, membership);
        CheckCommit(member, mirror, core, membership);
        CheckOrder(member, core);
        mirror.Take(core, membership);
    }

    /// <summary>At the end, when all have converged: nothing that was committed is missing anywhere.</summary>
    public void CheckConverged()
    {
        foreach (var member in _world.Everybody)
        {
            if (member.Loop?.Core is not { } core)
                continue;
            Require(core.Commit >= Committed, 6, $"member {member.Id} converged at commit {core.Commit}, though {Committed} was committed");
        }
    }

    private void TakeRestored(SimulatedMember member, SimulatedRun run, RaftCore core)
    {
        var mirror = _mirrors[member.Id];
        var durable = mirror.Durable;
        mirror.HasCore = true;
        mirror.Take(core, MembershipOf(mirror, core));
        var self = new MemberIncarnation(member.Id, run.Loop.Incarnation);
        Require(!_lost.Contains(self), 17, $"member {self} lost its disk and is back under the same incarnation");
        if (run.Loop.Incarnation == mirror.Incarnation)
        {
            Require(core.Term >= durable.Term, 2, $"member {self} restarted in term {core.Term}, though term {durable.Term} was synced");
            Require(core.Term > durable.Term || core.Vote == durable.Vote || durable.Vote.IsNone, 3,
                $"member {self} restarted in term {core.Term} with a vote for {core.Vote}, though one for {durable.Vote} was synced");
            CheckRot(member, self, core, durable);
            // A snapshot that came to the disk before the member failed; what it contradicts was never committed, nor was anything behind
            // it (seed 598 of 60 s).
            var isContradicted = core.Snapshot is { } snapshot && durable.TermAt(snapshot.Index) is { } term && term != snapshot.Term;
            for (var index = durable.Base.Next; core.RottenEnd is null && !isContradicted && index <= durable.Last
                && index < durable.MayBeCutFrom; index = index.Next)
            {
                Require(index <= core.SnapshotIndex || core.Log.TermAt(index) == durable.TermAt(index), 34,
                    $"member {self} restarted without entry {index} of term {durable.TermAt(index)}, which was synced; its log is {core.FirstIndex} to {core.LastIndex}");
            }
        }
        mirror.Incarnation = run.Loop.Incarnation;
        var entries = new List<Entry>();
        while (core.FirstIndex + entries.Count <= core.LastIndex)
            core.Log.Read(core.FirstIndex + entries.Count, core.LastIndex, 1 << 20, entries);
        var previous = core.Log.TermAt(core.FirstIndex.Previous);
        foreach (var entry in entries)
        {
            NoteEntry(member, entry, previous);
            previous = entry.Term;
        }
        durable.Restart(core.Term, core.Vote, core.FirstIndex.Previous, entries);
        RestoreMemberships(member, mirror, core, entries);
    }

    /// <summary>Whatever it holds was known to be committed by a member before, and what it says counts for nothing.</summary>
    private void CheckObserver(SimulatedMember member, Mirror mirror, RaftCore core, IReadOnlyList<NodeInput> inputs)
    {
        Require(core.Role == RaftRole.Observer && core.Vote.IsNone, 14,
            $"observer {member.Id} is a {core.Role} with a vote for {core.Vote} in term {core.Term}");
        Require(member.Damage != DiskDamage.None || (core.LastIndex <= Committed && core.Commit == core.LastIndex), 14,
            $"observer {member.Id} holds entries up to {core.LastIndex} and takes those up to {core.Commit} for committed, though no member knows of more than {Committed}");
        if (!core.Source.IsNone && core.Source != mirror.Source && !mirror.Source.IsNone)
            _world.Faults.ObserverMoved++;
        foreach (var input in inputs)
        {
            if (input is NodeInput.Received { Message: PeerMessage.Raft { Message: AppendRequest }, From: var from } && from != core.Leader
                && core.Commit > mirror.Commit)
                _world.Faults.ObserverFedByFollower++;
        }
    }

    /// <summary>
    /// What rotted on its disk a member may miss, never forget: it counts as one whose log ends no earlier, until it has all of that again.
    /// </summary>
    private void CheckRot(SimulatedMember member, MemberIncarnation self, RaftCore core, DurableLog durable)
    {
        if (core.RottenEnd is not { } rotten)
        {
            Require(core.LastIndex >= durable.Base, 34,
                $"member {self} restarted with a log that ends at {core.LastIndex}, though everything up to {durable.Base} was in its snapshot");
            _beforeRot.Remove(self);
            return;
        }
        Require(member.Damage == DiskDamage.Rot, 34,
            $"member {self} says that its log ended at {rotten} and cannot be read behind {core.LastIndex}, though its disk is sound");
        if (durable.Last < durable.MayBeCutFrom && durable.TermAt(durable.Last) is { } lastTerm)
            Require(rotten.Reaches(new LogEnd(durable.Last, lastTerm)), 34,
                $"member {self} counts as ending at {rotten}, though its log ended at {durable.Last} of term {lastTerm}");
        for (var index = core.FirstIndex; index <= core.LastIndex && index < durable.MayBeCutFrom; index = index.Next)
        {
            if (durable.TermAt(index) is { } was)
                Require(core.Log.TermAt(index) == was, 34,
                    $"member {self} restarted with entry {index} of term {core.Log.TermAt(index)}, though one of term {was} was synced");
        }
        if (!_beforeRot.ContainsKey(self))
            _beforeRot.Add(self, (durable.Copy(), durable.TermAt(durable.Last) is { } term ? new LogEnd(durable.Last, term) : default));
    }

    private void CheckTerm(SimulatedMember member, Mirror mirror, RaftCore core)
    {
        Require(core.Term >= mirror.Term, 2, $"member {member.Id} went back from term {mirror.Term} to {core.Term}");
        Require(core.Term > mirror.Term || mirror.Vote.IsNone || core.Vote == mirror.Vote, 3,
            $"member {member.Id} changed its vote in term {core.Term} from {mirror.Vote} to {core.Vote}");
    }

    private void CheckLog(SimulatedMember member, Mirror mirror, RaftCore core)
    {
        // A candidate's log does not change while it is one, so the one that it is elected with is the one that it had.
        if (core.Role == RaftRole.Leader && mirror.Role is RaftRole.Leader or RaftRole.Candidate && core.Term == mirror.Term)
        {
            Require(core.LastIndex >= mirror.Last && (mirror.Last < core.FirstIndex || core.Log.TermAt(mirror.Last) == mirror.LastTerm), 5,
                $"leader {member.Id} of term {core.Term} overwrote its own log: it ended at {mirror.Last}/{mirror.LastTerm}, now at {core.LastIndex}/{core.LastTerm}");
        }
        if (core.MembershipIndex != mirror.MembershipIndex && core.Role == RaftRole.Leader && core.MembershipIndex > mirror.Last)
            CheckMembershipChange(member, core);
    }

    private void CheckMembershipChange(SimulatedMember member, RaftCore core)
    {
        Require(core.HasCommittedInTerm, 13,
            $"leader {member.Id} of term {core.Term} changed the membership at {core.MembershipIndex} before it committed an entry of its term");
    }

    private void CheckElection(SimulatedMember member, SimulatedRun run, Mirror mirror, RaftCore core, Membership membership)
    {
        LeaderChanges++;
        Require(core.RottenEnd is null, 17,
            $"member {member.Id} leads term {core.Term} without what rotted of its log, which ended at {core.RottenEnd}");
        var leader = (member.Id, run.Process.Number);
        Require(_leaders.TryAdd(core.Term, leader) || _leaders[core.Term] == leader, 1,
            $"term {core.Term} has two leaders: member {_leaders[core.Term].Member} (process {_leaders[core.Term].Process}) and member {member.Id} (process {run.Process.Number})");

        // Its own vote counts only once it is on the disk, like everybody else's.
        var durable = mirror.Durable;
        if (durable.Voted(core.Term, member.Id))
            _votes[(new MemberIncarnation(member.Id, run.Loop.Incarnation), core.Term)] = member.Id;
        RequireMajority(membership, voter => _votes.GetValueOrDefault((voter, core.Term)) == member.Id, 1,
            $"member {member.Id} leads term {core.Term} without the votes of a majority");

        // A process that is stopped may go on any time, and believe its lease.
        foreach (var other in _world.Members)
        {
            // Who goes on beside a quorum that was forced, its own clients believe: no quorum that is forced can wait for that to end.
            if (other != member && other.Loop?.Core is { } rival && other.IsLeftBehind == member.IsLeftBehind)
            {
                // Who is elected late, for an older term, can commit nothing any more: a quorum has gone on to the newer one (seed 873 of
                // 60 s).
                Require(rival.LeaseEnd <= other.Clock || rival.Term > core.Term, 16,
                    $"member {member.Id} leads term {core.Term}, while member {other.Id} counts on its lease of term {rival.Term} until {rival.LeaseEnd} by its clock, which shows {other.Clock}");
            }
        }

        // The last committed entry of every older term is in its log; log matching gives those before it.
        foreach (var (term, index) in _committedIn)
        {
            if (term >= core.Term)
                break;
            // What is applied may be given up for a snapshot that is still to come, where it rotted.
            Require(index < core.FirstIndex || core.Log.TermAt(index) == _committed[index], 6,
                $"leader {member.Id} of term {core.Term} lacks entry {index} of term {_committed[index]}, committed in term {term}; it has term {core.Log.TermAt(index)} there");
        }
    }

    private void CheckCommit(SimulatedMember member, Mirror mirror, RaftCore core, Membership membership)
    {
        Require(core.Commit >= mirror.Commit, 8, $"commit of member {member.Id} moved back from {mirror.Commit} to {core.Commit}");
        Require(mirror.Commit < core.FirstIndex || core.Log.TermAt(mirror.Commit) == mirror.CommitTerm || mirror.CommitTerm is null, 8,
            $"member {member.Id} has entry {mirror.Commit} of term {core.Log.TermAt(mirror.Commit)}, where it had committed one of term {mirror.CommitTerm}");
        for (var index = LogIndex.Max(mirror.Commit.Next, core.FirstIndex); index <= core.Commit; index = index.Next)
        {
            if (core.Log.TermAt(index) is not { } term)
                continue;
            // What an operator forced a quorum without is committed in another history.
            if (member.IsLeftBehind && index > _kept)
                continue;
            if (_committed.TryGetValue(index, out var known))
            {
                Require(known == term, 7,
                    $"member {member.Id} committed entry {index} of term {term}, where one of term {known} was committed");
                continue;
            }
            _committed.Add(index, term);
            if (index > Committed)
                Committed = index;
        }
        if (core.Role != RaftRole.Leader || core.Commit <= mirror.Commit)
            return;
        if (!member.IsLeftBehind)
            _committedIn[core.Term] = core.Commit;
        else if (core.Commit > _kept)
            _world.Faults.Coverage.Struck(MenuItem.QuorumForcedBesideAnother);
        if (core.Log.TermAt(core.Commit) is { } last)
            CheckCommitted(member, mirror, core, membership, last);
    }

    private void CheckCommitted(SimulatedMember member, Mirror mirror, RaftCore core, Membership membership, Term last)
    {
        // An older term's entry on a majority can still be overwritten (Raft 5.4.2, figure 8).
        Require(last == core.Term || mirror.Role != RaftRole.Leader || mirror.Term != core.Term, 9,
            $"leader {member.Id} of term {core.Term} committed entry {core.Commit} of the older term {last} by counting");
        // A membership that was appended in this very turn may have come after the count.
        var isSynced = (MemberIncarnation voter) => HoldsDurably(voter, core.Commit, last);
        var governing = core.MembershipIndex != mirror.MembershipIndex && HasMajority(mirror.Membership, isSynced)
            ? mirror.Membership
            : membership;
        RequireMajority(governing, isSynced, 9,
            $"leader {member.Id} of term {core.Term} committed entry {core.Commit} of term {last}, which is not synced on a majority");
    }

    private void CheckOrder(SimulatedMember member, RaftCore core) =>
        Require(core.SnapshotIndex <= core.Applied && core.Applied <= core.Commit && core.Commit <= core.LastIndex, 10,
            $"member {member.Id}: snapshot {core.SnapshotIndex}, applied {core.Applied}, commit {core.Commit}, last {core.LastIndex}");

    private void Executed(SimulatedMember member, DiskJob job)
    {
        if (job is not LogWriteJob { Batch: var batch })
            return;
        var mirror = _mirrors[member.Id];
        mirror.Durable.Write(batch);
        NoteMemberships(member, mirror, batch);
        for (var i = 0; i < batch.Entries.Count; i++)
        {
            var entry = batch.Entries[i];
            NoteEntry(member, entry, i > 0 ? batch.Entries[i - 1].Term : mirror.Durable.TermWritten(entry.Index.Previous));
        }
        if (member.Disk.IsWorkDurable)
            mirror.Durable.Synced();
    }

    private void NoteEntry(SimulatedMember member, in Entry entry, Term? previous)
    {
        var hash = DurableLog.HashOf(entry);
        var key = (entry.Index, entry.Term);
        if (!_entries.TryGetValue(key, out var known))
        {
            _entries.Add(key, (hash, previous));
            return;
        }
        Require(known.Hash == hash, 4, $"entry {entry.Index} of term {entry.Term} of member {member.Id} differs from another member's");
        if (known.Previous is null)
            _entries[key] = (hash, previous);
        Require(previous is null || known.Previous is null || previous == known.Previous, 4,
            $"entry {entry.Index} of term {entry.Term} of member {member.Id} follows one of term {previous}, another member's one of term {known.Previous}");
    }

    private void Sending(SimulatedMember member, SimulatedRun run, MemberId to, PeerMessage message)
    {
        if (message is not PeerMessage.Raft { Message: var raft })
            return;
        var durable = _mirrors[member.Id].Durable;
        var self = new MemberIncarnation(member.Id, run.Loop.Incarnation);
        if (member.Id.IsObserver)
        {
            Require(raft is ObserveRequest or AppendReply { Accepted: true } or SnapshotReply or ReadIndexRequest, 14,
                $"observer {self} sends a {raft.GetType().Name} to {to}");
            // What it tells of its log promises nothing.
            if (raft is AppendReply or SnapshotReply)
                return;
        }
        switch (raft)
        {
            case VoteRequest { PreVote: false }:
                // A vote for itself.
                Promise(self, raft.Term);
                break;
            case ReadIndexRequest request when !member.IsLeftBehind:
                // It may be asked again: the read began when it was asked first.
                _reads.TryAdd((run.Process.Number, request.Token), Committed);
                break;
            case ReadIndexReply { Refused: false } reply when _world[to].Run is { } asker
                && _reads.TryGetValue((asker.Process.Number, reply.Token), out var began):
                Require(reply.Index >= began, 15,
                    $"member {self} answers a read of member {to} with index {reply.Index}, though {began} was committed before it began");
                break;
            case HeartbeatReply { ReadToken: > 0 }:
                // The word that no newer term was heard of.
                Require(!_rolledBack.Contains(self), 17,
                    $"member {self} has an old copy of its disk, and confirms a leader in term {raft.Term}");
                break;
            case VoteReply { Granted: true, PreVote: false }:
                Promise(self, raft.Term);
                // A later term on the disk keeps the promise as well: it never votes in this one again.
                Require(durable.Voted(raft.Term, to) || durable.Term > raft.Term, 11,
                    $"member {self} grants {to} its vote in term {raft.Term}, while its disk holds term {durable.Term} and a vote for {durable.Vote}");
                // A candidate's log does not change while it is one.
                if (_beforeRot.TryGetValue(self, out var rot) && _mirrors[to] is { Role: RaftRole.Candidate } candidate
                    && candidate.Term == raft.Term)
                {
                    Require(new LogEnd(candidate.Last, candidate.LastTerm).Reaches(rot.End) || run.Loop.Core is { RottenEnd: null }, 17,
                        $"member {self} votes for {to} in term {raft.Term}, whose log ends at {candidate.Last} of term {candidate.LastTerm}: its own, which rotted, ended at {rot.End}");
                }
                var given = _votes.GetValueOrDefault((self, raft.Term));
                Require(given.IsNone || given == to, 3, $"member {self} votes for {to} in term {raft.Term}, and voted for {given} before");
                _votes[(self, raft.Term)] = to;
                break;
            case AppendReply { Accepted: true } reply:
                Promise(self, raft.Term);
                // What a later term's batch cut in the same sync was held before: whoever gave that term its vote had it then (seed 450 of
                // 60 s).
                Require(durable.Term > raft.Term ? durable.HeldIn(raft.Term) >= reply.Index : durable.Term == raft.Term
                    && durable.Last >= reply.Index, 11,
                    $"member {self} acknowledges entries up to {reply.Index} in term {raft.Term}, while its disk holds {durable.Last} and term {durable.Term}");
                break;
            case SnapshotReply { Installed: true } reply:
                Promise(self, raft.Term);
                Require(durable.Last >= reply.SnapshotIndex, 11,
                    $"member {self} acknowledges snapshot {reply.SnapshotIndex}, while its disk's log ends at {durable.Last}");
                break;
        }
    }

    private void Promise(MemberIncarnation self, Term term)
    {
        Require(!_lost.Contains(self), 17, $"member {self} lost its disk, and votes or acknowledges in term {term} again");
        Require(!_rolledBack.Contains(self), 17,
            $"member {self} has an old copy of its disk, and votes or acknowledges in term {term} again");
        _promised.Add(self);
    }

    private bool HoldsDurably(MemberIncarnation voter, LogIndex index, Term term)
    {
        // What it acknowledged before its disk was damaged may be counted after that, by who cannot know yet: it will not vote against it.
        if (_beforeDamage.TryGetValue(voter, out var before))
            return before.Holds(index, term);
        var mirror = _mirrors[voter.Id];
        // What rotted it still counts as its own, whoever counts it so.
        return mirror.Incarnation == voter.Incarnation
            && (mirror.Durable.Holds(index, term) || (_beforeRot.TryGetValue(voter, out var rot) && rot.Log.Holds(index, term)));
    }

    private void Require(bool fact, int invariant, [InterpolatedStringHandlerArgument(nameof(fact))] ref InvariantMessage what)
    {
        if (!fact)
            _world.Violate($"invariant {invariant}: {what.ToString()}");
    }

    private void Hear(SimulatedRun run, MemberId from, Message message)
    {
        if (message is SnapshotChunk chunk)
            SnapshotStages.Heard(_world.Faults.Coverage, run, chunk);
        if (from.IsObserver)
            return;
        if (message is not (VoteReply { Granted: true, PreVote: false } or VoteRequest { PreVote: false } or AppendReply { Accepted: true }
            or SnapshotReply { Installed: true }))
            return;
        var key = (run.Process.Number, from);
        if (!_told.TryGetValue(key, out var told) || told.Incarnation != _mirrors[from].Incarnation)
            _told[key] = told = new Told { Incarnation = _mirrors[from].Incarnation };
        told.Term = message.Term > told.Term ? message.Term : told.Term;
        if (message is VoteReply or VoteRequest)
            told.Vote = message.Term > told.Vote ? message.Term : told.Vote;
        else
            told.Index = LogIndex.Max(told.Index, message is AppendReply append ? append.Index : ((SnapshotReply)message).SnapshotIndex);
    }

    /// <summary>The most that a process was told of a member's promises.</summary>
    private sealed class Told
    {
        public required int Incarnation { get; init; }

        public Term Term { get; set; }

        /// <summary>The newest term in which it was told of a vote.</summary>
        public Term Vote { get; set; }

        public LogIndex Index { get; set; }
    }

    /// <summary>What a member's core was after its last event, and what its disk holds.</summary>
    private sealed class Mirror
    {
        public DurableLog Durable { get; } = new();

        public int Incarnation { get; set; }

        public int Process { get; private set; }

        public bool HasCore { get; set; }

        public Term Term { get; private set; }

        public MemberId Vote { get; private set; }

        public RaftRole Role { get; private set; }

        public LogIndex Last { get; private set; }

        public Term LastTerm { get; private set; }

        public LogIndex Commit { get; private set; }

        /// <summary>The term of the last committed entry; null if the log did not hold it.</summary>
        public Term? CommitTerm { get; private set; }

        public LogIndex MembershipIndex { get; private set; }

        /// <summary>The term of the entry that holds it; null if the log does not.</summary>
        public Term? MembershipTerm { get; private set; }

        /// <summary>The memberships in the log as it was written, oldest first; the first may be that of a snapshot.</summary>
        public List<(LogIndex Index, Membership Membership)> Written { get; } = [];

        public MemberId Source { get; private set; }

        public Membership Membership { get; private set; } = Membership.Empty;

        public void Begin(int process)
        {
            Process = process;
            HasCore = false;
            (Term, Vote, Role, Last, LastTerm, Commit, CommitTerm) = (default, default, default, default, default, default, null);
        }

        /// <summary>What is behind this entry is given up, and who holds it is down.</summary>
        public void GiveUpMembershipBehind(LogIndex kept)
        {
            if (MembershipIndex > kept)
                (MembershipIndex, MembershipTerm, Membership) = (default, null, Membership.Empty);
        }

        public void Take(RaftCore core, Membership membership)
        {
            (Term, Vote, Role, Last, LastTerm, Commit) = (core.Term, core.Vote, core.Role, core.LastIndex, core.LastTerm, core.Commit);
            CommitTerm = core.Log.TermAt(core.Commit);
            (MembershipIndex, Membership, Source) = (core.MembershipIndex, membership, core.Source);
            MembershipTerm = core.Log.TermAt(core.MembershipIndex);
        }
    }
}
