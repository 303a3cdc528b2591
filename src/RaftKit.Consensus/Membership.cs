namespace RaftKit.Consensus;

/// <summary>
/// One life of a member. A member that lost or rolled back its disk comes back under a new incarnation, because the old one may
/// have voted for, or acknowledged, what the disk no longer knows.
/// </summary>
/// <param name="Id">The member.</param>
/// <param name="Incarnation">Counts its lives from 1.</param>
internal readonly record struct MemberIncarnation(MemberId Id, int Incarnation) : IComparable<MemberIncarnation>
{
    public int CompareTo(MemberIncarnation other) =>
        Id != other.Id ? Id.CompareTo(other.Id) : Incarnation.CompareTo(other.Incarnation);

    public override string ToString() => $"{Id}#{Incarnation}";
}

/// <summary>
/// Who votes, who only learns, and, while a joint change is under way, who voted before it (Raft 6). Immutable; lists are sorted.
/// </summary>
internal sealed class Membership : IEquatable<Membership>
{
    public static readonly Membership Empty = new([], [], []);

    public Membership(
        IEnumerable<MemberIncarnation> voters, IEnumerable<MemberIncarnation> learners, IEnumerable<MemberIncarnation> outgoing)
    {
        Voters = [.. voters.Order()];
        Learners = [.. learners.Order()];
        Outgoing = [.. outgoing.Order()];
    }

    /// <summary>Those whose majority elects and commits.</summary>
    public IReadOnlyList<MemberIncarnation> Voters { get; }

    /// <summary>Those that replicate and never count.</summary>
    public IReadOnlyList<MemberIncarnation> Learners { get; }

    /// <summary>In a joint change, the voters of before, whose majority is needed too; empty otherwise.</summary>
    public IReadOnlyList<MemberIncarnation> Outgoing { get; }

    /// <summary>Whether two majorities are needed.</summary>
    public bool IsJoint => Outgoing.Count > 0;

    /// <summary>Whether the member votes, in either half of a joint change.</summary>
    public bool IsVoter(MemberId id) => Find(Voters, id) is not null || Find(Outgoing, id) is not null;

    /// <summary>Whether this very life of the member votes.</summary>
    public bool IsVoter(MemberIncarnation life) => Voters.Contains(life) || Outgoing.Contains(life);

    /// <summary>Whether the member is named under another incarnation than this.</summary>
    public bool NamesAnotherLifeOf(MemberIncarnation life) =>
        NamesAnother(Voters, life) || NamesAnother(Learners, life) || NamesAnother(Outgoing, life);

    /// <summary>Whether the member only learns.</summary>
    public bool IsLearner(MemberId id) => !IsVoter(id) && Find(Learners, id) is not null;

    /// <summary>Which life of the member this membership names; null when it names none.</summary>
    public MemberIncarnation? IncarnationOf(MemberId id) => Find(Voters, id) ?? Find(Learners, id) ?? Find(Outgoing, id);

    /// <summary>Everybody named, once each, in order.</summary>
    public IEnumerable<MemberId> All =>
        Voters.Concat(Outgoing).Concat(Learners).Select(m => m.Id).Distinct().Order();

    public bool Equals(Membership? other) =>
        other is not null && Voters.SequenceEqual(other.Voters) && Learners.SequenceEqual(other.Learners)
        && Outgoing.SequenceEqual(other.Outgoing);

    public override bool Equals(object? obj) => Equals(obj as Membership);

    public override int GetHashCode() => HashCode.Combine(Voters.Count, Learners.Count, Outgoing.Count);

    public override string ToString() =>
        $"voters [{string.Join(' ', Voters)}] learners [{string.Join(' ', Learners)}] outgoing [{string.Join(' ', Outgoing)}]";

    private static bool NamesAnother(IReadOnlyList<MemberIncarnation> list, MemberIncarnation life) =>
        Find(list, life.Id) is { } named && named != life;

    private static MemberIncarnation? Find(IReadOnlyList<MemberIncarnation> list, MemberId id)
    {
        // By number: the list's enumerator is an object, and every message asks this.
        for (var i = 0; i < list.Count; i++)
        {
            if (list[i].Id == id)
                return list[i];
        }
        return null;
    }
}
