using System.Globalization;
using RaftKit.Consensus;

namespace RaftKit.Exhaustive;

/// <summary>Tells a way through the states in words: each event, what became of the members, and what is in flight because of it.</summary>
internal static class Story
{
    /// <param name="world">The one that the events were found in: they name its messages.</param>
    /// <param name="path">The events.</param>
    public static IEnumerable<string> Tell(World world, IReadOnlyList<Event> path)
    {
        world.Start();
        if (world[0].Role == RaftRole.Leader)
            yield return "   0. member 1 leads term 1, and its first entry is committed everywhere";
        for (int i = 0; i < path.Count; i++)
        {
            Member[] before = [world[0], world[1], world[2]];
            var flight = world.Flight.ToList();
            yield return string.Create(
                CultureInfo.InvariantCulture,
                $"{i + 1,4}. {Describe(world, path[i])}{(path[i].Slow ? "; what it writes takes its time" : "")}");
            world.Apply(path[i]);
            for (int member = 0; member < 3; member++)
            {
                if (world[member] != before[member])
                    yield return $"        {Describe(world[member])}";
            }
            foreach (int message in world.Flight)
            {
                if (!flight.Remove(message))
                    yield return $"        sent: {Describe(world.Machine.Message(message))}";
            }
        }
    }

    private static string Describe(World world, Event now)
    {
        int member = now.Member + 1;
        string message = now.Kind is EventKind.Message or EventKind.Duplicate or EventKind.Loss
            ? Describe(world.Machine.Message(now.Argument)) : "";
        return now.Kind switch
        {
            EventKind.Message => $"arrives: {message}",
            EventKind.Duplicate => $"arrives, and will again: {message}",
            EventKind.Loss => $"is lost: {message}",
            EventKind.Election when now.Argument != 0 =>
                $"member {member}'s election timeout passes; it asks {now.Argument} whether it would vote for it",
            EventKind.Election => $"member {member}'s election timeout passes",
            EventKind.Contact => $"member {member} has heard no leader for an election timeout",
            EventKind.Beat => $"leader {member}'s heartbeat is due",
            EventKind.Silence => $"nobody has answered leader {member} for an election timeout",
            EventKind.TransferEnds => $"the transfer that leader {member} began takes too long",
            EventKind.Propose => $"a client proposes command {now.Argument} at leader {member}",
            EventKind.Read => $"a client asks member {member} for read index {now.Argument}",
            EventKind.Transfer => $"leader {member} is to hand over to {now.Argument}",
            EventKind.Change =>
                $"leader {member} proposes the membership {(world[now.Member].Core.Membership.IsVoter(new MemberId(now.Argument)) ? "without" : "with")} {now.Argument}",
            EventKind.Durable => $"member {member}'s oldest write is durable",
            EventKind.Crash =>
                $"member {member} crashes and restarts; {now.Argument} of {world[now.Member].Writes.Length} writes under way reached its disk",
            EventKind.Died => $"member {member} believes to know that {now.Argument} died",
            EventKind.Unreachable => $"leader {member}'s link to {now.Argument} broke and came back",
            _ => $"{now}",
        };
    }

    private static string Describe(Member member) =>
        $"member {member.Core.Self}: {member.Role.ToString().ToLowerInvariant()}, term {member.Term}, vote {member.Core.Vote}, log [{Terms(member.Log)}], commit {member.Commit}; "
        + $"disk: term {member.Disk.Term}, vote {member.Disk.Vote}, log [{Terms(member.Durable)}]";

    // The term of each entry, as the paper draws logs.
    private static string Terms(long[] log) => string.Join(' ', log.Select(Member.TermOf));

    private static string Describe(Message message) =>
        $"{message.GetType().Name} {message.From}->{message.To} of term {message.Term}" + message switch
    {
        VoteRequest v => $", log ends {v.LastIndex}:{v.LastTerm}" + (v.PreVote ? ", pre-vote" : "") + (v.Transfer ? ", transfer" : ""),
        VoteReply v => (v.PreVote ? ", pre-vote" : "") + (v.Granted ? ", granted" : ", refused"),
        AppendRequest a =>
            $", after {a.PreviousIndex}:{a.PreviousTerm} [{string.Join(' ', a.Entries.Select(e => $"{e.Index}:{e.Term}"))}], commit {a.Commit}",
        AppendReply { Accepted: true } r => $", accepted {r.Index}",
        AppendReply r => $", refused {r.Index}, agrees at most at {r.HintIndex}:{r.HintTerm}",
        Heartbeat h => $", commit {h.Commit}, round {h.ReadToken}",
        HeartbeatReply h => $", round {h.ReadToken}",
        ReadIndexReply r => r.Refused ? ", refused" : $", index {r.Index}",
        _ => "",
    };
}
