using System.Buffers.Binary;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Tests.Log;

/// <summary>Makes bytes that a newer version might have written: another version, and checksums that hold.</summary>
internal static class FormatForgery
{
    public static void MakeNewerPage(Span<byte> page)
    {
        page[1] = 2;
        Reseal(page);
    }

    /// <summary>The page's checksum holds again, whatever was changed in it.</summary>
    public static void Reseal(Span<byte> page) => BinaryPrimitives.WriteUInt32LittleEndian(page[4..], Crc32C.Of(page[..4], page[8..]));
}
