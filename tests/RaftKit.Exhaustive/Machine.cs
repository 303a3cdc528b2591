using RaftKit.Consensus;

namespace RaftKit.Exhaustive;

/// <summary>What can happen to one member.</summary>
internal enum Input
{
    /// <summary>A message arrives; its number.</summary>
    Message,

    /// <summary>Its election timeout passes.</summary>
    Election,

    /// <summary>Its loyalty to its leader, or its evidence of that one's death, runs out.</summary>
    Contact,

    /// <summary>Its heartbeat is due.</summary>
    Beat,

    /// <summary>Nobody answered it for an election timeout.</summary>
    Silence,

    /// <summary>The transfer that it began takes too long.</summary>
    TransferEnds,

    /// <summary>A client proposes; the command's number.</summary>
    Propose,

    /// <summary>A client asks for a read index; the read's number.</summary>
    Read,

    /// <summary>It is to hand over; to whom.</summary>
    Transfer,

    /// <summary>A membership without the member, or with it again.</summary>
    Change,

    /// <summary>The oldest of its writes is durable.</summary>
    Durable,

    /// <summary>It crashes and starts again; so many of its writes reached the disk.</summary>
    Crash,

    /// <summary>It has evidence that the member died.</summary>
    Died,

    /// <summary>Its link to the member broke and came back.</summary>
    Unreachable,
}

/// <summary>What one turn says about the history of the whole cluster.</summary>
internal enum FactKind
{
    /// <summary>It leads the term.</summary>
    Leads,

    /// <summary>It gave its vote, in the term, to the member: others may know.</summary>
    Voted,

    /// <summary>It commits up to the index by counting, in the term.</summary>
    Counted,

    /// <summary>It learned that all is committed up to the index.</summary>
    Learned,

    /// <summary>The read is answered with the index.</summary>
    Answered,
}

internal readonly record struct Fact(FactKind Kind, int First, int Second);

/// <summary>
/// What comes of one input at one member in one state: the same whatever the others are doing, so it is worked out once, with the real
/// core.
/// </summary>
/// <param name="Number">Counts outcomes.</param>
/// <param name="Next">The member's state after it; -1 if nothing came of the input.</param>
/// <param name="Sent">Messages that went out.</param>
/// <param name="Facts">What happened.</param>
/// <param name="Wrote">Something is to be made durable: it may be slow.</param>
/// <param name="Broken">What must never happen, and did.</param>
internal sealed record Outcome(int Number, int Next, int[] Sent, Fact[] Facts, bool Wrote, string? Broken);

/// <summary>
/// Runs the real core: one input at one member, once for every different state of that member. Whole states of the cluster are then
/// numbers, and putting them together is cheap.
/// </summary>
/// <param name="bounds">What its disks are like.</param>
/// <param name="copies">
/// Whether a core is copied before anything is done to it. If not, only one way can be gone, and each core lives on as it would in a
/// process.
/// </param>
internal sealed class Machine(Bounds bounds, bool copies)
{
    private readonly Membership _initial = new([new(new MemberId(1), 1), new(new MemberId(2), 1), new(new MemberId(3), 1)], [], []);
    private readonly List<Member> _members = [];
    private readonly Dictionary<(ulong, ulong), int> _memberNumbers = [];
    private readonly List<Message> _messages = [];
    private readonly List<int> _links = [];
    private readonly Dictionary<(ulong, ulong), int> _messageNumbers = [];
    private readonly Dictionary<long, Outcome> _outcomes = [];

    private bool LosesTail => bounds.DiskLosesTail;

    public int Members => _members.Count;

    public int Messages => _messages.Count;

    public int Turns => _outcomes.Count;

    public Member Member(int number) => _members[number];

    public Message Message(int number) => _messages[number];

    /// <summary>Which link it is on: a number from 0 to 8 for each pair.</summary>
    public int Link(int message) => _links[message];

    public int Start(int member) => Number(Exhaustive.Member.Freeze(StartCore(new MemberId(member), 1, Disk.Empty), Disk.Empty, []));

    /// <param name="member">The member's state.</param>
    /// <param name="input">What happens to it.</param>
    /// <param name="argument">See <see cref="Input"/>.</param>
    /// <param name="slow">Whether what it leads to is left on its way to the disk.</param>
    public Outcome Run(int member, Input input, int argument, bool slow)
    {
        long key = ((long)member << 32) | ((long)input << 27) | (slow ? 1L << 26 : 0) | (uint)argument;
        if (!copies || !_outcomes.TryGetValue(key, out var known))
        {
            known = new Turn(this, _members[member], slow).Run(input, argument);
            _outcomes[key] = known;
        }
        return known;
    }

    private RaftCore StartCore(MemberId self, uint boot, Disk disk) => new(
        new RaftCoreOptions
        {
            // Entries travel one at a time, or a leader could never commit a part of what it sends.
            Self = self, Seed = 1, Boot = boot, ElectionTicks = Timers.ElectionTicks, HeartbeatTicks = 2, MaxAppendBytes = 1,
            MaxInflightMessages = 2,
        },
        disk.Restore(_initial),
        NothingOlder.Instance);

    private RaftCore CoreOf(Member member) => copies ? ObjectGraph.Copy(member.Core) : member.Core;

    private Disk Written(Disk disk, Write write)
    {
        var after = disk.After(write);
        return bounds.DiskForgetsVotes ? after with { Vote = MemberId.None } : after;
    }

    private int Number(Member member)
    {
        var hash = member.Hash();
        if (copies && _memberNumbers.TryGetValue(hash, out int known))
            return known;
        _members.Add(member);
        return _memberNumbers[hash] = _members.Count - 1;
    }

    public int Number(Message message)
    {
        var hash = new Hash128();
        ObjectGraph.Hash(message, ref hash);
        if (_messageNumbers.TryGetValue(hash.Value, out int known))
            return known;
        _messages.Add(message);
        _links.Add(((message.From.Value - 1) * 3) + message.To.Value - 1);
        Invariant.Holds(_messages.Count < 1 << 24, $"{_messages.Count} different messages are more than an event can name");
        return _messageNumbers[hash.Value] = _messages.Count - 1;
    }

    /// <summary>One event at one member: the input, and all that follows at once.</summary>
    private sealed class Turn(Machine machine, Member before, bool slow)
    {
        private readonly List<Write> _writes = [.. before.Writes];
        private readonly List<int> _sent = [];
        private readonly List<Fact> _facts = [];
        private RaftCore _core = machine.CoreOf(before);
        private Disk _disk = before.Disk;
        private bool _wrote;

        public Outcome Run(Input input, int argument)
        {
            int next = -1;
            string? broken = null;
            try
            {
                if (Do(input, argument))
                {
                    // What was on its way before stays before what follows.
                    while (!slow && input != Input.Crash && _writes.Count > 0)
                        CompleteOne();
                    next = machine.Number(Exhaustive.Member.Freeze(_core, _disk, _writes));
                }
            }
            catch (Exception problem) when (problem is InvariantBrokenException or InvalidOperationException or ArgumentException or IndexOutOfRangeException)
            {
                broken = $"member {before.Core.Self} stops: {problem.Message}";
            }
            return new Outcome(machine._outcomes.Count, next, [.. _sent], [.. _facts], _wrote, broken);
        }

        private bool Do(Input input, int argument)
        {
            var other = new MemberId(argument);
            switch (input)
            {
                case Input.Message: CarryOut(core => core.Step(machine.Message(argument))); break;
                case Input.Election: CarryOut(Timers.Election); break;
                case Input.Contact: CarryOut(Timers.Contact); break;
                case Input.Beat: CarryOut(Timers.Beat); break;
                case Input.Silence: CarryOut(Timers.Silence); break;
                case Input.TransferEnds: CarryOut(Timers.TransferEnds); break;
                case Input.Propose: return Take(core => core.Propose(new[] { (byte)argument }, 0, out _) == ProposeOutcome.Appended);
                case Input.Read: CarryOut(core => core.ReadIndex((ulong)argument)); break;
                case Input.Transfer: return Take(core => core.TransferLeadership(other));
                // Two voters at the least: that every majority is two members is what the checks count on.
                case Input.Change:
                    return (_core.Membership.Voters.Count > 2 || !_core.Membership.IsVoter(other))
                        && Take(core => core.ProposeMembership(WithOrWithout(core.Membership, other), 0, out _) == ProposeOutcome.Appended);
                case Input.Durable: CompleteOne(); break;
                case Input.Crash: Crash(argument); break;
                case Input.Died: CarryOut(core => core.PeerDied(other)); break;
                case Input.Unreachable: CarryOut(core => core.PeerUnreachable(other)); break;
                default: throw new NotSupportedException($"{input}");
            }
            return true;
        }

        private bool Take(Func<RaftCore, bool> ask)
        {
            if (!ask(_core))
                return false;
            CarryOut(_ => { });
            return true;
        }

        private static Membership WithOrWithout(Membership now, MemberId member) => now.IsVoter(member)
            ? new Membership(now.Voters.Where(v => v.Id != member), [], [])
            : new Membership(now.Voters.Append(new MemberIncarnation(member, 1)), [], []);

        private void Crash(int kept)
        {
            foreach (var write in _writes.Take(kept))
                _disk = machine.Written(_disk, write);
            if (machine.LosesTail && _disk.Log.Count > 0)
                _disk = _disk with { Log = [.. _disk.Log.SkipLast(1)] };
            _writes.Clear();
            Invariant.Holds(_disk.Term >= before.Disk.Term, $"the disk's term went back from {before.Disk.Term} to {_disk.Term}");
            _core = machine.StartCore(_core.Self, _core.Options.Boot + 1, _disk);
        }

        private void CompleteOne()
        {
            var write = _writes[0];
            _writes.RemoveAt(0);
            _disk = machine.Written(_disk, write);
            Send(write.Held);
            if (write.Request is { } request)
                CarryOut(core => core.Persisted(request));
        }

        /// <summary>One turn, as a node's loop makes it.</summary>
        private void CarryOut(Action<RaftCore> input)
        {
            var (role, term, commit, log) = (_core.Role, _core.Term, _core.Commit, Entries());
            input(_core);
            _core.EndTurn();
            var effects = _core.Effects;
            if (effects.Persist is not null || (effects.MessagesOncePersisted.Count > 0 && _writes.Count > 0))
            {
                _writes.Add(new Write(effects.Persist, effects.TruncateFrom, [.. effects.Append], [.. effects.MessagesOncePersisted]));
                _wrote = true;
            }
            else
            {
                Invariant.Holds(
                    effects.TruncateFrom is null && effects.Append.Count == 0, $"the log changes, and nothing is to be persisted");
                Send(effects.MessagesOncePersisted);
            }
            Invariant.Holds(effects.SnapshotSends.Count == 0, $"a snapshot is to be sent, and nobody took one");
            Send(effects.Messages);
            foreach (var read in effects.Reads.Where(r => !r.Refused))
                _facts.Add(new Fact(FactKind.Answered, (int)read.Token, (int)read.Index.Value));
            effects.Clear();
            Judge(role, term, commit, log);
            _core.AppliedTo(_core.Commit);
        }

        private void Judge(RaftRole role, Term term, LogIndex commit, List<Entry> log)
        {
            Invariant.Holds(_core.Term >= term, $"the term went back from {term} to {_core.Term}");
            Invariant.Holds(_core.Commit >= commit, $"the commit went back from {commit} to {_core.Commit}");
            bool led = role == RaftRole.Leader && _core.Term == term;
            if (_core.Role == RaftRole.Leader)
            {
                if (!led)
                    _facts.Add(new Fact(FactKind.Leads, (int)_core.Term.Value, 0));
                else
                    Invariant.Holds(Entries().Take(log.Count).SequenceEqual(log), $"the leader of term {term} changed its own log");
            }
            if (_core.Commit == commit)
                return;
            if (!led && _core.Role != RaftRole.Leader)
            {
                _facts.Add(new Fact(FactKind.Learned, (int)_core.Commit.Value, 0));
                return;
            }
            var counted = _core.Log.TermAt(_core.Commit);
            Invariant.Holds(
                counted == _core.Term,
                $"the leader of term {_core.Term} commits {_core.Commit} by counting, and that is of term {counted} (Raft 5.4.2)");
            _facts.Add(new Fact(FactKind.Counted, (int)_core.Commit.Value, (int)_core.Term.Value));
        }

        private List<Entry> Entries()
        {
            List<Entry> log = [];
            if (_core.LastIndex > LogIndex.Zero)
                _core.Log.Read(new LogIndex(1), _core.LastIndex, int.MaxValue, log);
            return log;
        }

        private void Send(IEnumerable<Message> messages)
        {
            foreach (var message in messages)
            {
                Promised(message);
                _sent.Add(machine.Number(message));
            }
        }

        // Nothing that promises durability leaves before it is durable; and what leaves is what others may build upon.
        private void Promised(Message message)
        {
            var vote = message switch
            {
                VoteReply { Granted: true, PreVote: false } => message.To,
                VoteRequest { PreVote: false } => message.From,
                _ => MemberId.None,
            };
            if (!vote.IsNone)
            {
                Invariant.Holds(
                    _disk.Term > message.Term || (_disk.Term == message.Term && _disk.Vote == vote),
                    $"a vote for {vote} in term {message.Term} is sent, and the disk holds term {_disk.Term}, vote {_disk.Vote}");
                _facts.Add(new Fact(FactKind.Voted, (int)message.Term.Value, vote.Value));
            }
            if (message is AppendReply { Accepted: true } accepted)
                Invariant.Holds(
                    accepted.Index.Value <= _disk.Log.Count,
                    $"entries up to {accepted.Index} are acknowledged, and the disk holds {_disk.Log.Count}");
        }
    }

    private sealed class NothingOlder : IEntryReader
    {
        public static readonly NothingOlder Instance = new();

        public void Read(LogIndex from, LogIndex last, int maxBytes, List<Entry> into) =>
            throw new InvalidOperationException($"entry {from} is to be read back, and all of them are in memory");
    }
}
