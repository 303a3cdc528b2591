namespace RaftKit.Chaos.Network;

/// <summary>One direction of the link between two members.</summary>
internal readonly record struct Way(int From, int To);

/// <summary>
/// Who is cut off, by the links alone: it cannot reach, or cannot be reached by, a member that may lead. A member may lead that has both
/// directions to so many others that they are a majority with it. Everybody else keeps their sessions, whatever happens to others: what
/// Raft promises, and no more. An observer needs the leader as much as a member does, and leads never.
/// </summary>
internal static class Topology
{
    public static IReadOnlySet<int> CutOff(IReadOnlyList<int> processes, IReadOnlySet<Way> broken)
    {
        var members = processes.Where(process => !ChaosOptions.IsObserver(process)).ToArray();
        bool Linked(int one, int other) => !broken.Contains(new(one, other)) && !broken.Contains(new(other, one));
        var mayLead = members.Where(one => members.Count(other => Linked(one, other)) > members.Length / 2).ToArray();
        return processes.Where(one => !mayLead.All(leader => leader == one || Linked(one, leader)) || mayLead.Length == 0).ToHashSet();
    }

    /// <summary>Both directions between one side and the other.</summary>
    public static IEnumerable<Way> Between(IReadOnlyCollection<int> one, IReadOnlyCollection<int> other) =>
        From(one, other).Concat(From(other, one));

    /// <summary>One direction.</summary>
    public static IEnumerable<Way> From(IReadOnlyCollection<int> some, IReadOnlyCollection<int> others) =>
        some.SelectMany(from => others.Select(to => new Way(from, to)));
}
