using System.Diagnostics;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Proposals;

/// <summary>
/// This member's own proposals that have no result yet, in their sequence. They are sent in order, again from the first one whenever the
/// leader changes or one was lost, and end in order, when they are applied here. Loop thread only.
/// </summary>
internal sealed class PendingProposals(int maxCount, long maxBytes, IProposalMeter? meter = null)
{
    // Oldest first, from _head on: a queue that can be read from anywhere.
    private readonly List<Pending> _items = [];
    private int _head;
    private readonly List<ReadOnlyMemory<byte>> _batch = [];
    private readonly ChunkedWriter _envelopes = new();
    private long _bytes;

    /// <summary>Who this start of this member is; set once it has an identity.</summary>
    public ProposerId Proposer { get; set; }

    public int Count => _items.Count - _head;

    /// <summary>The sequence of the oldest one without a result.</summary>
    public long FirstSequence { get; private set; } = 1;

    /// <summary>The first one that was not yet sent to the current leader.</summary>
    public long NextToSend { get; private set; } = 1;

    private long NextSequence => FirstSequence + Count;

    public bool HasUnsent => NextToSend < NextSequence;

    /// <summary>Takes a proposal in, or refuses it as surely not applied.</summary>
    /// <param name="machine">Whose command.</param>
    /// <param name="command">The command.</param>
    /// <param name="callback">Hears of the end.</param>
    /// <param name="asksLeader">Whether the leader may add to it.</param>
    public bool TryAdd(ReadOnlySpan<byte> machine, ReadOnlyMemory<byte> command, IProposalCallback? callback, bool asksLeader = false)
    {
        if (Count >= maxCount || (Count > 0 && _bytes + command.Length > maxBytes))
        {
            callback?.Failed(
                ProposalFailure.NotApplied,
                $"{Count} proposals of {_bytes} bytes wait for the quorum already (at most {maxCount} and {maxBytes} bytes may); try again later.");
            return false;
        }
        // The floor says which results this member has seen: everything before the oldest one that still waits.
        var envelope = Envelope.Encode(Proposer, NextSequence, FirstSequence - 1, machine, command, _envelopes);
        _items.Add(new Pending(envelope, callback, meter is { IsEnabled: true } ? Stopwatch.GetTimestamp() : 0, asksLeader));
        _bytes += envelope.Length;
        return true;
    }

    /// <summary>Starts over from the oldest: the leader changed, or what was sent may be lost.</summary>
    public void Resend() => NextToSend = FirstSequence;

    /// <summary>The leader took everything before this one; go on from here.</summary>
    public void ResendFrom(long sequence) => NextToSend = Math.Clamp(sequence, FirstSequence, NextSequence);

    /// <summary>Takes the next ones to send, in order, up to the limits; they count as sent.</summary>
    public (long First, IReadOnlyList<ReadOnlyMemory<byte>> Envelopes) TakeUnsent(int maxEnvelopes, long maxBatchBytes)
    {
        _batch.Clear();
        var first = NextToSend;
        long bytes = 0;
        for (var i = _head + (int)(NextToSend - FirstSequence); i < _items.Count; i++)
        {
            var pending = _items[i];
            if (_batch.Count == maxEnvelopes || (_batch.Count > 0 && bytes + pending.Envelope.Length > maxBatchBytes))
                break;
            _batch.Add(pending.Envelope);
            bytes += pending.Envelope.Length;
        }
        NextToSend += _batch.Count;
        return (first, [.. _batch]);
    }

    /// <summary>Hands unsent ones to this member's own core, until it refuses one.</summary>
    /// <param name="core">The leader.</param>
    /// <param name="now">Unix milliseconds.</param>
    /// <param name="complete">Adds what only the leader knows to a proposal that asks for it; null for any other.</param>
    public ProposeOutcome ProposeTo(RaftCore core, long now, Func<Envelope, byte[]?> complete)
    {
        for (var i = _head + (int)(NextToSend - FirstSequence); i < _items.Count; i++)
        {
            var pending = _items[i];
            // Nearly nobody asks: the others are not even read.
            var envelope = pending.AsksLeader && Envelope.IsSound(pending.Envelope, Proposer, NextToSend, out var asked)
                ? complete(asked)
                : null;
            var outcome = core.Propose(envelope ?? pending.Envelope, now, out _);
            if (outcome != ProposeOutcome.Appended)
                return outcome;
            NextToSend++;
        }
        return ProposeOutcome.Appended;
    }

    /// <summary>The oldest one was applied here with this result.</summary>
    public void CompleteFirst(long sequence, in CommandContext context, ReadOnlyMemory<byte> result) =>
        EndFirst(sequence).Callback?.Applied(context, result);

    /// <summary>The log says that the oldest one is never applied.</summary>
    public void RefuseFirst(long sequence, string reason) => EndFirst(sequence).Callback?.Failed(ProposalFailure.NotApplied, reason);

    /// <summary>The oldest one was applied, and its result is not kept.</summary>
    public void LoseFirst(long sequence, string reason) => EndFirst(sequence).Callback?.Failed(ProposalFailure.Unknown, reason);

    private Pending EndFirst(long sequence)
    {
        Invariant.Holds(
            sequence == FirstSequence && Count > 0,
            $"proposal {sequence} of {Proposer} was applied while {FirstSequence} is the oldest of {Count} that wait");
        var pending = RemoveFirst();
        NextToSend = Math.Max(NextToSend, FirstSequence);
        if (pending.TakenAt != 0)
            meter!.Applied(Stopwatch.GetElapsedTime(pending.TakenAt));
        return pending;
    }

    /// <summary>This node ends: nobody here will learn the results. What was never sent was surely not applied.</summary>
    public void FailAll(string reason)
    {
        while (Count > 0)
        {
            var failure = FirstSequence < HighestSent ? ProposalFailure.Unknown : ProposalFailure.NotApplied;
            var pending = RemoveFirst();
            pending.Callback?.Failed(failure, reason);
        }
        NextToSend = FirstSequence;
    }

    /// <summary>One above the highest sequence that ever left this queue; a resend lowers <see cref="NextToSend"/> but not this.</summary>
    private long HighestSent => Math.Max(_highestSent, NextToSend);

    private long _highestSent;

    /// <summary>Remembers what left the queue; called once a turn after sending.</summary>
    public void NoteSent() => _highestSent = HighestSent;

    private Pending RemoveFirst()
    {
        var pending = _items[_head];
        _items[_head++] = default;
        _bytes -= pending.Envelope.Length;
        FirstSequence++;
        if (_head == _items.Count || _head >= 4096)
        {
            _items.RemoveRange(0, _head);
            _head = 0;
        }
        return pending;
    }

    /// <param name="Envelope">What is sent.</param>
    /// <param name="Callback">Hears of the end.</param>
    /// <param name="TakenAt">When it was taken in; 0 while nobody measures.</param>
    /// <param name="AsksLeader">The leader may add to it.</param>
    private readonly record struct Pending(ReadOnlyMemory<byte> Envelope, IProposalCallback? Callback, long TakenAt, bool AsksLeader);
}
