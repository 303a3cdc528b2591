using System.Text;
using RaftKit.Consensus;

namespace RaftKit.Consensus.Tests.Harness;

/// <summary>Member 1 alone, its peers played by the test: what goes in, and exactly what comes out.</summary>
internal sealed class Solo : IEntryReader
{
    private readonly List<Entry> _disk;
    private readonly Queue<PersistRequest> _writes = new();

    public Solo(int members = 3, long term = 0, int vote = 0, IEnumerable<Entry>? log = null, Membership? membership = null,
        Func<RaftCoreOptions, RaftCoreOptions>? configure = null)
    {
        _disk = [.. log ?? []];
        var initial = membership ?? TestCluster.Config(Enumerable.Range(1, members));
        var options = new RaftCoreOptions { Self = Id(1), Seed = 1 };
        Core = new RaftCore(
            configure?.Invoke(options) ?? options,
            new RestoredState(new Term(term), Id(vote), initial, LogIndex.Zero, null, [.. _disk]) { Initial = initial },
            this);
    }

    public RaftCore Core { get; }

    /// <summary>What the last turn wanted sent at once.</summary>
    public List<Message> Sent { get; private set; } = [];

    /// <summary>What the last turn wanted sent once persisted.</summary>
    public List<Message> Held { get; private set; } = [];

    public List<Entry> Appended { get; private set; } = [];

    public LogIndex? Cut { get; private set; }

    public PersistRequest? Persist { get; private set; }

    public List<ReadGrant> Reads { get; } = [];

    public List<SnapshotSend> SnapshotSends { get; private set; } = [];

    public List<SnapshotChunk> SnapshotWrites { get; private set; } = [];

    /// <summary>Entries that its disk cannot read any more.</summary>
    public HashSet<long> Rotten { get; } = [];

    public static MemberId Id(int id) => new(id);

    public static Entry Entry(long index, long term, string text = "") =>
        new(new Term(term), new LogIndex(index), text.Length == 0 ? EntryKind.NoOp : EntryKind.Command, 0, Encoding.UTF8.GetBytes(text));

    /// <summary>Leads three, whose logs hold the first entry of its term.</summary>
    public static Solo Leading()
    {
        var solo = new Solo();
        solo.Lead(2);
        solo.FinishWrites();
        solo.Accept(2, 1);
        solo.Accept(3, 1);
        return solo;
    }

    public void Turn(Action<RaftCore> inputs)
    {
        inputs(Core);
        Core.EndTurn();
        var effects = Core.Effects;
        (Sent, Held, Appended) = ([.. effects.Messages], [.. effects.MessagesOncePersisted], [.. effects.Append]);
        (Cut, Persist, SnapshotSends, SnapshotWrites) =
            (effects.TruncateFrom, effects.Persist, [.. effects.SnapshotSends], [.. effects.SnapshotWrites]);
        Reads.AddRange(effects.Reads);
        if (effects.Persist is not null)
        {
            if (effects.TruncateFrom is { } cut)
                _disk.RemoveAll(e => e.Index >= cut);
            _disk.AddRange(effects.Append);
            _writes.Enqueue(effects.Persist);
        }
        effects.Clear();
    }

    public void Step(Message message) => Turn(core => core.Step(message));

    public void Tick(int ticks = 1)
    {
        for (int i = 0; i < ticks; i++)
            Turn(core => core.Tick());
    }

    /// <summary>The disk finishes everything.</summary>
    public void FinishWrites()
    {
        while (_writes.TryDequeue(out var request))
            Turn(core => core.Persisted(request));
    }

    /// <summary>Becomes leader of the next term by the votes of the given peers, and commits nothing yet.</summary>
    public void Lead(params int[] voters)
    {
        while (Core.Role == RaftRole.Follower)
            Tick();
        foreach (int peer in voters)
            Step(new VoteReply { From = Id(peer), To = Id(1), Term = Core.Term.Next, PreVote = true, Granted = true });
        var term = Core.Term;
        FinishWrites();
        foreach (int peer in voters)
        {
            if (Core.Role == RaftRole.Candidate)
                Step(new VoteReply { From = Id(peer), To = Id(1), Term = term, PreVote = false, Granted = true });
        }
        Assert.Equal(RaftRole.Leader, Core.Role);
    }

    public void Accept(int peer, long index) => Step(Accepted(peer, index));

    public AppendReply Accepted(int peer, long index) =>
        new() { From = Id(peer), To = Id(1), Term = Core.Term, Accepted = true, Index = new LogIndex(index) };

    public static AppendRequest Append(int leader, long term, long previous, long previousTerm, long commit, params Entry[] entries) =>
        new()
    {
        From = Id(leader), To = Id(1), Term = new Term(term), PreviousIndex = new LogIndex(previous), PreviousTerm = new Term(previousTerm),
        Commit = new LogIndex(commit), Entries = entries,
    };

    public static Heartbeat Beat(int leader, long term, long commit = 0, ulong token = 1) =>
        new() { From = Id(leader), To = Id(1), Term = new Term(term), Commit = new LogIndex(commit), ReadToken = token };

    public static VoteRequest Vote(int candidate, long term, long lastIndex, long lastTerm, bool pre = false, bool transfer = false) =>
        new()
    {
        From = Id(candidate), To = Id(1), Term = new Term(term), PreVote = pre, LastIndex = new LogIndex(lastIndex),
        LastTerm = new Term(lastTerm), Transfer = transfer,
    };

    public bool TryRead(LogIndex from, LogIndex last, int maxBytes, List<Entry> into)
    {
        if (Rotten.Contains(from.Value))
            return false;
        long whole = from.Value;
        while (whole < last.Value && !Rotten.Contains(whole + 1))
            whole++;
        Read(from, new LogIndex(whole), maxBytes, into);
        return true;
    }

    public void Read(LogIndex from, LogIndex last, int maxBytes, List<Entry> into)
    {
        int start = into.Count;
        if (Rotten.Contains(from.Value))
            throw new InvalidDataException($"Entry {from} rotted.");
        foreach (var entry in _disk.Where(e => e.Index >= from && e.Index <= last))
        {
            maxBytes -= entry.Weight;
            if (maxBytes < 0 && into.Count > start)
                return;
            into.Add(entry);
        }
    }
}
