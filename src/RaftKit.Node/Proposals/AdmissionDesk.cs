using RaftKit.Consensus;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Proposals;

/// <summary>
/// The leader's door for proposals that other members forward: takes each proposer's in sequence into the log, skips what is in the log
/// already, and tells where a gap begins. Only opened once an entry of the leader's own term is applied: then the table knows all that
/// older terms left in the log.
/// </summary>
/// <param name="table">What was applied.</param>
/// <param name="whyUnfit">Why members of this build cannot apply it, as far as the leader can tell; null: they can.</param>
/// <param name="complete">Adds what only the leader knows to a proposal that asks for it; null for any other.</param>
internal sealed class AdmissionDesk(ProposerTable table, Func<Envelope, string?> whyUnfit, Func<Envelope, byte[]?> complete)
{
    private readonly Dictionary<ProposerId, long> _next = [];

    // The last sequence of each whose bytes made no sense.
    private readonly Dictionary<ProposerId, long> _garbled = [];

    /// <summary>A new term begins: what was appended in another one is found in the table.</summary>
    public void Reset()
    {
        _next.Clear();
        _garbled.Clear();
    }

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
            string? unfit;
            if (Envelope.IsSound(forward.Envelopes[(int)i], proposer, next, out var envelope))
            {
                unfit = whyUnfit(envelope);
            }
            else if (_garbled.TryGetValue(proposer, out var garbled) && garbled == next)
            {
                // It came like this twice, so that is what its proposer has; from what the frame says, it is known whose it is.
                unfit = "Its bytes are not what a member of the leader's build proposes: its own build is another one, or its memory is damaged.";
                envelope = new Envelope(proposer, next, 0, default, default);
            }
            else
            {
                // Damaged on the way, perhaps: refused as if there were no room, so that it is sent again, though not at once.
                (_garbled[proposer], _next[proposer]) = (next, next);
                return new PeerMessage.ForwardRefused(proposer, next, ForwardRefusal.Busy);
            }
            // What cannot be applied must neither reach the log, where it would stop everybody like this leader, nor stay with its
            // proposer, where everything behind it would wait. So the log holds, under its number, that it is refused: a late copy of it
            // can then never be applied, and its caller is told for certain.
            var outcome = core.Propose(
                unfit is null ? complete(envelope) ?? forward.Envelopes[(int)i] : NodeCommand.Refusal(envelope, unfit), now, out _);
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
