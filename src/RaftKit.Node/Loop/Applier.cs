using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Levels;
using RaftKit.Node.Members;
using RaftKit.Node.Proposals;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Loop;

/// <summary>
/// Applies committed entries, in order, each once: to the state machine that its envelope names, and tells this member's own proposals
/// their results. It owns what every member derives from the log alone: the proposer table, the cluster's id, the applied position. Loop
/// thread only.
/// </summary>
internal sealed class Applier
{
    /// <summary>The node's own replicated state goes by this name, in envelopes and in snapshots.</summary>
    public const string NodeSection = "raftkit";

    public static readonly byte[] NodeName = Envelope.Name(NodeSection);

    private static readonly string NotKept =
        $"The command was applied. Its result is not known: this member was sent a snapshot in place of it, and of results that a member has not seen yet no more than {ProposerTable.MaxKeptBytes} bytes are kept.";

    private readonly (byte[] Name, IStateMachine Machine)[] _machines;
    private readonly PendingProposals _pending;
    private readonly FeatureRanges _supported;
    private readonly ArrayBufferWriter<byte> _result = new(256);
    private readonly List<Entry> _batch = [];

    public Applier(IReadOnlyList<IStateMachine> machines, PendingProposals pending, FeatureRanges? supported = null)
    {
        _supported = supported ?? FeatureRanges.Own;
        _machines = [.. machines.Select(m => (Envelope.Name(m.Name), m))];
        var twice = machines.GroupBy(m => m.Name).FirstOrDefault(g => g.Count() > 1 || g.Key == NodeSection || g.Key.Length is 0 or > 64);
        if (twice is not null)
            throw new ArgumentException($"State machine name '{twice.Key}' is used twice, reserved, empty or longer than 64 characters.");
        _pending = pending;
    }

    public ProposerTable Proposers { get; } = new();

    /// <summary>Who is to be a member, and where.</summary>
    public MemberTable Members { get; } = new();

    /// <summary>Which levels are finalised.</summary>
    public FeatureTable Levels { get; } = new();

    /// <summary>Hears of finalised levels before whoever asked for one does.</summary>
    public Action<FinalizedLevels> LevelsChanged { private get; set; } = static _ => { };

    public LogIndex Applied { get; private set; }

    public Term AppliedTerm { get; private set; }

    /// <summary><see cref="Applied"/> as a zxid.</summary>
    public long AppliedZxid => Zxid(Applied);

    public long AppliedStamp { get; private set; }

    /// <summary>The membership as of <see cref="Applied"/>: the one that a snapshot taken now must name.</summary>
    public Membership AppliedMembership { get; private set; } = Membership.Empty;

    /// <summary>Minted by the first command that was committed; empty before.</summary>
    public Guid ClusterId { get; private set; }

    /// <summary>Changes only when an operator forces a new quorum; its epoch is the upper 16 bits of every zxid.</summary>
    public RecoveryEpoch Recovery
    {
        get;
        private set
        {
            field = value;
            Members.LastLifeBefore = value.LastLifeBefore;
        }
    } = RecoveryEpoch.First;

    /// <summary>Entries and bytes applied since the last snapshot began.</summary>
    public long EntriesSinceSnapshot { get; set; }

    public long BytesSinceSnapshot { get; set; }

    public IReadOnlyList<IStateMachine> Machines => [.. _machines.Select(m => m.Machine)];

    /// <summary>Applies up to <paramref name="maxEntries"/> committed entries.</summary>
    /// <returns>How many; more may be left.</returns>
    public int ApplyCommitted(RaftCore core, int maxEntries)
    {
        var count = 0;
        while (Applied < core.Commit && count < maxEntries)
        {
            _batch.Clear();
            core.ReadCommitted(Applied.Next, 1 << 20, _batch);
            foreach (var entry in _batch)
            {
                if (entry.Index > core.Commit)
                    break;
                Apply(entry);
                count++;
            }
            core.AppliedTo(Applied);
        }
        return count;
    }

    /// <summary>
    /// The command that mints the cluster's id. A new cluster begins at the lowest levels that its first leader supports.
    /// </summary>
    public static ReadOnlyMemory<byte> MintClusterId(Guid id, FeatureRanges supported)
    {
        var output = new ArrayBufferWriter<byte>(20);
        var writer = new MessagePackWriter(output);
        writer.Write(id.ToByteArray());
        foreach (var (feature, range) in supported.All.Where(f => f.Value.Min > 1))
        {
            writer.Write(feature);
            writer.Write(range.Min);
        }
        writer.Flush();
        return Envelope.Encode(default, 0, 0, NodeName, output.WrittenMemory);
    }

    /// <summary>The command that gives an observer's empty directory a life of its own: its result is the number.</summary>
    public static ReadOnlyMemory<byte> MintObserverLife(MemberId observer)
    {
        var output = new ArrayBufferWriter<byte>(16);
        var writer = new MessagePackWriter(output);
        writer.Write(NodeCommand.ObserverLife);
        writer.Write(observer.Value);
        writer.Flush();
        return output.WrittenMemory;
    }

    public bool Knows(string machine) => _machines.Any(m => m.Machine.Name == machine);

    /// <summary>The position and the node's own state as one snapshot frame.</summary>
    public void WriteNodeFrame(IBufferWriter<byte> frame)
    {
        var writer = new MessagePackWriter(frame);
        writer.Write(ClusterId.ToByteArray());
        writer.Flush();
        Proposers.WriteTo(frame);
        Members.WriteTo(frame);
        if (Recovery.Epoch > 0 || !Levels.IsEmpty)
            Recovery.WriteTo(frame);
        if (!Levels.IsEmpty)
            Levels.WriteTo(frame);
    }

    public void ReadNodeFrame(ReadOnlyMemory<byte> frame)
    {
        var reader = new MessagePackReader(frame);
        ClusterId = new Guid(reader.ReadBytesMemory().Span);
        frame = frame[(int)reader.Consumed..];
        frame = frame[(int)Proposers.ReadFrom(frame)..];
        frame = frame[(int)Members.ReadFrom(frame)..];
        Recovery = RecoveryEpoch.First;
        if (!frame.IsEmpty)
        {
            reader = new MessagePackReader(frame);
            Recovery = RecoveryEpoch.Read(ref reader);
            frame = frame[(int)reader.Consumed..];
        }
        Levels.ReadFrom(frame);
    }

    /// <summary>
    /// What a snapshot holds may be of levels that this process does not support: then it must not reach the state machines.
    /// </summary>
    public void RequireSupported(string where, LogIndex index)
    {
        // What was never named holds nothing of any form yet.
        if (ClusterId == Guid.Empty)
            return;
        foreach (var feature in Levels.Current.All.Keys.Union(_supported.All.Keys).Order(StringComparer.Ordinal))
            RequireSupported(where, index, feature, Levels.Current.Of(feature));
    }

    /// <summary>The epoch break that the entry is; null if it is anything else.</summary>
    public static RecoveryEpoch? RecoveryOf(in Entry entry)
    {
        var envelope = Envelope.Decode(entry);
        if (!envelope.Machine.Span.SequenceEqual(NodeName))
            return null;
        var reader = new MessagePackReader(envelope.Command);
        return reader.NextMessagePackType == MessagePackType.Integer ? RecoveryEpoch.Read(ref reader) : null;
    }

    /// <summary>The state machines hold a snapshot now. Own proposals that it jumped over get their results from the table.</summary>
    public void JumpTo(SnapshotMark mark)
    {
        Applied = mark.Index;
        AppliedTerm = mark.Term;
        AppliedStamp = mark.Stamp;
        AppliedMembership = mark.Membership;
        Members.Note(mark.Membership);
        LevelsChanged(Levels.Current);
        EntriesSinceSnapshot = 0;
        BytesSinceSnapshot = 0;
        var last = Proposers.LastSequence(_pending.Proposer);
        while (_pending.Count > 0 && _pending.FirstSequence <= last)
        {
            var sequence = _pending.FirstSequence;
            var found = Proposers.TryGetResult(_pending.Proposer, sequence, out var at, out var result);
            Invariant.Holds(
                found, $"the result of proposal {sequence} of {_pending.Proposer}, not acknowledged yet, is not in the table of snapshot {mark.Index}");
            if (result is null)
                _pending.LoseFirst(sequence, NotKept);
            else if (at.IsRefusal)
                _pending.RefuseFirst(sequence, System.Text.Encoding.UTF8.GetString(result));
            else
                _pending.CompleteFirst(
                    sequence, new CommandContext(at.Index, at.Term, at.Stamp, at.Zxid) { Levels = Levels.Current.AsOf(at.Index) }, result);
        }
    }

    public CommandContext Context(in SnapshotMark mark) =>
        new(mark.Index, mark.Term, mark.Stamp, Zxid(mark.Index)) { Levels = Levels.Current };

    private void Apply(in Entry entry)
    {
        Invariant.Holds(entry.Index == Applied.Next, $"entry {entry.Index} is applied after {Applied}");
        Invariant.Holds(
            entry.Stamp >= AppliedStamp, $"entry {entry.Index} of term {entry.Term} has stamp {entry.Stamp}, before {AppliedStamp}");
        Applied = entry.Index;
        AppliedTerm = entry.Term;
        AppliedStamp = entry.Stamp;
        EntriesSinceSnapshot++;
        BytesSinceSnapshot += entry.Weight;
        if (entry.Kind == EntryKind.Membership)
        {
            AppliedMembership = MembershipCodec.Decode(entry.Payload.Span);
            Members.Note(AppliedMembership);
        }
        else if (entry.Kind == EntryKind.Command)
            ApplyCommand(entry);
    }

    private void ApplyCommand(in Entry entry)
    {
        var envelope = Envelope.Decode(entry);
        // The break itself is the first of its epoch.
        if (!envelope.IsSequenced && RecoveryOf(entry) is { } recovery && recovery.Epoch > Recovery.Epoch)
            Recovery = recovery;
        var context = new CommandContext(entry.Index, entry.Term, entry.Stamp, Zxid(entry.Index)) { Levels = Levels.Current };
        if (!envelope.IsSequenced)
        {
            Dispatch(context, envelope);
            return;
        }
        if (Proposers.Judge(envelope.Proposer, envelope.Sequence, envelope.Floor) != ProposalVerdict.Apply)
            return;
        if (NodeCommand.RefusalIn(envelope) is { } refusal)
        {
            Proposers.Record(
                envelope.Proposer, envelope.Sequence, ResultStamp.OfRefusal(context), System.Text.Encoding.UTF8.GetBytes(refusal));
            if (envelope.Proposer == _pending.Proposer)
                _pending.RefuseFirst(envelope.Sequence, refusal);
            return;
        }
        Dispatch(context, envelope);
        var stamp = new ResultStamp(context.Index, context.Term, context.Stamp, context.Zxid);
        // A machine that says more than it may: to stop here would stop every member, at each start again.
        if (_result.WrittenCount > ProposerTable.MaxResultBytes)
        {
            Proposers.RecordWithoutResult(envelope.Proposer, envelope.Sequence, stamp);
            if (envelope.Proposer == _pending.Proposer)
                _pending.LoseFirst(envelope.Sequence, TooLong(envelope, _result.WrittenCount));
            return;
        }
        Proposers.Record(envelope.Proposer, envelope.Sequence, stamp, _result.WrittenSpan);
        if (envelope.Proposer == _pending.Proposer)
            _pending.CompleteFirst(envelope.Sequence, context, _result.WrittenMemory);
    }

    private static string TooLong(in Envelope envelope, int length) =>
        $"State machine '{System.Text.Encoding.UTF8.GetString(envelope.Machine.Span)}' has applied the command, and gave a result of {length} bytes; at most {ProposerTable.MaxResultBytes} are kept. Let it "
        + "answer with less, and read what is more.";

    private void Dispatch(in CommandContext context, in Envelope envelope)
    {
        _result.ResetWrittenCount();
        foreach (var (name, machine) in _machines)
        {
            if (envelope.Machine.Span.SequenceEqual(name))
            {
                machine.Apply(context, envelope.Command, _result);
                return;
            }
        }
        if (envelope.Machine.Span.SequenceEqual(NodeName))
        {
            ApplyNodeCommand(context.Index, envelope.Command);
            return;
        }
        // Another member, which has it, proposed this: a rolling upgrade begun at the wrong end. Whoever skipped it could never be told
        // from one that did not.
        throw new StateMachineMissingException(System.Text.Encoding.UTF8.GetString(envelope.Machine.Span), context.Index, "Entry");
    }

    private void ApplyNodeCommand(LogIndex index, ReadOnlyMemory<byte> command)
    {
        var reader = new MessagePackReader(command);
        if (reader.NextMessagePackType == MessagePackType.Integer)
            return;
        if (reader.NextMessagePackType == MessagePackType.Array)
        {
            var change = MembershipChange.Decode(ref reader);
            var refusal = WhyUnready(change) ?? Members.Apply(change, AppliedMembership);
            var writer = new MessagePackWriter(_result);
            writer.Write(refusal ?? "");
            writer.Flush();
            return;
        }
        if (reader.NextMessagePackType == MessagePackType.String)
        {
            var kind = reader.ReadRequiredString();
            if (kind == FinalizeLevel.Kind)
            {
                FinalizeIfReady(index, FinalizeLevel.ReadRest(ref reader));
                return;
            }
            Invariant.Holds(
                kind == NodeCommand.ObserverLife, $"a command of the node itself is '{kind}', which this version does not know");
            var observer = new MemberId(reader.ReadInt32());
            var life = Members.BeginLife(observer, Proposers.LastLife(observer));
            var writer = new MessagePackWriter(_result);
            writer.Write(life);
            writer.Flush();
            return;
        }
        var minted = new Guid(reader.ReadBytesMemory().Span);
        // Two leaders may both have proposed one before either saw the other's: the first in the log is the id.
        if (ClusterId != Guid.Empty)
            return;
        ClusterId = minted;
        while (!reader.End)
            Levels.Raise(reader.ReadRequiredString(), reader.ReadInt32(), index);
        RequireSupported("Entry", index);
        LevelsChanged(Levels.Current);
    }

    /// <summary>Why a change would be refused as of the last entry that was applied; null if it would not.</summary>
    public string? WhyRefused(MembershipChange change) => WhyUnready(change) ?? Members.WhyRefused(change, AppliedMembership);

    // Before the membership is changed for it: the member that it asked may have heard of the level later than the log.
    private string? WhyUnready(MembershipChange change) =>
        change is MembershipChange.AddItself asked ? Levels.Current.WhyUnready(asked.Id, asked.Features) : null;

    private void FinalizeIfReady(LogIndex index, FinalizeLevel command)
    {
        var refusal = Levels.Judge(command, AppliedMembership);
        if (refusal is null)
        {
            RequireSupported("Entry", index, command.Feature, command.Level);
            Levels.Raise(command.Feature, command.Level, index);
            LevelsChanged(Levels.Current);
        }
        var writer = new MessagePackWriter(_result);
        writer.Write(refusal ?? "");
        writer.Flush();
    }

    private void RequireSupported(string where, LogIndex index, string feature, int level)
    {
        if (!_supported.Of(feature).Contains(level))
            throw FeatureLevelUnsupportedException.At(where, index, feature, level, _supported.Of(feature));
    }

    private long Zxid(LogIndex index) => Recovery.ZxidOf(index);
}
