namespace RaftKit.Consensus;

/// <summary>
/// What each member has reached: an index, a read round, or 1 for yes and 0 for no. A struct, so that counting allocates nothing.
/// </summary>
internal interface IMemberValues
{
    /// <summary>What the member reached; 0 when nothing is known of it.</summary>
    long Of(MemberId member);
}

/// <summary>Majority arithmetic, and nothing else. While a change is joint, it takes a majority of both halves (Raft 6).</summary>
internal static class Quorum
{
    /// <summary>The highest value that a majority reached. Learners and strangers never count. 0 when nobody votes.</summary>
    public static long Reached<TValues>(Membership membership, TValues values)
        where TValues : struct, IMemberValues
    {
        if (membership.Voters.Count == 0)
            return 0;
        long reached = ReachedBy(membership.Voters, ref values);
        return membership.IsJoint ? Math.Min(reached, ReachedBy(membership.Outgoing, ref values)) : reached;
    }

    private static long ReachedBy<TValues>(IReadOnlyList<MemberIncarnation> voters, ref TValues values)
        where TValues : struct, IMemberValues
    {
        // Identifiers end at 255, so this is at most 2 KiB of stack.
        Span<long> sorted = stackalloc long[voters.Count];
        for (int i = 0; i < sorted.Length; i++)
            sorted[i] = values.Of(voters[i].Id);
        sorted.Sort();
        // Of n sorted upwards, the one at (n - 1) / 2 and all after it are a majority.
        return sorted[(sorted.Length - 1) / 2];
    }
}

/// <summary>The answers to one round of vote requests, counted by the candidate's newest membership (Raft 6).</summary>
internal sealed class VoteTally
{
    private readonly bool[] _granted = new bool[256];
    private readonly bool[] _refused = new bool[256];

    public void Grant(MemberId from) => _granted[(byte)from.Value] = true;

    public void Refuse(MemberId from) => _refused[(byte)from.Value] = true;

    /// <summary>A majority granted.</summary>
    public bool IsWon(Membership membership) => Quorum.Reached(membership, new Granted(_granted)) == 1;

    /// <summary>No majority can be had any more, even if everybody who is silent granted.</summary>
    public bool IsLost(Membership membership) => Quorum.Reached(membership, new NotRefused(_granted, _refused)) == 0;

    private readonly struct Granted(bool[] granted) : IMemberValues
    {
        public long Of(MemberId member) => granted[(byte)member.Value] ? 1 : 0;
    }

    private readonly struct NotRefused(bool[] granted, bool[] refused) : IMemberValues
    {
        // A grant beats a refusal: the refusal may be a late one, of an earlier round.
        public long Of(MemberId member) => granted[(byte)member.Value] || !refused[(byte)member.Value] ? 1 : 0;
    }
}
