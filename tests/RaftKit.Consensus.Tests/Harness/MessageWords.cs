using RaftKit.Consensus;

namespace RaftKit.Consensus.Tests.Harness;

/// <summary>Messages in the words of a transcript: what kind one is, and everything that it says.</summary>
internal static class MessageWords
{
    public static bool IsKind(Message message, string kind) => kind == "any" || kind == KindOf(message);

    public static string Describe(Message message) => $"term {message.Term}" + message switch
    {
        VoteRequest v => $" last {v.LastIndex}:{v.LastTerm}" + (v.Transfer ? " transfer" : ""),
        VoteReply v => v.Granted ? " granted" : " refused",
        AppendRequest a => $" after {a.PreviousIndex}:{a.PreviousTerm} entries {Entries(a.Entries)} commit {a.Commit}",
        AppendReply { Accepted: true } r => $" accepted {r.Index}",
        AppendReply r => $" refused {r.Index} agrees {r.HintIndex}:{r.HintTerm}" + (r.HasRot ? " has-rot" : ""),
        Heartbeat h =>
            $" commit {h.Commit} round {h.ReadToken}" + (h.Promise > TimeSpan.Zero ? $" promise {h.Promise.TotalMilliseconds}" : ""),
        HeartbeatReply h => $" round {h.ReadToken}" + (h.Promised ? " promised" : ""),
        SnapshotChunk c =>
            $" snapshot {c.Snapshot.Index}:{c.Snapshot.Term} bytes {c.Offset}-{c.Offset + c.Data.Length} of {c.Snapshot.Length}",
        SnapshotReply { Installed: true } r => $" snapshot {r.SnapshotIndex} installed",
        SnapshotReply r => $" snapshot {r.SnapshotIndex} next {r.NextOffset}",
        ReadIndexRequest r => $" number {Number(r.Token)}" + (r.ByLease ? " by-lease" : ""),
        ReadIndexReply { Refused: true } r => $" number {Number(r.Token)} refused",
        ReadIndexReply r => $" number {Number(r.Token)} index {r.Index}" + (r.ByLease ? " by-lease" : ""),
        ObserveRequest r => $" last {r.LastIndex}:{r.LastTerm}" + (r.Again ? " again" : "") + (r.IsInstalling ? " installing" : ""),
        ObserveReply r => $" leader {r.Leader} commit {r.Commit}" + (r.Diverged ? " diverged" : ""),
        _ => "",
    };

    private static string KindOf(Message message) => message switch
    {
        VoteRequest { PreVote: true } => "prevote",
        VoteRequest => "vote",
        VoteReply { PreVote: true } => "prevote-reply",
        VoteReply => "vote-reply",
        AppendRequest => "append",
        AppendReply => "append-reply",
        Heartbeat => "heartbeat",
        HeartbeatReply => "heartbeat-reply",
        SnapshotChunk => "chunk",
        SnapshotReply => "chunk-reply",
        ReadIndexRequest => "read",
        ReadIndexReply => "read-reply",
        TimeoutNow => "timeout-now",
        ObserveRequest { IsProbe: true } => "probe",
        ObserveRequest => "observe",
        ObserveReply { IsProbe: true } => "probe-reply",
        ObserveReply => "observe-reply",
        _ => "",
    };

    private static string Entries(IReadOnlyList<Entry> entries) =>
        entries.Count == 0 ? "none" : string.Join(' ', entries.Select(e => $"{e.Index}:{e.Term}"));

    // The boot number, and the count within that boot.
    private static string Number(ulong token) => $"{token >> 32}.{token & uint.MaxValue}";
}
