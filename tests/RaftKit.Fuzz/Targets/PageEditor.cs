using System.Buffers.Binary;
using RaftKit.Node.Encoding;
using RaftKit.Node.Log;

namespace RaftKit.Fuzz.Targets;

/// <summary>Changes what stands in a page and makes its checksums hold again: what gets past them must be handled, too.</summary>
internal static class PageEditor
{
    public static void ChangeHeader(Span<byte> page, Random random)
    {
        // Not the stamp in byte 0, nor the checksum in 4-7.
        Mutator.MutateInPlace(random.Next(3) == 0 ? page[1..4] : page[8..PageFormat.HeaderSize], random);
        Reseal(page);
    }

    /// <summary>
    /// Changes the body of one record of a batch that has one page, under checksums that hold; false: there is none here.
    /// </summary>
    public static bool ChangeRecord(Span<byte> page, Random random)
    {
        if (BinaryPrimitives.ReadInt32LittleEndian(page[40..]) != 1)
            return false;
        var payload = new byte[PageFormat.PayloadPerPage];
        PageFormat.CopyPayload(page, payload);
        var used = BinaryPrimitives.ReadUInt16LittleEndian(page[2..]);
        var records = new List<(int Body, int Length)>();
        var reader = new MessagePackReader(payload.AsMemory(0, used));
        while (!reader.End)
        {
            reader.ReadArrayHeader(2);
            var length = reader.ReadBinHeader();
            records.Add(((int)reader.Consumed, length));
            reader.ReadRaw(length);
            reader.ReadUInt32();
        }
        if (records.Count == 0)
            return false;
        var (at, count) = records[random.Next(records.Count)];
        // The checksum is written in its shortest form: one of five bytes has room for any other.
        if (payload[at + count] != MessagePackCode.UInt32)
            return false;
        Mutator.MutateInPlace(payload.AsSpan(at, Math.Min(count, 60)), random);
        BinaryPrimitives.WriteUInt32BigEndian(payload.AsSpan(at + count + 1), Crc32C.Of(payload.AsSpan(at, count)));
        PutPayload(page, payload);
        Reseal(page);
        return true;
    }

    private static void Reseal(Span<byte> page) => BinaryPrimitives.WriteUInt32LittleEndian(page[4..], Crc32C.Of(page[..4], page[8..]));

    private static void PutPayload(Span<byte> page, ReadOnlySpan<byte> payload)
    {
        var at = PageFormat.SectorPayloadEnd - PageFormat.HeaderSize;
        payload[..at].CopyTo(page[PageFormat.HeaderSize..]);
        for (var sector = PageFormat.SectorSize; sector < PageFormat.PageSize; sector += PageFormat.SectorSize)
        {
            payload.Slice(at, PageFormat.SectorSize - 2).CopyTo(page[(sector + 1)..]);
            at += PageFormat.SectorSize - 2;
        }
    }
}
