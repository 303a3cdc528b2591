using System.Buffers.Binary;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>One piece of a state machine's state, as it wrote it.</summary>
/// <param name="Section">Whose: a state machine's name, or one of the node's own tables.</param>
/// <param name="Bytes">What it wrote.</param>
internal readonly record struct SnapshotFrame(string Section, ReadOnlyMemory<byte> Bytes);

/// <summary>
/// The bytes of a snapshot are frames: [section as str, bytes as bin], one behind the other. This is what a peer is sent, too.
/// </summary>
internal static class SnapshotFrames
{
    // The array's head, a section of 64 characters at most, and the bin's head.
    private const int MostHead = 1 + 3 + 4 * 64 + 5;

    public static void Write(string section, int length, System.Buffers.IBufferWriter<byte> head)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(section.Length, 64);
        var writer = new MessagePackWriter(head);
        writer.WriteArrayHeader(2);
        writer.Write(section);
        writer.WriteBinHeader(length);
        writer.Flush();
    }

    /// <summary>Reads the frame at the offset; the bytes are a copy.</summary>
    public static SnapshotFrame Read(SnapshotFile snapshot, ref long offset)
    {
        Span<byte> head = stackalloc byte[MostHead];
        var read = snapshot.Read(offset, head);
        var section = ReadSection(head[..read], out var consumed);
        var bin = head[consumed..read];
        var (length, width) = bin switch
        {
            [MessagePackCode.Bin8, var small, ..] => (small, 2),
            [MessagePackCode.Bin16, _, _, ..] => (BinaryPrimitives.ReadUInt16BigEndian(bin[1..]), 3),
            [MessagePackCode.Bin32, _, _, _, _, ..] => (BinaryPrimitives.ReadUInt32BigEndian(bin[1..]), 5),
            _ => throw new MessagePackSerializationException($"the frame at {offset} has no bytes"),
        };
        offset += consumed + width;
        if (length > snapshot.Mark.Length - offset)
            throw new MessagePackSerializationException(
                $"a frame of {section} announces {length} bytes, {snapshot.Mark.Length - offset} follow");

        var bytes = new byte[length];
        var got = snapshot.Read(offset, bytes);
        if (got != bytes.Length)
            throw new MessagePackSerializationException($"a frame of {section} is cut short");
        offset += got;
        return new SnapshotFrame(section, bytes);
    }

    private static string ReadSection(ReadOnlySpan<byte> head, out int consumed)
    {
        var reader = new MessagePackReader(head.ToArray());
        // Not ReadArrayHeader(2) on the whole frame: only its head is here, and that has at least two bytes more.
        reader.ReadArrayHeader(2);
        var section = reader.ReadRequiredString();
        consumed = (int)reader.Consumed;
        return section;
    }
}
