using System.Buffers.Binary;

namespace RaftKit.Fuzz;

/// <summary>
/// Changes bytes as disks, networks and attackers do: bits, bytes, ranges, lengths, and numbers at the edges of their types.
/// </summary>
internal static class Mutator
{
    private static readonly byte[] Edges =
        [0x00, 0x01, 0x7f, 0x80, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc4, 0xc5, 0xc6, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd3, 0xd9, 0xdb, 0xdc, 0xdd,
        0xdf, 0xe0, 0xff];

    private static readonly long[] Numbers =
        [0, 1, -1, short.MaxValue, ushort.MaxValue, int.MaxValue, int.MinValue, uint.MaxValue, long.MaxValue, long.MinValue];

    /// <summary>A copy with one to four changes; its length may be another.</summary>
    public static byte[] Mutate(ReadOnlySpan<byte> bytes, Random random)
    {
        var changed = new List<byte>(bytes.Length + 64);
        changed.AddRange(bytes);
        for (var changes = random.Next(1, 5); changes > 0 && changed.Count > 0; changes--)
        {
            var at = Place(changed.Count, random);
            var length = Math.Min(changed.Count - at, random.Next(1, random.Next(4) == 0 ? 600 : 20));
            switch (random.Next(9))
            {
                case 0: changed.RemoveRange(at, length); break;
                case 1: changed.InsertRange(at, changed.GetRange(at, length)); break;
                case 2: changed.Insert(at, Edges[random.Next(Edges.Length)]); break;
                case 3: changed.RemoveRange(at, changed.Count - at); break;
                case 4: changed.InsertRange(at, Number(random)); break;
                default: ChangeInPlace(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(changed), at, length, random); break;
            }
        }
        return [.. changed];
    }

    /// <summary>One to four changes that leave the length as it is.</summary>
    public static void MutateInPlace(Span<byte> bytes, Random random)
    {
        for (var changes = random.Next(1, 5); changes > 0 && bytes.Length > 0; changes--)
        {
            var at = Place(bytes.Length, random);
            ChangeInPlace(bytes, at, Math.Min(bytes.Length - at, random.Next(1, 20)), random);
        }
    }

    private static void ChangeInPlace(Span<byte> bytes, int at, int length, Random random)
    {
        switch (random.Next(5))
        {
            case 0: bytes[at] ^= (byte)(1 << random.Next(8)); break;
            case 1: bytes[at] = (byte)random.Next(256); break;
            case 2: bytes[at] = Edges[random.Next(Edges.Length)]; break;
            case 3: random.NextBytes(bytes.Slice(at, length)); break;
            default:
                var number = Number(random);
                number.AsSpan(0, Math.Min(number.Length, bytes.Length - at)).CopyTo(bytes[at..]);
                break;
        }
    }

    // What decides how the rest is read stands in front.
    private static int Place(int length, Random random) => random.Next(random.Next(3) == 0 ? Math.Min(length, 40) : length);

    private static byte[] Number(Random random)
    {
        var number = new byte[8];
        var value = Numbers[random.Next(Numbers.Length)] + random.Next(-1, 2);
        if (random.Next(2) == 0)
            BinaryPrimitives.WriteInt64BigEndian(number, value);
        else
            BinaryPrimitives.WriteInt64LittleEndian(number, value);
        var width = 1 << random.Next(4);
        return random.Next(2) == 0 ? number[..width] : number[(8 - width)..];
    }
}
