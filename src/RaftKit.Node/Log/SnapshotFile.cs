using System.Buffers;
using System.Buffers.Binary;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Log;

/// <summary>
/// A whole snapshot's file: a head, chunks of the snapshot's bytes, each with its checksum, a footer with the mark, and a last value that
/// says where the footer stands. A stream of MessagePack values; the chunks take their widest forms, so that the n-th has a fixed place.
/// </summary>
internal sealed class SnapshotFile : IDisposable
{
    public const int ChunkSize = 64 << 10;

    /// <summary>Array of 2 (1), bin 32 (5), the bytes, uint 32 (5).</summary>
    public const int ChunkOverhead = 1 + 5 + 5;

    private const string HeadText = "RaftKit snapshot";
    private const int FormatVersion = 1;
    private const int TrailerSize = 9;

    private readonly ILogFile _file;
    private readonly byte[] _chunk = new byte[ChunkSize + ChunkOverhead];
    private long _chunkAt = -1;

    private SnapshotFile(ILogFile file, SnapshotMark mark)
    {
        _file = file;
        Mark = mark;
    }

    public SnapshotMark Mark { get; }

    public static byte[] Head { get; } = MakeHead();

    /// <summary>Opens a snapshot and reads all of it once: whole, or refused.</summary>
    /// <exception cref="MessagePackSerializationException">What is wrong with it.</exception>
    /// <exception cref="UnknownFormatException">A newer version wrote it.</exception>
    public static SnapshotFile Open(ILogFile file, CancellationToken cancellationToken = default)
    {
        var version = ReadVersion(file);
        SnapshotFile snapshot;
        try
        {
            snapshot = OpenBody(file, cancellationToken);
        }
        catch (MessagePackSerializationException) when (version != FormatVersion)
        {
            throw new UnknownFormatException("snapshot format", version, FormatVersion);
        }
        // The head has no checksum of its own: where all that follows is whole in this format, it was this format's, and rotted.
        return version == FormatVersion
            ? snapshot
            : throw Damaged(Head.Length - 1, $"its head speaks of format {version}, all that follows is format {FormatVersion}");
    }

    private static int ReadVersion(ILogFile file)
    {
        var head = new byte[Head.Length];
        if (file.Read(0, head) != head.Length || !head.AsSpan(0, head.Length - 1).SequenceEqual(Head.AsSpan(0, head.Length - 1)))
            throw Damaged(0, "it does not begin as a snapshot does");
        return head[^1];
    }

    private static SnapshotFile OpenBody(ILogFile file, CancellationToken cancellationToken)
    {
        var length = file.Length;
        Span<byte> trailer = stackalloc byte[TrailerSize];
        if (length < Head.Length + TrailerSize || file.Read(length - TrailerSize, trailer) != TrailerSize
            || trailer[0] != MessagePackCode.UInt64)
            throw Damaged(length, "its end is missing");
        var footerAt = BinaryPrimitives.ReadInt64BigEndian(trailer[1..]);
        if (footerAt < Head.Length || footerAt > length - TrailerSize || length - TrailerSize - footerAt > 1 << 16)
            throw Damaged(length - TrailerSize, "its end does not say where its footer is");

        var footer = new byte[length - TrailerSize - footerAt];
        if (file.Read(footerAt, footer) != footer.Length)
            throw Damaged(footerAt, "its footer is missing");
        var mark = ReadFooter(footer, footerAt);
        if (mark.Length < 0 || mark.Length > length || footerAt != FooterOffset(mark.Length))
            throw Damaged(footerAt, $"its footer speaks of {mark.Length} bytes, which do not end at {footerAt}");

        var snapshot = new SnapshotFile(file, mark);
        for (long at = 0; at < mark.Length; at += ChunkSize)
        {
            cancellationToken.ThrowIfCancellationRequested();
            snapshot.Load(at / ChunkSize);
        }
        return snapshot;
    }

    /// <summary>Reads bytes of the snapshot; fewer than asked for only at its end.</summary>
    public int Read(long offset, Span<byte> into)
    {
        var total = 0;
        while (total < into.Length && offset < Mark.Length)
        {
            var data = Load(offset / ChunkSize);
            var part = data[(int)(offset % ChunkSize)..];
            var count = Math.Min(part.Length, into.Length - total);
            part[..count].CopyTo(into[total..]);
            total += count;
            offset += count;
        }
        return total;
    }

    /// <summary>Frames a chunk in <paramref name="into"/>.</summary>
    public static int FrameChunk(ReadOnlySpan<byte> data, Span<byte> into)
    {
        into[0] = MessagePackCode.MinFixArray + 2;
        into[1] = MessagePackCode.Bin32;
        BinaryPrimitives.WriteInt32BigEndian(into[2..], data.Length);
        data.CopyTo(into[6..]);
        into[6 + data.Length] = MessagePackCode.UInt32;
        BinaryPrimitives.WriteUInt32BigEndian(into[(7 + data.Length)..], Crc32C.Of(data));
        return data.Length + ChunkOverhead;
    }

    /// <summary>The footer and what follows it.</summary>
    public static byte[] MakeFooter(SnapshotMark mark)
    {
        var body = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(body);
        writer.WriteArrayHeader(5);
        RecordReader.WriteMark(ref writer, mark);
        writer.Flush();

        var footer = new ArrayBufferWriter<byte>();
        writer = new MessagePackWriter(footer);
        writer.WriteArrayHeader(2);
        writer.Write(body.WrittenSpan);
        writer.Write(Crc32C.Of(body.WrittenSpan));
        Span<byte> trailer = stackalloc byte[TrailerSize];
        trailer[0] = MessagePackCode.UInt64;
        BinaryPrimitives.WriteInt64BigEndian(trailer[1..], FooterOffset(mark.Length));
        writer.WriteRaw(trailer);
        writer.Flush();
        return footer.WrittenSpan.ToArray();
    }

    public static long ChunkOffset(long chunk) => Head.Length + chunk * (ChunkSize + ChunkOverhead);

    public static long FooterOffset(long length)
    {
        var whole = length / ChunkSize;
        var rest = length % ChunkSize;
        return ChunkOffset(whole) + (rest == 0 ? 0 : rest + ChunkOverhead);
    }

    public void Dispose() => _file.Dispose();

    private static byte[] MakeHead()
    {
        var head = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(head);
        writer.WriteArrayHeader(2);
        writer.Write(HeadText);
        writer.Write(FormatVersion);
        writer.Flush();
        return head.WrittenSpan.ToArray();
    }

    private static SnapshotMark ReadFooter(byte[] footer, long at)
    {
        try
        {
            var reader = new MessagePackReader(footer);
            reader.ReadArrayHeader(2);
            var body = reader.ReadBytesMemory();
            if (Crc32C.Of(body.Span) != reader.ReadUInt32() || !reader.End)
                throw Damaged(at, "its footer's checksum does not match");
            var fields = new MessagePackReader(body);
            fields.ReadArrayHeader(5);
            return RecordReader.Mark(ref fields);
        }
        catch (MessagePackSerializationException wrong) when (wrong.Offset is null)
        {
            throw Damaged(at, wrong.Message);
        }
    }

    private static MessagePackSerializationException Damaged(long offset, string what) => new(what) { Offset = offset };

    /// <summary>The chunk's bytes, checked; the last one read is kept, so that reading on in small pieces checks each chunk once.</summary>
    private ReadOnlySpan<byte> Load(long chunk)
    {
        var length = (int)Math.Min(ChunkSize, Mark.Length - chunk * ChunkSize);
        if (_chunkAt != chunk)
        {
            _chunkAt = -1;
            var framed = _chunk.AsSpan(0, length + ChunkOverhead);
            if (_file.Read(ChunkOffset(chunk), framed) != framed.Length)
                throw Damaged(ChunkOffset(chunk), $"chunk {chunk} is cut short");
            if (framed[0] != MessagePackCode.MinFixArray + 2 || framed[1] != MessagePackCode.Bin32
                || BinaryPrimitives.ReadInt32BigEndian(framed[2..]) != length || framed[6 + length] != MessagePackCode.UInt32
                || BinaryPrimitives.ReadUInt32BigEndian(framed[(7 + length)..]) != Crc32C.Of(framed.Slice(6, length)))
                throw Damaged(ChunkOffset(chunk), $"the checksum of chunk {chunk}, at offset {ChunkOffset(chunk)}, does not match");
            _chunkAt = chunk;
        }
        return _chunk.AsSpan(6, length);
    }
}
