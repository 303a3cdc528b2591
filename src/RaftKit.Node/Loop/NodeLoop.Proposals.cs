using RaftKit.Consensus;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Loop;

/// <summary>
/// The loop's dealings with proposals: this member's own on their way to the leader, and others' that come to it while it leads.
/// </summary>
internal sealed partial class NodeLoop
{
    private void Propose(NodeInput.Propose propose)
    {
        // The node's own section takes commands from the loop's own parts only.
        if (!_names.ContainsKey(propose.Machine) || propose.Machine == Applier.NodeSection)
        {
            // Beyond this point it could only end the node: no member could apply it.
            propose.Callback?.Failed(
                ProposalFailure.NotApplied,
                $"Member {Self} has no state machine '{propose.Machine}', only {string.Join(", ", _names.Keys.Where(n => n != Applier.NodeSection).Order(StringComparer.Ordinal))}. Register it on every member.");
        }
        else if (_stop.IsStopping)
        {
            propose.Callback?.Failed(ProposalFailure.NotApplied, $"Member {Self} is stopping.");
        }
        else
        {
            Take(propose);
        }
    }

    private void Take(NodeInput.Propose propose)
    {
        Counters.ProposalsCount++;
        if (Core is not null)
        {
            _pending.TryAdd(_names[propose.Machine], propose.Command, propose.Callback, propose.Machine == Applier.NodeSection);
        }
        else if (_early.Count < 1024)
        {
            _early.Add(propose);
        }
        else
        {
            propose.Callback?.Failed(ProposalFailure.NotApplied, $"Member {Self} has not joined a cluster yet. {_formation.Waiting}");
        }
    }

    /// <summary>Only what this process asks is refused: the sessions' part of the loop is bounded by its own calls.</summary>
    private void Read(NodeInput.Read read)
    {
        if (_reads.Count < _options.MaxPendingReads)
            _reads.Add(read.Callback, read.Consistency);
        else
            read.Callback.Failed(
                $"Member {Self} is busy: {_reads.Count} reads wait for the quorum already. Await some of them before making more.");
    }

    private void TakeForwarded(MemberId from, PeerMessage.ForwardProposals forward)
    {
        if (Core!.Role != RaftRole.Leader)
        {
            _ports.Transport.Send(from, new PeerMessage.ForwardRefused(forward.Proposer, forward.FirstSequence, ForwardRefusal.NotLeader));
        }
        else if (!Status.Ready)
        {
            // Until an entry of its own term is applied, this leader does not know what older terms left in its log.
            if (_stashed.Count < MaxStashedForwards)
                _stashed.Add((from, forward));
        }
        else if (_desk.Admit(Core, forward, Now.UnixMilliseconds) is { } refused)
        {
            _ports.Transport.Send(from, refused);
        }
    }

    /// <summary>
    /// What this leader could not apply itself does not get into the log through it: a machine that it was not given (a rolling restart
    /// that is under way), or a command of the node itself of another shape. Everybody like it would stop there. The log says instead that
    /// it is refused, and its proposer goes on with what it proposed after it (<see cref="AdmissionDesk"/>).
    /// </summary>
    private string? WhyUnfit(Envelope envelope)
    {
        if (IsForNode(envelope))
        {
            if (NodeCommand.IsSound(envelope.Command))
                return null;
        }
        else
        {
            foreach (var name in _names.Values)
            {
                if (envelope.Machine.Span.SequenceEqual(name))
                    return null;
            }
        }
        var machine = WireValues.Readable(System.Text.Encoding.UTF8.GetString(envelope.Machine.Span));
        LogUnfit(_ports.Logger, envelope.Proposer.Member.Value, envelope.Sequence, machine, Self.Value);
        return IsForNode(envelope)
            ? $"Leader {Self} knows no such command: its build is another one. Give all members the same build, or let one of this build lead, and try again."
            : $"Leader {Self} has no state machine '{machine}'. Register it on every member before anybody proposes to it, then try again.";
    }

    private bool IsForNode(Envelope envelope) => envelope.Machine.Span.SequenceEqual(_names[Applier.NodeSection]);

    private void ForwardRefused(PeerMessage.ForwardRefused refused)
    {
        if (refused.Refusal == ForwardRefusal.Superseded && Self.IsObserver)
            EndSuperseded();
        Invariant.Holds(
            refused.Refusal != ForwardRefusal.Superseded,
            $"A later start of member {Self} proposes already; this one ({_pending.Proposer}) must end. Is the same data directory, or a copy of it, in use twice?");
        _pending.ResendFrom(refused.NextSequence);
        // A gap is mended at once; a leader that is busy, or none, is given until the next tick.
        _forwardRefused = refused.Refusal != ForwardRefusal.Gap;
    }

    /// <summary>
    /// Once a term: what is appended in it is committed, or goes with the leadership. A refusal (a handover under way) is tried again.
    /// </summary>
    private void MintClusterId(RaftCore core)
    {
        if (ClusterId == Guid.Empty && _mintedIn != core.Term
            && core.Propose(
                Applier.MintClusterId(_formation.NewClusterId(), _options.Features), Now.UnixMilliseconds,
                out _) == ProposeOutcome.Appended)
        {
            _mintedIn = core.Term;
        }
    }

    /// <summary>A forward may be dropped on the way without anybody hearing of it.</summary>
    private void ResendWhatMayBeLost()
    {
        if (_pending.Count == 0 || _pending.FirstSequence != _progressMark)
        {
            _progressMark = _pending.FirstSequence;
            _ticksWithoutProgress = 0;
        }
        else if (++_ticksWithoutProgress >= _options.ElectionTicks)
        {
            _ticksWithoutProgress = 0;
            if (Core?.Leader != Self)
                _pending.Resend();
        }
    }

    private void SendProposals(RaftCore core)
    {
        if (!_pending.HasUnsent || _forwardRefused)
            return;
        if (core.Role == RaftRole.Leader)
        {
            // The same door as for forwarded ones: not before the log of older terms is applied.
            if (Status.Ready && Status.Term == core.Term
                && _pending.ProposeTo(core, Now.UnixMilliseconds, WithWhatLeaderKnows) == ProposeOutcome.Busy)
                _forwardRefused = true;
        }
        else if (!core.Leader.IsNone && _links.IsUp(core.Leader))
        {
            for (var i = 0; i < MaxForwardsPerTurn && _pending.HasUnsent; i++)
            {
                var (first, envelopes) = _pending.TakeUnsent(MaxForwardedEnvelopes, MaxForwardedBytes);
                _ports.Transport.Send(core.Leader, new PeerMessage.ForwardProposals(_pending.Proposer, first, envelopes));
            }
        }
        _pending.NoteSent();
    }
}
