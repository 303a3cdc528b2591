using Microsoft.Extensions.Logging;
using RaftKit.Consensus;
using RaftKit.Node.Liveness;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Rehearsal;

/// <summary>
/// A few members in memory, with a time of their own: what a failover needs is run through once before the first real one, so that it is
/// not compiled in the middle of that. The shipped <see cref="NodeLoop"/>, log and codec run; disk, network and time are replaced. One
/// thread drives it; nothing of it leaves the process.
/// </summary>
internal sealed class RehearsalEnsemble
{
    private static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(5);

    private readonly List<RehearsalMember> _members = [];
    private readonly Queue<Action> _posted = new();
    private readonly FrameBuffer _frame = new();
    private TimeSpan _now = TimeSpan.FromHours(1);
    private long _links;

    /// <param name="count">How many members.</param>
    /// <param name="parts">Makes what lives on a member's loop, given its inbox.</param>
    /// <param name="logger">Hears what the loops log.</param>
    public RehearsalEnsemble(int count, Func<INodeInbox, RehearsalParts> parts, ILogger logger)
    {
        var endpoints = Enumerable.Range(1, count).ToDictionary(n => new MemberId(n), n => $"rehearsal-{n}:1");
        foreach (var id in endpoints.Keys)
            _members.Add(new RehearsalMember(this, id, endpoints, parts, logger));
        foreach (var member in _members)
            member.Loop.Start(Now);
    }

    public IReadOnlyList<RehearsalMember> Members => _members;

    public TimeSpan Monotonic => _now;

    private LoopTime Now => new(_now, (long)_now.TotalMilliseconds);

    /// <summary>Runs the action later, on the thread that drives the rehearsal.</summary>
    public void Post(Action action) => _posted.Enqueue(action);

    /// <summary>Gives everybody turns, a tick in each, until the condition holds.</summary>
    /// <returns>False when it did not within so many rounds.</returns>
    public bool RunUntil(Func<bool> condition, int rounds)
    {
        for (var round = 0; round < rounds; round++)
        {
            if (condition())
                return true;
            // What a tick leads to travels and is written at once: a handful of passes takes it to its end.
            foreach (var member in _members)
                member.Post(new NodeInput.Tick(TimeSpan.Zero));
            for (var pass = 0; pass < 16 && Pass(); pass++)
            {
            }
            _now += TickInterval;
        }
        return condition();
    }

    /// <summary>The member's process ends without a word, and the others have the proof.</summary>
    public void Kill(RehearsalMember victim)
    {
        _members.Remove(victim);
        foreach (var member in _members)
        {
            if (member.Links.Remove(victim.Id, out var link))
                member.Post(new NodeInput.LinkDown(link, victim.Id, Goodbye: false));
            member.Post(new NodeInput.PeerDied(new DeathEvidence(
                victim.Id, victim.Loop.Incarnation, victim.Loop.Boot, Proven: true, "It was killed in a rehearsal.")));
        }
    }

    private bool Pass()
    {
        var worked = false;
        foreach (var member in _members)
            worked |= member.Turn(Now);
        // Not more than were there: one that posts itself again waits for the next pass.
        for (var left = _posted.Count; left > 0; left--)
        {
            worked = true;
            _posted.Dequeue()();
        }
        return worked;
    }

    /// <summary>Whoever has said who it is, is linked with everybody else who has.</summary>
    internal void Introduce(RehearsalMember one)
    {
        foreach (var other in _members)
        {
            if (other == one || other.Hello is null || one.Hello is null)
                continue;
            if (one.Links.ContainsKey(other.Id))
                Unlink(one, other);
            var link = ++_links;
            one.Links[other.Id] = other.Links[one.Id] = link;
            one.Post(new NodeInput.LinkUp(link, other.Hello));
            other.Post(new NodeInput.LinkUp(link, one.Hello));
        }
    }

    internal void Carry(MemberId from, MemberId to, PeerMessage message)
    {
        if (_members.Find(m => m.Id == to) is not { } receiver || !receiver.Links.TryGetValue(from, out var link))
            return;
        // As bytes, since the codec is on the way of every message, too.
        _frame.Clear();
        MessageCodec.Encode(message, _frame);
        receiver.Post(new NodeInput.Received(link, from, MessageCodec.Decode(_frame.Written.ToArray())));
    }

    private static void Unlink(RehearsalMember one, RehearsalMember other)
    {
        one.Links.Remove(other.Id, out var link);
        other.Links.Remove(one.Id);
        one.Post(new NodeInput.LinkDown(link, other.Id, Goodbye: true));
        other.Post(new NodeInput.LinkDown(link, one.Id, Goodbye: true));
    }
}

/// <summary>What lives on a rehearsing member's loop.</summary>
internal sealed record RehearsalParts(IReadOnlyList<IStateMachine> Machines, IReadOnlyList<ILoopParticipant> Participants);

/// <summary>One member of a rehearsal: its loop, its inbox and its end of the network.</summary>
internal sealed class RehearsalMember : INodeInbox, ITransport, IDiskLane
{
    private readonly RehearsalEnsemble _ensemble;
    private List<NodeInput> _posted = [];
    private List<NodeInput> _taken = [];

    internal RehearsalMember(
        RehearsalEnsemble ensemble, MemberId id, IReadOnlyDictionary<MemberId, string> endpoints, Func<INodeInbox, RehearsalParts> parts,
        ILogger logger)
    {
        _ensemble = ensemble;
        Id = id;
        var own = parts(this);
        var options = new NodeLoopOptions
        {
            Self = id,
            Members = endpoints,
            Seed = (ulong)id.Value,
            HostProcess = HostProcess.Unknown,
            Log = new SegmentedLogOptions { SegmentBytes = 1 << 18, FirstSegmentBytes = 1 << 16 },
        };
        Loop = new NodeLoop(
            options, new NodeLoopPorts(new MemoryLogDirectory($"the memory of rehearsing member {id}"), this, this, this, this, logger),
            own.Machines, own.Participants);
    }

    public MemberId Id { get; }

    public NodeLoop Loop { get; }

    internal PeerHello? Hello { get; private set; }

    internal Dictionary<MemberId, long> Links { get; } = [];

    public void Post(NodeInput input) => _posted.Add(input);

    public void Submit(DiskJob job)
    {
        job.Execute();
        Post(new NodeInput.DiskDone(job));
    }

    public void Send(MemberId to, PeerMessage message) => _ensemble.Carry(Id, to, message);

    public void Flush()
    {
        // Carried already.
    }

    public void SetPeers(IReadOnlyDictionary<MemberId, string> endpoints)
    {
        // Everybody knows everybody.
    }

    public void SetHello(PeerHello hello)
    {
        Hello = hello;
        _ensemble.Introduce(this);
    }

    public void Relink(long link, string reason) => _ensemble.Introduce(this);

    public void Refuse(long link, string reason)
    {
        // The one who refuses listens no more, and there is nobody to log it.
    }

    internal bool Turn(LoopTime now)
    {
        if (_posted.Count == 0 && !Loop.NeedsTurn)
            return false;
        (_posted, _taken) = (_taken, _posted);
        Loop.Turn(_taken, now);
        _taken.Clear();
        return true;
    }
}
