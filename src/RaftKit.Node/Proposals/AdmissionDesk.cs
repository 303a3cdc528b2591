using RaftKit.Consensus;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Proposals;

/// <summary>
/// The leader's door for proposals that other members forward: takes each proposer's in sequence into the log, skips what is in the log already, and
/// tells where a gap begins. Only opened once an entry of the leader's own term is applied: then the table knows all that older terms left in the log.
/// </summary>
/// <param name="table">What was applied.</param>
/// <param name="mayApply">Whether this build's members can apply it, as far as the leader can tell.</param>
/// <param name="complete">Adds what only the leader knows to a proposal that asks for it; null for any other.</param>
internal sealed class AdmissionDesk(ProposerTable table, Func<Envelope, bool> mayApply, Func<Envelope, byte[]?> complete)
{
    private readonly Dictionary<ProposerId, long> _next = [];

    /// <summary>A new term begins: what was appended in another one is found in the table.</summary>
    public void Reset() => _next.Clear();

    /// <summary>Appends what is next in sequence; null when everything was taken or known.</summary>
    public PeerMessage.ForwardRefused? Admit(RaftCore core, PeerMessage.ForwardProposals forward, long now)
    {
        var proposer = forward.Proposer;
        if (table.IsSuperseded(proposer))
            return new PeerMessage.ForwardRefused(proposer, forward.FirstSequence, ForwardRefusal.Superseded);
        var next = _next.TryGetValue(proposer, out var known) ? known : table.LastSequence(proposer) + 1;
        if (forward.FirstSequence > next)
            return new PeerMessage.ForwardRefused(proposer, next, ForwardRefusal.Gap);
        for (var i = next - forward.FirstSequence; i < forward.Envelopes.Count; i++)
        {
            // Damaged on the way, or for another build: refused as if there were no room, so that it is sent again, though not at once, perhaps to another leader.
            if (!Envelope.IsSound(forward.Envelopes[(int)i], proposer, next, out var envelope) || !mayApply(envelope))
            {
                _next[proposer] = next;
                return new PeerMessage.ForwardRefused(proposer, next, ForwardRefusal.Busy);
            }
            var outcome = core.Propose(complete(envelope) ?? forward.Envelopes[(int)i], now, out _);
            if (outcome != ProposeOutcome.Appended)
            {
                _next[proposer] = next;
                var refusal = outcome == ProposeOutcome.NotLeader ? ForwardRefusal.NotLeader : ForwardRefusal.Busy;
                return new PeerMessage.ForwardRefused(proposer, next, refusal);
            }
            next++;
        }
        _next[proposer] = next;
        return null;
    }
}
