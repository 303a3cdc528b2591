using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;

namespace RaftKit.Consensus;

/// <summary>
/// A membership's bytes, in the log and in snapshots: MessagePack, three arrays (voters, learners, outgoing), each of member,
/// incarnation, member, incarnation... Equal memberships have equal bytes: lists are sorted, numbers take their shortest form.
/// </summary>
internal static class MembershipCodec
{
    // Every member at most once in each list; what is longer is not a membership, and no memory is taken for it.
    private const int MostNumbers = 2 * 255;

    public static byte[] Encode(Membership membership)
    {
        List<byte> bytes = [0x93];
        Write(bytes, membership.Voters);
        Write(bytes, membership.Learners);
        Write(bytes, membership.Outgoing);
        return [.. bytes];
    }

    /// <exception cref="FormatException">The bytes are not a membership.</exception>
    public static Membership Decode(ReadOnlySpan<byte> bytes) =>
        TryDecode(bytes, out var membership) ? membership
            : throw new FormatException(
                $"These {bytes.Length} bytes are not a membership: {Convert.ToHexString(bytes[..Math.Min(bytes.Length, 32)])}.");

    public static bool TryDecode(ReadOnlySpan<byte> bytes, [NotNullWhen(true)] out Membership? membership)
    {
        membership = null;
        if (bytes.IsEmpty || bytes[0] != 0x93)
            return false;
        bytes = bytes[1..];
        List<MemberIncarnation> voters = [], learners = [], outgoing = [];
        if (!TryRead(ref bytes, voters) || !TryRead(ref bytes, learners) || !TryRead(ref bytes, outgoing) || !bytes.IsEmpty)
            return false;
        membership = new Membership(voters, learners, outgoing);
        return true;
    }

    private static void Write(List<byte> bytes, IReadOnlyList<MemberIncarnation> members)
    {
        int count = members.Count * 2;
        if (count < 16)
            bytes.Add((byte)(0x90 | count));
        else
            bytes.AddRange([0xdc, (byte)(count >> 8), (byte)count]);
        foreach (var member in members)
        {
            Write(bytes, (uint)member.Id.Value);
            Write(bytes, (uint)member.Incarnation);
        }
    }

    private static void Write(List<byte> bytes, uint number)
    {
        switch (number)
        {
            case < 0x80: bytes.Add((byte)number); break;
            case <= byte.MaxValue: bytes.AddRange([0xcc, (byte)number]); break;
            case <= ushort.MaxValue: bytes.AddRange([0xcd, (byte)(number >> 8), (byte)number]); break;
            default: bytes.AddRange([0xce, (byte)(number >> 24), (byte)(number >> 16), (byte)(number >> 8), (byte)number]); break;
        }
    }

    private static bool TryRead(ref ReadOnlySpan<byte> bytes, List<MemberIncarnation> members)
    {
        if (bytes.IsEmpty)
            return false;
        int count;
        if ((bytes[0] & 0xf0) == 0x90)
        {
            count = bytes[0] & 0x0f;
            bytes = bytes[1..];
        }
        else if (bytes[0] == 0xdc && bytes.Length >= 3)
        {
            count = BinaryPrimitives.ReadUInt16BigEndian(bytes[1..]);
            bytes = bytes[3..];
        }
        else
        {
            return false;
        }
        if (count % 2 != 0 || count > MostNumbers)
            return false;
        for (int i = 0; i < count; i += 2)
        {
            if (!TryRead(ref bytes, out uint id) || !TryRead(ref bytes, out uint incarnation))
                return false;
            if (id is < 1 or > 255 || incarnation is < 1 or > int.MaxValue)
                return false;
            members.Add(new MemberIncarnation(new MemberId((int)id), (int)incarnation));
        }
        return true;
    }

    private static bool TryRead(ref ReadOnlySpan<byte> bytes, out uint number)
    {
        number = 0;
        if (bytes.IsEmpty)
            return false;
        int width = bytes[0] switch { < 0x80 => 0, 0xcc => 1, 0xcd => 2, 0xce => 4, _ => -1 };
        if (width < 0 || bytes.Length < 1 + width)
            return false;
        number = width switch
        {
            0 => bytes[0],
            1 => bytes[1],
            2 => BinaryPrimitives.ReadUInt16BigEndian(bytes[1..]),
            _ => BinaryPrimitives.ReadUInt32BigEndian(bytes[1..]),
        };
        bytes = bytes[(1 + width)..];
        return true;
    }
}
