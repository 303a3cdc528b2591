using System.Buffers.Binary;
using RaftKit.Node.Encoding;
using RaftKit.Node.Log;

namespace RaftKit.Node.Tests.Log;

/// <summary>Makes bytes that a newer version might have written: another version, and checksums that hold.</summary>
internal static class FormatForgery
{
    /// <summary>Gives one kind of file in a directory the version 2.</summary>
    public static void MakeNewer(string directory, string what)
    {
        var files = Directory.GetFiles(directory).Order(StringComparer.Ordinal).ToList();
        var segment = files.Last(
            file => file.EndsWith(".log", StringComparison.Ordinal) && File.ReadAllBytes(file).AsSpan().ContainsAnyExcept((byte)0));
        var path = what switch
        {
            "identity" => files.Single(file => Path.GetFileName(file) == IdentityFile.Name),
            "snapshot" => files.Single(SnapshotStore.IsSnapshot),
            _ => segment,
        };
        var bytes = File.ReadAllBytes(path);
        switch (what)
        {
            case "identity": MakeNewerRecord(bytes, 1); break;
            case "page": MakeNewerPage(bytes.AsSpan(0, 4096)); break;
            case "segment":
                MakeNewerRecord(bytes.AsSpan(44), 2);
                Reseal(bytes.AsSpan(0, 4096));
                break;
            default:
                // Its version, and something else that this version does not expect: a format that only counts on is this one, rotten.
                bytes[18] = 2;
                bytes[20] ^= 1;
                break;
        }
        File.WriteAllBytes(path, bytes);
    }

    public static void MakeNewerPage(Span<byte> page)
    {
        page[1] = 2;
        Reseal(page);
    }

    /// <summary>The page's checksum holds again, whatever was changed in it.</summary>
    public static void Reseal(Span<byte> page) => BinaryPrimitives.WriteUInt32LittleEndian(page[4..], Crc32C.Of(page[..4], page[8..]));

    /// <summary>[body as bin 8, checksum as uint 32]: changes the version that stands there in the body.</summary>
    private static void MakeNewerRecord(Span<byte> record, int at)
    {
        Assert.Equal((0x92, MessagePackCode.Bin8, 1), (record[0], record[1], record[3 + at]));
        var body = record.Slice(3, record[2]);
        body[at] = 2;
        Assert.Equal(MessagePackCode.UInt32, record[3 + body.Length]);
        BinaryPrimitives.WriteUInt32BigEndian(record[(4 + body.Length)..], Crc32C.Of(body));
    }
}
