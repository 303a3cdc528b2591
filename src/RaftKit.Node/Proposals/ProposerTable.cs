using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Loop;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Proposals;

/// <summary>What the table says of a command that came out of the log.</summary>
internal enum ProposalVerdict
{
    /// <summary>It is the next of its proposer: apply it.</summary>
    Apply,

    /// <summary>It was applied before: its result is kept, or was acknowledged.</summary>
    Duplicate,

    /// <summary>One before it is missing, so it is not applied; its proposer sends both again, in order.</summary>
    Gap,

    /// <summary>A later start of the same member proposes now.</summary>
    Superseded,
}

/// <summary>
/// Replicated and snapshotted: for each member's newest start, the last sequence applied and the results that it has not acknowledged yet.
/// This is what makes every proposal, of whatever state machine, exactly-once (DESIGN, promise 2; Raft 8).
/// </summary>
internal sealed class ProposerTable
{
    /// <summary>The longest result: what <see cref="IStateMachine.Apply"/> tells users.</summary>
    public const int MaxResultBytes = 1 << 20;

    /// <summary>
    /// How many bytes of unacknowledged results are kept for one proposer. Of those beyond only the stamps are: whoever applies them itself
    /// has them anyway, and who was sent a snapshot instead is told that they are gone. Part of the replicated state: every member must
    /// come to the same.
    /// </summary>
    public const int MaxKeptBytes = 64 << 20;

    private readonly SortedDictionary<MemberId, Row> _rows = [];

    /// <summary>
    /// The last sequence of this proposer that was applied; 0 if none, or if the table knows only other starts of its member.
    /// </summary>
    public long LastSequence(ProposerId proposer) =>
        _rows.TryGetValue(proposer.Member, out var row) && row.Proposer == proposer ? row.LastSequence : 0;

    /// <summary>The life under which the member proposed last; 0 if it never did.</summary>
    public int LastLife(MemberId member) => _rows.TryGetValue(member, out var row) ? row.Proposer.Incarnation : 0;

    /// <summary>Whether a later start of the same member has already proposed.</summary>
    public bool IsSuperseded(ProposerId proposer) =>
        _rows.TryGetValue(proposer.Member, out var row) && proposer.IsOlderThan(row.Proposer);

    /// <summary>
    /// Judges a command; on <see cref="ProposalVerdict.Apply"/> the caller applies it and then calls <see cref="Record"/>.
    /// </summary>
    /// <param name="proposer">Whose.</param>
    /// <param name="sequence">Its number.</param>
    /// <param name="floor">Results at or below this number have been seen by the proposer.</param>
    public ProposalVerdict Judge(ProposerId proposer, long sequence, long floor)
    {
        if (!_rows.TryGetValue(proposer.Member, out var row) || row.Proposer.IsOlderThan(proposer))
        {
            if (sequence != 1)
                return ProposalVerdict.Gap;
            row = new Row(proposer);
            _rows[proposer.Member] = row;
        }
        else if (row.Proposer != proposer)
        {
            return ProposalVerdict.Superseded;
        }
        if (sequence <= row.LastSequence)
            return ProposalVerdict.Duplicate;
        if (sequence != row.LastSequence + 1)
            return ProposalVerdict.Gap;
        row.AcknowledgeTo(floor);
        return ProposalVerdict.Apply;
    }

    /// <summary>Keeps the result of the command that was just applied.</summary>
    public void Record(ProposerId proposer, long sequence, in ResultStamp stamp, ReadOnlySpan<byte> result) =>
        _rows[proposer.Member].Record(sequence, stamp, result);

    /// <summary>The command was applied, and its result is not kept.</summary>
    public void RecordWithoutResult(ProposerId proposer, long sequence, in ResultStamp stamp) =>
        _rows[proposer.Member].RecordWithoutResult(sequence, stamp);

    /// <summary>
    /// The kept result of a command, null if it was applied and its result is not kept; false when it was acknowledged, or not applied.
    /// </summary>
    public bool TryGetResult(ProposerId proposer, long sequence, out ResultStamp stamp, out byte[]? result)
    {
        stamp = default;
        result = null;
        return _rows.TryGetValue(proposer.Member, out var row) && row.Proposer == proposer
            && row.TryGetResult(sequence, out stamp, out result);
    }

    public void WriteTo(IBufferWriter<byte> output)
    {
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(_rows.Count);
        foreach (var row in _rows.Values)
            row.WriteTo(ref writer);
        writer.Flush();
    }

    /// <returns>How many bytes it took.</returns>
    public long ReadFrom(ReadOnlyMemory<byte> bytes)
    {
        _rows.Clear();
        var reader = new MessagePackReader(bytes);
        for (var count = reader.ReadArrayHeader(); count > 0; count--)
        {
            var row = Row.ReadFrom(ref reader);
            _rows[row.Proposer.Member] = row;
        }
        return reader.Consumed;
    }

    /// <summary>
    /// One member's newest start. The results lie one behind the other in a ring of bytes, so that keeping one allocates nothing.
    /// </summary>
    private sealed class Row(ProposerId proposer)
    {
        // A negative length is of a result that is not kept.
        private readonly Queue<(ResultStamp Stamp, int Length)> _stamps = new();
        private byte[] _ring = new byte[256];
        private int _start;
        private int _used;

        public ProposerId Proposer { get; } = proposer;

        public long LastSequence { get; private set; }

        public void AcknowledgeTo(long floor)
        {
            while (_stamps.Count > 0 && LastSequence - _stamps.Count < floor)
            {
                var length = Math.Max(_stamps.Dequeue().Length, 0);
                _start = (_start + length) % _ring.Length;
                _used -= length;
            }
        }

        public void Record(long sequence, in ResultStamp stamp, ReadOnlySpan<byte> result)
        {
            if (result.Length > MaxKeptBytes - _used)
            {
                RecordWithoutResult(sequence, stamp);
                return;
            }
            MakeRoom(result.Length);
            var end = (_start + _used) % _ring.Length;
            var first = Math.Min(result.Length, _ring.Length - end);
            result[..first].CopyTo(_ring.AsSpan(end));
            result[first..].CopyTo(_ring);
            _used += result.Length;
            Add(sequence, stamp, result.Length);
        }

        public void RecordWithoutResult(long sequence, in ResultStamp stamp) => Add(sequence, stamp, -1);

        public bool TryGetResult(long sequence, out ResultStamp stamp, out byte[]? result)
        {
            var oldest = LastSequence - _stamps.Count + 1;
            stamp = default;
            result = null;
            if (sequence < oldest || sequence > LastSequence)
                return false;
            var offset = 0;
            foreach (var (kept, length) in _stamps)
            {
                if (oldest++ == sequence)
                {
                    stamp = kept;
                    result = length < 0 ? null : Copy(offset, length);
                    return true;
                }
                offset += Math.Max(length, 0);
            }
            return false;
        }

        public void WriteTo(ref MessagePackWriter writer)
        {
            writer.WriteArrayHeader(5 + (_stamps.Count * 5));
            writer.Write(Proposer.Member.Value);
            writer.Write(Proposer.Incarnation);
            writer.Write(Proposer.Boot);
            writer.Write(LastSequence);
            writer.Write(_stamps.Count);
            var offset = 0;
            foreach (var (stamp, length) in _stamps)
            {
                writer.Write(stamp.Index.Value);
                writer.Write(stamp.Term.Value);
                writer.Write(stamp.Stamp);
                writer.Write(stamp.Zxid);
                if (length < 0)
                {
                    writer.WriteNil();
                    continue;
                }
                writer.Write(Copy(offset, length));
                offset += length;
            }
        }

        public static Row ReadFrom(ref MessagePackReader reader)
        {
            reader.ReadArrayHeader();
            var row = new Row(new ProposerId(new MemberId(reader.ReadInt32()), reader.ReadInt32(), reader.ReadInt64()));
            var last = reader.ReadInt64();
            var kept = reader.ReadInt32();
            row.LastSequence = last - kept;
            for (var i = 0; i < kept; i++)
            {
                var stamp = new ResultStamp(
                    new LogIndex(reader.ReadInt64()), new Term(reader.ReadInt64()), reader.ReadInt64(), reader.ReadInt64());
                if (reader.TryReadNil())
                    row.RecordWithoutResult(row.LastSequence + 1, stamp);
                else
                    row.Record(row.LastSequence + 1, stamp, reader.ReadBytesMemory().Span);
            }
            return row;
        }

        private void Add(long sequence, in ResultStamp stamp, int length)
        {
            Invariant.Holds(sequence == LastSequence + 1, $"result {sequence} of proposer {Proposer} follows {LastSequence}");
            _stamps.Enqueue((stamp, length));
            LastSequence = sequence;
        }

        private byte[] Copy(int offset, int length)
        {
            var copy = new byte[length];
            var from = (_start + offset) % _ring.Length;
            var first = Math.Min(length, _ring.Length - from);
            _ring.AsSpan(from, first).CopyTo(copy);
            _ring.AsSpan(0, length - first).CopyTo(copy.AsSpan(first));
            return copy;
        }

        private void MakeRoom(int length)
        {
            if (_used + length <= _ring.Length)
                return;
            var size = _ring.Length;
            while (size < _used + length)
                size *= 2;
            var larger = new byte[size];
            Copy(0, _used).CopyTo(larger, 0);
            _ring = larger;
            _start = 0;
        }
    }
}

/// <summary>Where a command was applied.</summary>
internal readonly record struct ResultStamp(LogIndex Index, Term Term, long Stamp, long Zxid)
{
    /// <summary>It was not applied: the result says why a leader refused it. No state machine saw it, so it has no zxid.</summary>
    public bool IsRefusal => Zxid == 0;

    public static ResultStamp OfRefusal(in CommandContext context) => new(context.Index, context.Term, context.Stamp, 0);
}
