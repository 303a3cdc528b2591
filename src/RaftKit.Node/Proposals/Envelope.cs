using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Transport;

namespace RaftKit.Node.Proposals;

/// <summary>
/// The payload of a command entry: who proposed it as its which, for which state machine, and the command under a checksum of its own,
/// computed where it was proposed and checked where it is applied.
/// </summary>
/// <param name="Proposer">Whose; member 0 for a leader's own housekeeping, which is not sequenced.</param>
/// <param name="Sequence">Counts the proposer's commands from 1.</param>
/// <param name="Floor">The proposer has seen every result up to here.</param>
/// <param name="Machine">The state machine's name, UTF-8.</param>
/// <param name="Command">The command.</param>
internal readonly record struct Envelope(
    ProposerId Proposer, long Sequence, long Floor, ReadOnlyMemory<byte> Machine, ReadOnlyMemory<byte> Command)
{
    private const int Fields = 8;

    /// <summary>What an envelope takes besides the command and the machine's name, at most.</summary>
    private const int MostHead = 64;

    public bool IsSequenced => !Proposer.Member.IsNone;

    /// <summary>One array holding the whole payload: it lives as long as the entry does.</summary>
    public static byte[] Encode(ProposerId proposer, long sequence, long floor, ReadOnlySpan<byte> machine, ReadOnlyMemory<byte> command)
    {
        var output = new ArrayBufferWriter<byte>(command.Length + machine.Length + MostHead);
        Write(proposer, sequence, floor, machine, command, output);
        return output.WrittenSpan.ToArray();
    }

    /// <summary>The payload as one piece, among others that were proposed about the same time.</summary>
    public static ReadOnlyMemory<byte> Encode(
        ProposerId proposer, long sequence, long floor, ReadOnlySpan<byte> machine, ReadOnlyMemory<byte> command, ChunkedWriter output)
    {
        // All of it at once: what is big gets an array of just its size.
        output.GetSpan(command.Length + machine.Length + MostHead);
        Write(proposer, sequence, floor, machine, command, output);
        return output.Take();
    }

    /// <exception cref="InvariantBrokenException">What the log holds is not what was proposed.</exception>
    public static Envelope Decode(in Entry entry)
    {
        var reader = new MessagePackReader(entry.Payload);
        var fields = reader.ReadArrayHeader();
        Invariant.Holds(fields == Fields, $"entry {entry.Index} of term {entry.Term} holds an envelope of {fields} fields, not {Fields}");
        var envelope = Read(ref reader, out var checksum);
        Invariant.Holds(
            Crc32C.Of(envelope.Command.Span) == checksum,
            $"the command of entry {entry.Index} of term {entry.Term} does not match its proposer's checksum {checksum:x8}");
        return envelope;
    }

    /// <summary>
    /// Whether bytes that a peer sent are what the proposer made as this number. Asked before they reach the log: what is in there has to
    /// apply, or every member stops at it, and at every start again.
    /// </summary>
    public static bool IsSound(ReadOnlyMemory<byte> payload, ProposerId proposer, long sequence) =>
        IsSound(payload, proposer, sequence, out _);

    /// <summary>As <see cref="IsSound(ReadOnlyMemory{byte}, ProposerId, long)"/>, and what it is.</summary>
    public static bool IsSound(ReadOnlyMemory<byte> payload, ProposerId proposer, long sequence, out Envelope envelope)
    {
        envelope = default;
        try
        {
            var reader = new MessagePackReader(payload);
            if (reader.ReadArrayHeader() != Fields)
                return false;
            envelope = Read(ref reader, out var checksum);
            return envelope.Proposer == proposer && envelope.Sequence == sequence && envelope.Floor < sequence && reader.End
                && Crc32C.Of(envelope.Command.Span) == checksum;
        }
        catch (MessagePackSerializationException)
        {
            return false;
        }
    }

    /// <summary>The same proposal with another command: what its proposer asks the leader to add to.</summary>
    public byte[] With(ReadOnlyMemory<byte> command) => Encode(Proposer, Sequence, Floor, Machine.Span, command);

    public static byte[] Name(string machine) => System.Text.Encoding.UTF8.GetBytes(machine);

    private static void Write(
        ProposerId proposer, long sequence, long floor, ReadOnlySpan<byte> machine, ReadOnlyMemory<byte> command,
        IBufferWriter<byte> output)
    {
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(Fields);
        writer.Write(proposer.Member.Value);
        writer.Write(proposer.Incarnation);
        writer.Write(proposer.Boot);
        writer.Write(sequence);
        writer.Write(floor);
        writer.Write(machine);
        writer.Write(Crc32C.Of(command.Span));
        writer.Write(command.Span);
        writer.Flush();
    }

    private static Envelope Read(ref MessagePackReader reader, out uint checksum)
    {
        var proposer = new ProposerId(new MemberId(reader.ReadInt32()), reader.ReadInt32(), reader.ReadInt64());
        var sequence = reader.ReadInt64();
        var floor = reader.ReadInt64();
        var machine = reader.ReadBytesMemory();
        checksum = reader.ReadUInt32();
        return new Envelope(proposer, sequence, floor, machine, reader.ReadBytesMemory());
    }
}
