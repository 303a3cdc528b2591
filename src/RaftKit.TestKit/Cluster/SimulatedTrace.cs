using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;

namespace RaftKit.TestKit;

/// <summary>
/// What was delivered to whom and when: folded into one hash, by which two runs of a seed are compared, and the latest of it kept for the
/// report of a failure. Lines are formatted only when somebody reads them.
/// </summary>
internal sealed class SimulatedTrace(SimulatedScheduler scheduler)
{
    private const int Kept = 60;
    private readonly (TimeSpan Time, MemberId Member, object What)[] _ring = new (TimeSpan, MemberId, object)[Kept];
    private StableHash _hash = new();
    private long _count;

    /// <summary>Prints every line as it comes.</summary>
    public TextWriter? Output { get; set; }

    public ulong Hash => _hash.Value;

    /// <summary>Inputs delivered to members.</summary>
    public long Inputs { get; private set; }

    public void Input(MemberId member, NodeInput input)
    {
        Inputs++;
        Note(member, input, (ulong)KindOf(input));
    }

    /// <summary>Something else that happened: a fault, a start, a violation.</summary>
    public void Event(MemberId member, string what) => Note(member, what, StableHash.Of(what));

    public void Fold(ulong value) => _hash.Add(value);

    public IEnumerable<string> Last
    {
        get
        {
            for (var i = Math.Max(0, _count - Kept); i < _count; i++)
                yield return Line(_ring[i % Kept]);
        }
    }

    private void Note(MemberId member, object what, ulong fold)
    {
        _hash.Add(scheduler.Now.Ticks);
        _hash.Add(member.Value);
        _hash.Add(fold);
        _ring[_count++ % Kept] = (scheduler.Now, member, what);
        Output?.WriteLine(Line((scheduler.Now, member, what)));
    }

    private static int KindOf(NodeInput input) => input switch
    {
        NodeInput.Tick => 1,
        NodeInput.LinkUp => 2,
        NodeInput.Received => 3,
        NodeInput.LinkDown => 4,
        NodeInput.PeerDied => 5,
        NodeInput.DiskDone => 6,
        NodeInput.Call => 7,
        NodeInput.Propose => 8,
        NodeInput.Read => 9,
        NodeInput.Stop => 10,
        _ => 0,
    };

    private static string Line((TimeSpan Time, MemberId Member, object What) entry) =>
        $"{entry.Time.TotalMilliseconds,11:F3} ms  member {entry.Member}  {Describe(entry.What)}";

    private static string Describe(object what) => what switch
    {
        NodeInput.Received received => $"from {received.From}: {Describe(received.Message)}",
        NodeInput.DiskDone done =>
            $"disk done: {done.Job.GetType().Name}{(done.Job.Failure is { } failure ? $" failed: {failure.Message}" : "")}",
        NodeInput.Tick tick => tick.Lateness == TimeSpan.Zero ? "tick" : $"tick, {tick.Lateness.TotalMilliseconds:F0} ms late",
        NodeInput.LinkUp up => $"link {up.Link} up: member {up.Hello.Member}#{up.Hello.Incarnation} boot {up.Hello.Boot}",
        NodeInput.LinkDown down => $"link {down.Link} to {down.Peer} down{(down.Goodbye ? " with a goodbye" : "")}",
        NodeInput.PeerDied died =>
            $"evidence: {died.Evidence.Member}#{died.Evidence.Incarnation} boot {died.Evidence.Boot} died ({died.Evidence.Reason})",
        NodeInput input => input.GetType().Name,
        _ => what.ToString()!,
    };

    private static string Describe(PeerMessage message) => message switch
    {
        PeerMessage.Raft { Message: var raft } => Describe(raft),
        PeerMessage.ForwardProposals forward => $"forwards {forward.Envelopes.Count} of {forward.Proposer} from {forward.FirstSequence}",
        PeerMessage.ForwardRefused refused => $"refuses {refused.Proposer} at {refused.NextSequence}: {refused.Refusal}",
        PeerMessage.Channel channel => $"channel {channel.Id}, {channel.Payload.Length} bytes",
        _ => message.ToString(),
    };

    public static string Describe(Message message)
    {
        var text = message switch
        {
            VoteRequest vote => $"{(vote.PreVote ? "pre-vote" : "vote")} request, last {vote.LastIndex}/{vote.LastTerm}",
            VoteReply vote => $"{(vote.PreVote ? "pre-vote" : "vote")} {(vote.Granted ? "granted" : "refused")}",
            AppendRequest append =>
                $"append {append.Entries.Count} after {append.PreviousIndex}/{append.PreviousTerm}, commit {append.Commit}",
            AppendReply reply => reply.Accepted
                ? $"accepted to {reply.Index}"
                : $"refused at {reply.Index}, hint {reply.HintIndex}/{reply.HintTerm}{(reply.HasRot ? ", rot behind it" : "")}",
            Heartbeat heartbeat => $"heartbeat, commit {heartbeat.Commit}, read {heartbeat.ReadToken}",
            HeartbeatReply reply => $"heartbeat reply, read {reply.ReadToken}",
            ReadIndexRequest request => $"read index? {request.Token}",
            ReadIndexReply reply => reply.Refused ? $"read index {reply.Token} refused" : $"read index {reply.Token}: {reply.Index}",
            SnapshotChunk chunk =>
                $"snapshot {chunk.Snapshot.Index} at {chunk.Offset}, {chunk.Data.Length} of {chunk.Snapshot.Length} bytes",
            SnapshotReply reply => $"snapshot {reply.SnapshotIndex} {(reply.Installed ? "installed" : $"wanted from {reply.NextOffset}")}",
            _ => message.GetType().Name,
        };
        return $"{text} (term {message.Term})";
    }
}
