using RaftKit.Consensus;

namespace RaftKit.Node.Log;

/// <summary>
/// What a directory without an identity may hold: nothing, or what a first start left that was cut short, which is cleared away. Anything
/// else was somebody's, and stays.
/// </summary>
internal static class FirstStart
{
    private const int MostNamed = 5;

    /// <summary>Sees that a first start here takes nothing from anybody. Changes nothing.</summary>
    /// <exception cref="DirectoryMismatchException">Files are here that are not RaftKit's.</exception>
    /// <exception cref="LogCorruptException">A member lived here, and its identity is gone.</exception>
    public static void Check(ILogDirectory directory)
    {
        var foreign = directory.List().Where(name => !OwnNames.Has(name)).ToList();
        if (foreign.Count > 0)
        {
            var more = foreign.Count > MostNamed ? $" and {foreign.Count - MostNamed} more" : "";
            throw new DirectoryMismatchException(
                $"{directory.Location} belongs to no member yet, and is not empty: {string.Join(", ", foreign.Take(MostNamed))}{more} are not RaftKit's. Nothing was changed. A member has a directory for itself, "
                + "since it is emptied as a whole when the member is to join anew. Name a new or an empty one.");
        }
        if (WhatWasLost(directory) is { } lost)
        {
            throw new LogCorruptException(
                $"{directory.Location} has no file {IdentityFile.Name}, and {lost}: nobody can tell whose votes and entries these are. Nothing was changed. Put the file back if you have it. Otherwise, "
                + "while a majority of the other members is healthy, empty this directory and let the member join anew; what no other member holds is lost with that.");
        }
    }

    /// <summary>What shows that a member lived here; null if nothing but a first start that was cut short can have been.</summary>
    public static string? WhatWasLost(ILogDirectory directory)
    {
        if (directory.List().FirstOrDefault(SnapshotStore.IsSnapshot) is { } snapshot)
            return $"holds {snapshot}";
        var found = LogRecovery.Read(directory);
        try
        {
            var state = found.State;
            // Founders begin with one entry of term 1; who joins, with nothing but the term of its leader.
            var isFirst = state is { Vote.IsNone: true, First.Value: 1, Entries.Count: <= 1, Boots.Count: 0 }
                && (state.Term.Value <= 1 || state.Entries.Count == 0) && found.Rot.Count == 0;
            return isFirst ? null : $"its log goes to entry {state.Next.Previous} and term {state.Term}";
        }
        finally
        {
            found.Close();
        }
    }
}
