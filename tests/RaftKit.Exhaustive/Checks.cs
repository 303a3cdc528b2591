using RaftKit.Consensus;

namespace RaftKit.Exhaustive;

/// <summary>What holds in every state, whatever led to it (Raft, figure 3).</summary>
internal static class Checks
{
    public static string? BrokenIn(World world)
    {
        var committed = world.History.Committed;
        for (int i = 0; i < committed.Length; i++)
        {
            int holders = 0;
            for (int member = 0; member < 3; member++)
                holders += Holds(world[member].Durable, i, committed[i].Key) ? 1 : 0;
            // Two of three, and both of two.
            if (holders < 2)
                return $"entry {i + 1}, committed in term {committed[i].Term}, is on the disk of {holders} members (invariant 34)";
        }
        for (int member = 0; member < 3; member++)
        {
            var one = world[member];
            for (int i = 0; one.Role == RaftRole.Leader && i < committed.Length; i++)
            {
                if (committed[i].Term < one.Term && !Holds(one.Log, i, committed[i].Key))
                    return $"member {one.Core.Self} leads term {one.Term} without entry {i + 1}, committed in term {committed[i].Term} (invariant 6)";
            }
            for (int i = 0; i < one.Commit; i++)
            {
                if (i >= committed.Length || one.Log[i] != committed[i].Key)
                    return $"member {one.Core.Self} takes entry {i + 1} for committed, which is not (invariant 7)";
            }
            var next = world[(member + 1) % 3];
            if ((Part(one.Log, next.Log) ?? Part(one.Durable, next.Durable) ?? Part(one.Log, next.Durable)
                ?? Part(one.Durable, next.Log)) is { } part)
                return $"members {one.Core.Self} and {next.Core.Self} both have entry {part + 1} of term {Member.TermOf(next.Log[part])}, and differ before or in it (invariant 4)";
        }
        return null;
    }

    private static bool Holds(long[] log, int at, long key) => at < log.Length && log[at] == key;

    /// <summary>Where two logs agree on an index and its term and yet differ up to there; null if nowhere.</summary>
    private static int? Part(long[] a, long[] b)
    {
        bool same = true;
        for (int i = 0; i < Math.Min(a.Length, b.Length); i++)
        {
            same &= a[i] == b[i];
            if (!same && Member.TermOf(a[i]) == Member.TermOf(b[i]))
                return i;
        }
        return null;
    }
}
