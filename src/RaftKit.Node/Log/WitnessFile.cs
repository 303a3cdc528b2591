using System.Buffers;
using System.Buffers.Binary;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Liveness;

namespace RaftKit.Node.Log;

/// <summary>What one member knows of another's disk: its newest start, and the most that this one told of what it holds.</summary>
/// <param name="Member">The other one.</param>
/// <param name="Incarnation">Which life of it.</param>
/// <param name="Boot">Which start.</param>
/// <param name="Told">The last batch of its log that it said to be synced.</param>
/// <param name="Process">Its process.</param>
/// <param name="RunEnds">Where it said that its runs before left its log.</param>
internal sealed record Witnessed(MemberId Member, int Incarnation, long Boot, long Told, HostProcess Process, RunEnds RunEnds);

/// <summary>
/// Keeps what this member was told by others, so that an old copy of one of their directories is noticed though everybody was restarted
/// since (DESIGN, promise 4). Two slots, written in turn over zeros that are on the disk already: one of them is always whole, and no write
/// changes a name or a length. Nothing depends on the newest being there: it is written a little after what it tells of, and a slot that is
/// damaged is passed over, and so is one of a format that this version does not know: what is lost with it is told anew.
/// </summary>
internal sealed class WitnessFile(ILogDirectory directory) : IDisposable
{
    public const string Name = "witness";

    private const int FormatVersion = 1;
    private const int SlotBytes = 128 << 10;
    private const int HeadBytes = 8;
    private ILogFile? _file;
    private long _sequence;

    /// <summary>Reads what was written last. Before the first <see cref="Write"/>.</summary>
    public IReadOnlyList<Witnessed> Read()
    {
        if (!directory.Exists(Name))
            return [];
        _file?.Dispose();
        _file = directory.Open(Name);
        IReadOnlyList<Witnessed> newest = [];
        for (var slot = 0; slot < 2; slot++)
        {
            if (ReadSlot(slot, out var sequence) is { } found && sequence > _sequence)
                (newest, _sequence) = (found, sequence);
        }
        return newest;
    }

    /// <summary>Makes this what is known, durably. One thread at a time.</summary>
    public void Write(IReadOnlyList<Witnessed> witnessed)
    {
        if (_file is null)
        {
            _file = directory.Create(Name, 2 * SlotBytes);
            _file.Sync();
            directory.Sync();
        }
        _sequence++;
        var bytes = Encode(_sequence, witnessed);
        _file.Write(_sequence % 2 * SlotBytes, bytes);
        _file.Sync();
    }

    public void Dispose() => _file?.Dispose();

    private IReadOnlyList<Witnessed>? ReadSlot(int slot, out long sequence)
    {
        sequence = 0;
        Span<byte> head = stackalloc byte[HeadBytes];
        if (_file!.Read((long)slot * SlotBytes, head) != HeadBytes)
            return null;
        var length = BinaryPrimitives.ReadInt32LittleEndian(head);
        if (length is < 1 or > SlotBytes - HeadBytes)
            return null;
        var body = new byte[length];
        if (_file.Read(((long)slot * SlotBytes) + HeadBytes, body) != length
            || Crc32C.Of(body) != BinaryPrimitives.ReadUInt32LittleEndian(head[4..]))
            return null;
        try
        {
            return Decode(body, out sequence);
        }
        catch (MessagePackSerializationException)
        {
            return null;
        }
    }

    private static byte[] Encode(long sequence, IReadOnlyList<Witnessed> witnessed)
    {
        var output = new ArrayBufferWriter<byte>(256);
        output.GetSpan(HeadBytes)[..HeadBytes].Clear();
        output.Advance(HeadBytes);
        var writer = new MessagePackWriter(output);
        writer.WriteArrayHeader(3);
        writer.Write(FormatVersion);
        writer.Write(sequence);
        writer.WriteArrayHeader(witnessed.Count);
        foreach (var one in witnessed)
        {
            writer.WriteArrayHeader(6);
            writer.Write(one.Member.Value);
            writer.Write(one.Incarnation);
            writer.Write(one.Boot);
            writer.Write(one.Told);
            one.Process.WriteTo(ref writer);
            one.RunEnds.WriteTo(ref writer);
        }
        writer.Flush();
        var bytes = output.WrittenSpan.ToArray();
        Invariant.Holds(
            bytes.Length <= SlotBytes,
            $"what is known of {witnessed.Count} members takes {bytes.Length} bytes, more than the {SlotBytes} of a slot");
        BinaryPrimitives.WriteInt32LittleEndian(bytes, bytes.Length - HeadBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), Crc32C.Of(bytes.AsSpan(HeadBytes)));
        return bytes;
    }

    private static List<Witnessed>? Decode(ReadOnlyMemory<byte> body, out long sequence)
    {
        var reader = new MessagePackReader(body);
        reader.ReadArrayHeader(3);
        var version = reader.ReadInt32();
        sequence = reader.ReadInt64();
        if (version != FormatVersion)
            return null;
        var witnessed = new List<Witnessed>();
        for (var count = reader.ReadArrayHeader(); count > 0; count--)
        {
            reader.ReadArrayHeader(6);
            var (member, incarnation, boot, told) =
                (new MemberId(reader.ReadInt32()), reader.ReadInt32(), reader.ReadInt64(), reader.ReadInt64());
            witnessed.Add(new Witnessed(member, incarnation, boot, told, HostProcess.Read(ref reader), RunEnds.Read(ref reader)));
        }
        return reader.End ? witnessed : null;
    }
}
