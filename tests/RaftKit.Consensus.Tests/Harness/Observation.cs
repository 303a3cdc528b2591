using RaftKit.Consensus;

namespace RaftKit.Consensus.Tests.Harness;

/// <summary>What can be seen of a cluster, in the words of a transcript: everything that <c>expect</c> can ask for.</summary>
internal static class Observation
{
    /// <summary>Splits an expectation into what is said to be so and what is so.</summary>
    public static (string Said, string Is) Of(TestCluster cluster, string[] words)
    {
        TestMember Member(int at) => cluster[int.Parse(words[at])];
        RaftCore Core(int at) => Member(at).Core;
        string From(int at) => string.Join(' ', words[at..]);

        return words[0] switch
        {
            "leader" when words.Length > 3 => ($"{words[1]} term {words[3]}", Leaders(cluster, withTerm: true)),
            "leader" => (words[1], Leaders(cluster, withTerm: false)),
            "no-leader" => ("", Leaders(cluster, withTerm: false)),
            "led" => (words[2], cluster.Leaders.TryGetValue(new Term(long.Parse(words[1])), out var led) ? $"{led}" : "nobody"),
            "role" => (words[2], Name(Core(1).Role)),
            "follows" => (words[2], $"{Core(1).Leader}"),
            "source" => (words[2], $"{Core(1).Source}"),
            "feeds" => (words[2], $"{Core(1).ObserversFed}"),
            "term" => (words[2], $"{Core(1).Term}"),
            "vote" => (words[2], $"{Core(1).Vote}"),
            "commit" => (words[2], $"{Core(1).Commit}"),
            "applied" => (words[2], $"{Core(1).Applied}"),
            "durable" => (words[2], $"{Core(1).Durable}"),
            "first" => (words[2], $"{Core(1).FirstIndex}"),
            "in-memory" => (words[2], $"{Core(1).Log.FirstInMemory}"),
            "snapshot" => (words[2], $"{Core(1).SnapshotIndex}"),
            "match" => (words[3], $"{Core(1).MatchOf(new MemberId(int.Parse(words[2])))}"),
            "transfer" => (words[2], $"{Core(1).TransferTarget}"),
            "serves" => (words[2], Core(1).HasCommittedInTerm ? "yes" : "no"),
            "log" => (From(2), LogOf(Core(1))),
            "stamps" => (From(2), string.Join(' ', Entries(Core(1)).Select(e => e.Stamp))),
            "state" => (From(2), string.Join(' ', Member(1).State)),
            "members" => (From(2), Describe(Core(1).Membership)),
            "disk" => (From(2), Describe(Member(1).Disk)),
            "rot" => (From(2), RotOf(Core(1).RottenEnd, Member(1).Disk.RottenEnd)),
            "writes" => (words[2], $"{Member(1).Disk.Writes.Count}"),
            "lease" => (words[2], LeaseOf(Member(1))),
            "read" => (From(3), ReadOf(Member(1), ulong.Parse(words[2]))),
            "sent" => (words[4], $"{cluster.Network.Count(m => Is(m, words))}"),
            "held" => (words[4], $"{Member(2).Disk.Writes.SelectMany(w => w.Held).Count(m => Is(m, words))}"),
            "message" => (From(4), cluster.Network.Find(m => Is(m, words)) is { } first ? MessageWords.Describe(first) : "none"),
            "in-flight" => (words[1], $"{cluster.Network.Count}"),
            _ => throw new FormatException($"nothing is known about 'expect {words[0]}'"),
        };
    }

    // NotLeader becomes not-leader.
    public static string Name<T>(T value)
        where T : struct, Enum =>
        string.Concat($"{value}".Select((c, i) => char.IsUpper(c) ? (i > 0 ? "-" : "") + char.ToLowerInvariant(c) : $"{c}"));

    public static string LogOf(RaftCore core)
    {
        List<string> entries = [];
        for (var index = core.FirstIndex; index <= core.LastIndex; index = index.Next)
            entries.Add($"{index}:{core.Log.TermAt(index)}");
        return string.Join(' ', entries);
    }

    private static bool Is(Message message, string[] words) =>
        MessageWords.IsKind(message, words[1]) && message.From.Value == int.Parse(words[2]) && message.To.Value == int.Parse(words[3]);

    private static string Leaders(TestCluster cluster, bool withTerm) => string.Join(
        ' ', cluster.Members.Where(m => m.IsUp && m.Core.Role == RaftRole.Leader).Select(
            m => withTerm ? $"{m.Id} term {m.Core.Term}" : $"{m.Id}"));

    private static string ReadOf(TestMember member, ulong token)
    {
        var answers = member.Reads.Where(r => r.Token == token).Select(
            r => r.Refused ? "refused" : r.ByLease ? $"{r.Index} by-lease" : $"{r.Index}").ToList();
        // Twice is once too often, and shows.
        return answers.Count == 0 ? "waiting" : string.Join(' ', answers);
    }

    // In whole milliseconds that are left by the member's own clock.
    private static string LeaseOf(TestMember member)
    {
        var left = member.Core.LeaseEnd == TimeSpan.MinValue ? TimeSpan.Zero : member.Core.LeaseEnd - member.Clock;
        return left <= TimeSpan.Zero ? "none" : $"{(int)left.TotalMilliseconds}";
    }

    // In memory; and on the disk, while that still says something else.
    private static string RotOf(LogEnd? core, LogEnd? disk)
    {
        return core == disk ? Tell(core) : $"{Tell(core)} {Tell(disk)}";

        static string Tell(LogEnd? end) => end is { } rotten ? $"{rotten.Index}:{rotten.Term}" : "none";
    }

    private static IEnumerable<Entry> Entries(RaftCore core)
    {
        List<Entry> entries = [];
        while (core.FirstIndex + entries.Count <= core.LastIndex)
            core.Log.Read(core.FirstIndex + entries.Count, core.LastIndex, int.MaxValue, entries);
        return entries;
    }

    private static string Describe(TestDisk disk)
    {
        Term lastTerm = disk.Log.Count > 0 ? disk.Log[^1].Term : disk.Snapshot?.Term ?? Term.Zero;
        return $"term {disk.Term} vote {disk.Vote} last {disk.Last}:{lastTerm}";
    }

    private static string Describe(Membership m)
    {
        string text = $"voters {Lives(m.Voters)}".TrimEnd();
        if (m.Learners.Count > 0)
            text += $" learners {Lives(m.Learners)}";
        return m.IsJoint ? text + $" outgoing {Lives(m.Outgoing)}" : text;

        static string Lives(IReadOnlyList<MemberIncarnation> list) =>
            string.Join(' ', list.Select(x => x.Incarnation == 1 ? $"{x.Id}" : $"{x}"));
    }
}
