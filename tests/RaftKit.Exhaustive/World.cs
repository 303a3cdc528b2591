using System.Runtime.InteropServices;
using RaftKit.Consensus;

namespace RaftKit.Exhaustive;

/// <summary>What is counted against the bounds, a hexadecimal digit of the state each.</summary>
internal enum Budget
{
    Elections, Silences, Beats, Proposals, Reads, Transfers, Changes, Crashes, SlowWrites, Losses, Duplicates, Breaks, Evidence,
}

/// <summary>An event, small enough to keep one for each state: what, to whom, with what.</summary>
internal readonly record struct Event(int Code)
{
    public Event(EventKind kind, int member, int argument, bool slow = false)
        : this(((int)kind << 27) | (slow ? 1 << 26 : 0) | (member << 24) | argument)
    {
    }

    public EventKind Kind => (EventKind)(Code >> 27);

    public bool Slow => (Code & (1 << 26)) != 0;

    /// <summary>0 to 2.</summary>
    public int Member => (Code >> 24) & 3;

    public int Argument => Code & 0xffffff;
}

/// <summary>What can happen to the cluster: to one member, or to the network.</summary>
internal enum EventKind
{
    Message, Election, Contact, Beat, Silence, TransferEnds, Propose, Read, Transfer, Change, Durable, Crash, Died, Unreachable,

    /// <summary>A message arrives, and will arrive again.</summary>
    Duplicate,

    /// <summary>A message is lost.</summary>
    Loss,
}

/// <summary>
/// One state of the whole cluster, as numbers: what each member is, what is in flight, what happened, and what may still happen within the
/// bounds. It is loaded, changed by an event, and stored.
/// </summary>
/// <param name="bounds">What may happen at all.</param>
/// <param name="copies">See <see cref="Machine"/>.</param>
internal sealed class World(Bounds bounds, bool copies = true)
{
    private const int Head = 6;

    private readonly int[] _members = new int[3];
    private readonly List<int> _flight = [];
    private ulong _left;
    private int _history;

    public Machine Machine { get; } = new(bounds, copies);

    public History.Book Book { get; } = new();

    public IReadOnlyList<int> Flight => _flight;

    /// <summary>What must never happen, and did in the last event.</summary>
    public string? Broken { get; private set; }

    public Member this[int member] => Machine.Member(_members[member]);

    public History History => Book[_history];

    public void Start()
    {
        for (int i = 0; i < 3; i++)
            _members[i] = Machine.Start(i + 1);
        _flight.Clear();
        (_history, Broken) = (0, null);
        int[] most =
        [
            bounds.Elections, bounds.Silences, bounds.Beats, bounds.Proposals, bounds.Reads, bounds.Transfers, bounds.Changes,
            bounds.Crashes, bounds.SlowWrites,
            bounds.Losses, bounds.Duplicates, bounds.Breaks, bounds.Evidence,
        ];
        _left = 0;
        for (int i = 0; i < most.Length; i++)
        {
            int limit = i == (int)Budget.Reads ? 7 : 15;
            Invariant.Holds(most[i] >= 0 && most[i] <= limit, $"{(Budget)i} may be 0 to {limit}, not {most[i]}");
            _left |= (ulong)most[i] << (i * 4);
        }
        if (!bounds.FromLeader)
            return;
        // The first election, with nothing in its way; it counts against no bound.
        Input(0, Exhaustive.Input.Election, 0, slow: false);
        while (_flight.Count > 0)
            Arrive(_flight[0]);
        Invariant.Holds(
            this[0].Role == RaftRole.Leader && this[1].Commit == 1 && this[2].Commit == 1, $"member 1 does not lead to begin with");
    }

    public int Left(Budget budget) => (int)(_left >> ((int)budget * 4)) & 15;

    public void Load(ReadOnlySpan<int> state)
    {
        state[..3].CopyTo(_members);
        _history = state[3];
        _left = (uint)state[4] | ((ulong)(uint)state[5] << 32);
        _flight.Clear();
        _flight.AddRange(state[Head..]);
        Broken = null;
    }

    /// <summary>The same state always as the same numbers: what is in flight is in order.</summary>
    public ReadOnlySpan<int> Store(ref int[] into)
    {
        int length = Head + _flight.Count;
        if (into.Length < length)
            into = new int[length * 2];
        _members.CopyTo(into, 0);
        (into[3], into[4], into[5]) = (_history, (int)_left, (int)(_left >> 32));
        var flight = into.AsSpan(Head, _flight.Count);
        CollectionsMarshal.AsSpan(_flight).CopyTo(flight);
        flight.Sort();
        return into.AsSpan(0, length);
    }

    /// <summary>Makes the event happen.</summary>
    /// <returns>Whether it can, within the bounds.</returns>
    public bool Apply(Event now)
    {
        int member = now.Member;
        switch (now.Kind)
        {
            case EventKind.Loss:
                _flight.Remove(now.Argument);
                return Spend(Budget.Losses);
            case EventKind.Duplicate:
                return Spend(Budget.Duplicates) && Input(member, Exhaustive.Input.Message, now.Argument, now.Slow);
            case EventKind.Message:
                _flight.Remove(now.Argument);
                return Input(member, Exhaustive.Input.Message, now.Argument, now.Slow);
            case EventKind.Election when now.Argument != 0:
                return Spend(Budget.Elections) && Ask(member, now.Argument - 1, now.Slow);
            case EventKind.Read:
                return Spend(Budget.Reads) && Read(member, now.Argument);
            default:
                return (CostOf(now.Kind) is not { } cost || Spend(cost)) && Input(member, (Input)now.Kind, now.Argument, now.Slow);
        }
    }

    /// <summary>What a client, a timer, a disk or a link may do next; whether the bounds allow it shows when it is applied.</summary>
    public void Events(List<Event> into)
    {
        into.Clear();
        for (int i = 0; i < 3; i++)
        {
            var member = this[i];
            bool leads = member.Role == RaftRole.Leader;
            if (!leads && Left(Budget.Elections) > 0)
                Elections(i, into);
            if (!leads && (member.Core.Clock.HeardLeader || member.Core.Clock.HasEvidence))
                Both(EventKind.Contact, i, 0, into);
            if (leads)
                Leader(i, member, into);
            if (Left(Budget.Reads) > 0)
                Both(EventKind.Read, i, Left(Budget.Reads), into);
            if (member.Writes.Length > 0)
                Both(EventKind.Durable, i, 0, into);
            for (int kept = 0; Left(Budget.Crashes) > 0 && kept <= member.Writes.Length; kept++)
                into.Add(new Event(EventKind.Crash, i, kept));
            for (int other = 0; other < 3; other++)
            {
                if (other != i && Left(Budget.Evidence) > 0 && !leads
                    && (member.Core.Leader.Value == other + 1 || member.Core.LastLeader.Value == other + 1))
                    Both(EventKind.Died, i, other + 1, into);
                if (other != i && Left(Budget.Breaks) > 0 && leads)
                    Both(EventKind.Unreachable, i, other + 1, into);
            }
        }
        int last = -1;
        foreach (int message in _flight)
        {
            if (message == last)
                continue;
            last = message;
            int to = Machine.Message(message).To.Value - 1;
            Both(EventKind.Message, to, message, into);
            if (Left(Budget.Duplicates) > 0)
                Both(EventKind.Duplicate, to, message, into);
            if (Left(Budget.Losses) > 0)
                into.Add(new Event(EventKind.Loss, to, message));
        }
    }

    private static Budget? CostOf(EventKind kind) => kind switch
    {
        EventKind.Election => Budget.Elections,
        EventKind.Silence => Budget.Silences,
        EventKind.Beat => Budget.Beats,
        EventKind.Propose => Budget.Proposals,
        EventKind.Transfer => Budget.Transfers,
        EventKind.Change => Budget.Changes,
        EventKind.Crash => Budget.Crashes,
        EventKind.Died => Budget.Evidence,
        EventKind.Unreachable => Budget.Breaks,
        _ => null,
    };

    // Its writes are durable at once, or (as often as the bounds allow) take their time.
    private void Both(EventKind kind, int member, int argument, List<Event> into)
    {
        into.Add(new Event(kind, member, argument));
        if (Left(Budget.SlowWrites) > 0)
            into.Add(new Event(kind, member, argument, slow: true));
    }

    private void Elections(int member, List<Event> into)
    {
        if (!bounds.PreVotesAtOnce)
        {
            Both(EventKind.Election, member, 0, into);
            return;
        }
        for (int other = 0; other < 3; other++)
        {
            if (other != member)
                Both(EventKind.Election, member, other + 1, into);
        }
    }

    private void Leader(int i, Member member, List<Event> into)
    {
        if (Left(Budget.Beats) > 0)
            Both(EventKind.Beat, i, 0, into);
        if (Left(Budget.Silences) > 0)
            Both(EventKind.Silence, i, 0, into);
        if (Left(Budget.Proposals) > 0)
            Both(EventKind.Propose, i, Left(Budget.Proposals), into);
        if (!member.Core.TransferTarget.IsNone)
            Both(EventKind.TransferEnds, i, 0, into);
        for (int other = 1; other <= 3; other++)
        {
            if (Left(Budget.Transfers) > 0 && other != i + 1)
                Both(EventKind.Transfer, i, other, into);
            if (Left(Budget.Changes) > 0)
                Both(EventKind.Change, i, other, into);
        }
    }

    private bool Spend(Budget budget)
    {
        if (Left(budget) == 0)
            return false;
        _left -= 1UL << ((int)budget * 4);
        return true;
    }

    private bool Read(int member, int read)
    {
        _history = Book.Asked(_history, read);
        return Input(member, Exhaustive.Input.Read, read, slow: false);
    }

    private void Arrive(int message)
    {
        _flight.Remove(message);
        Input(Machine.Message(message).To.Value - 1, Exhaustive.Input.Message, message, slow: false);
    }

    /// <summary>
    /// An election timeout passes; the pre-vote, of one other member, is asked and answered before anything else happens.
    /// </summary>
    private bool Ask(int member, int other, bool slow)
    {
        int before = _flight.Count;
        if (!Input(member, Exhaustive.Input.Election, 0, slow))
            return false;
        if (_flight.Count == before || this[member].Role != RaftRole.PreCandidate)
            return true;
        if (!Take(before, m => m is VoteRequest { PreVote: true } && m.To.Value == other + 1, out int request))
            return false;
        int answered = _flight.Count;
        if (!Input(other, Exhaustive.Input.Message, request, slow: false) || Broken is not null)
            return true;
        if (!Take(answered, m => m is VoteReply { PreVote: true } && m.To.Value == member + 1, out int reply))
            return false;
        return Input(member, Exhaustive.Input.Message, reply, slow);
    }

    // Whatever else was sent since is lost.
    private bool Take(int from, Func<Message, bool> which, out int taken)
    {
        taken = -1;
        for (int i = _flight.Count - 1; i >= from; i--)
        {
            if (which(Machine.Message(_flight[i])))
                taken = _flight[i];
            _flight.RemoveAt(i);
        }
        return taken >= 0;
    }

    private bool Input(int member, Input input, int argument, bool slow)
    {
        var before = this[member];
        int waiting = before.Writes.Length - (input == Exhaustive.Input.Durable ? 1 : 0);
        // Behind a slow write all others are slow: that costs nothing more, and there is no other way.
        if (waiting > 0 && slow)
            return false;
        var outcome = Machine.Run(_members[member], input, argument, slow || waiting > 0);
        if (slow && (!outcome.Wrote || !Spend(Budget.SlowWrites)))
            return false;
        Broken ??= outcome.Broken;
        if (Broken is not null)
            return true;
        if (outcome.Next < 0)
            return false;
        _members[member] = outcome.Next;
        foreach (int message in outcome.Sent)
            Send(message);
        (int next, Broken) = Book.After(_history, outcome, this[member]);
        if (Broken is null)
            _history = next;
        foreach (var fact in outcome.Facts)
        {
            if (fact.Kind == FactKind.Counted)
                Broken ??= OnTooFewDisks(this[member], fact.First);
        }
        return true;
    }

    private void Send(int message)
    {
        int link = Machine.Link(message), used = 0;
        foreach (int other in _flight)
            used += Machine.Link(other) == link ? 1 : 0;
        if (used < bounds.Link)
            _flight.Add(message);
    }

    /// <summary>
    /// What is committed is on the disks of a majority of the membership that governs it (of both, while a change is joint).
    /// </summary>
    private string? OnTooFewDisks(Member leader, int index)
    {
        var membership = leader.Core.Membership;
        foreach (var half in membership.IsJoint ? [membership.Voters, membership.Outgoing] : new[] { membership.Voters })
        {
            int holders = half.Count(
                v => this[v.Id.Value - 1].Durable is var disk && disk.Length >= index && disk[index - 1] == leader.Log[index - 1]);
            if (holders <= half.Count / 2)
                return $"member {leader.Core.Self} commits entry {index}, which {holders} of {half.Count} voters hold durably (invariant 9)";
        }
        return null;
    }
}
