using RaftKit.Consensus;

namespace RaftKit.Exhaustive;

/// <summary>What is durable at one member. Never changed: a write makes another one.</summary>
internal sealed record Disk(Term Term, MemberId Vote, IReadOnlyList<Entry> Log)
{
    public static readonly Disk Empty = new(Term.Zero, MemberId.None, []);

    public Disk After(Write write)
    {
        if (write.Request is not { } request)
            return this;
        List<Entry> log = [.. write.TruncateFrom is { } from ? Log.Where(e => e.Index < from) : Log, .. write.Append];
        for (int i = 0; i < log.Count; i++)
            Invariant.Holds(log[i].Index.Value == i + 1, $"the disk's entry {i + 1} would be number {log[i].Index}");
        Invariant.Holds(log.Count == request.LastIndex.Value, $"the disk's log would end at {log.Count}, and {request} says otherwise");
        return new Disk(request.Term, request.Vote, log);
    }

    public RestoredState Restore(Membership initial)
    {
        var (membership, at) = (initial, LogIndex.Zero);
        foreach (var entry in Log.Where(e => e.Kind == EntryKind.Membership))
            (membership, at) = (MembershipCodec.Decode(entry.Payload.Span), entry.Index);
        return new RestoredState(Term, Vote, membership, at, null, Log) { Initial = initial };
    }
}

/// <summary>One turn's durable part on its way to the disk, and the messages that wait for it.</summary>
internal sealed record Write(PersistRequest? Request, LogIndex? TruncateFrom, Entry[] Append, Message[] Held);

/// <summary>
/// Everything that one member is: its real core, frozen (it is copied before anything is done to it), its disk, and the writes on their way
/// there. Beside it what the checks look at.
/// </summary>
internal sealed class Member
{
    private Member(RaftCore core, Disk disk, Write[] writes)
    {
        (Core, Disk, Writes) = (core, disk, writes);
        List<Entry> log = [];
        if (core.LastIndex > LogIndex.Zero)
            core.Log.Read(new LogIndex(1), core.LastIndex, int.MaxValue, log);
        Log = KeysOf(log);
        Durable = KeysOf(disk.Log);
        (Role, Term, Commit) = (core.Role, (int)core.Term.Value, (int)core.Commit.Value);
    }

    public RaftCore Core { get; }

    public Disk Disk { get; }

    public Write[] Writes { get; }

    public RaftRole Role { get; }

    public int Term { get; }

    public int Commit { get; }

    /// <summary>Its log, a number for each entry: equal numbers are equal entries.</summary>
    public long[] Log { get; }

    /// <summary>The same of what its disk holds.</summary>
    public long[] Durable { get; }

    public static long TermOf(long key) => key >> 32;

    /// <param name="core">Not used after this, but by the member that it becomes.</param>
    /// <param name="disk">What is durable.</param>
    /// <param name="writes">What is on its way there.</param>
    public static Member Freeze(RaftCore core, Disk disk, IEnumerable<Write> writes)
    {
        Timers.PutBack(core);
        return new Member(core, disk, [.. writes]);
    }

    public (ulong A, ulong B) Hash()
    {
        var hash = new Hash128();
        hash.Add(Core.Self.Value);
        hash.Add(Core.Options.Boot);
        hash.Add(Disk.Term.Value);
        hash.Add(Disk.Vote.Value);
        hash.Add(Durable.Length);
        foreach (long key in Durable)
            hash.Add(key);
        ObjectGraph.Hash(Writes, ref hash);
        ObjectGraph.Hash(Core, ref hash);
        return hash.Value;
    }

    private static long[] KeysOf(IReadOnlyList<Entry> log)
    {
        var keys = new long[log.Count];
        for (int i = 0; i < keys.Length; i++)
        {
            var payload = new Hash128();
            payload.Add(log[i].Payload.Span);
            keys[i] = (log[i].Term.Value << 32) | ((long)log[i].Kind << 28) | (long)(payload.Value.A >> 36);
        }
        return keys;
    }
}
