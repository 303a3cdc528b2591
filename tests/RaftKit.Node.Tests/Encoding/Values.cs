using System.Buffers;
using System.Globalization;
using System.Text;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Tests.Encoding;

/// <summary>
/// Values as trees of null, bool, long, ulong, double, string, byte[], lists and maps: made from a seed, written with our writer,
/// read with our reader, and told as Python literals, which is how they are compared with what the real implementation makes of them.
/// </summary>
internal static class Values
{
    private static readonly long[] Edges =
    [
        0, 1, 127, 128, 255, 256, 65535, 65536, int.MaxValue, 1L << 31, uint.MaxValue, 1L << 32, long.MaxValue,
        -1, -32, -33, -128, -129, -32768, -32769, int.MinValue, int.MinValue - 1L, long.MinValue,
    ];

    public static IEnumerable<object?> AllEdges()
    {
        foreach (var edge in Edges)
            yield return edge;
        yield return ulong.MaxValue;
        yield return (ulong)long.MaxValue + 1;
        foreach (var length in new[] { 0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536 })
        {
            yield return new string('é', length / 2) + (length % 2 == 1 ? "x" : "");
            yield return new byte[length];
            yield return Enumerable.Repeat<object?>(1L, length).ToList();
            yield return Enumerable.Range(0, length).Select(i => new KeyValuePair<object?, object?>((long)i, null)).ToList();
        }
    }

    public static object? Draw(Random random, int depth) => random.Next(depth > 0 ? 9 : 7) switch
    {
        0 => null,
        1 => random.Next(2) == 0,
        2 => Edges[random.Next(Edges.Length)],
        3 => random.NextInt64(long.MinValue, long.MaxValue) >> random.Next(64),
        4 => BitConverter.Int64BitsToDouble(random.NextInt64()) is var d && double.IsFinite(d) ? d : 0.5,
        5 => Text(random),
        6 => Bytes(random),
        7 => Enumerable.Range(0, Count(random)).Select(_ => Draw(random, depth - 1)).ToList(),
        _ => Enumerable.Range(0, Count(random))
            .Select(i => new KeyValuePair<object?, object?>($"{i}{Text(random)}", Draw(random, depth - 1))).ToList(),
    };

    public static byte[] Encode(object? value)
    {
        var output = new ArrayBufferWriter<byte>();
        var writer = new MessagePackWriter(output);
        Write(ref writer, value);
        writer.Flush();
        return output.WrittenSpan.ToArray();
    }

    public static object? Decode(ReadOnlySequence<byte> bytes)
    {
        var reader = new MessagePackReader(bytes);
        var value = Read(ref reader);
        Assert.True(reader.End);
        Assert.Equal(bytes.Length, reader.Consumed);
        return value;
    }

    /// <summary>The value as a Python literal.</summary>
    public static string Tell(object? value) => value switch
    {
        null => "None",
        bool truth => truth ? "True" : "False",
        long or ulong => string.Create(CultureInfo.InvariantCulture, $"{value}"),
        double number => number.ToString("E17", CultureInfo.InvariantCulture),
        string text => "'" + string.Concat(text.EnumerateRunes().Select(r => $"\\U{r.Value:x8}")) + "'",
        byte[] bytes => "b'" + string.Concat(bytes.Select(b => $"\\x{b:x2}")) + "'",
        List<object?> list => "[" + string.Join(",", list.Select(Tell)) + "]",
        List<KeyValuePair<object?, object?>> map => "{" + string.Join(",", map.Select(p => Tell(p.Key) + ":" + Tell(p.Value))) + "}",
        _ => throw new ArgumentException(value.GetType().Name),
    };

    private static void Write(ref MessagePackWriter writer, object? value)
    {
        switch (value)
        {
            case null: writer.WriteNil(); break;
            case bool truth: writer.Write(truth); break;
            case long number: writer.Write(number); break;
            case ulong number: writer.Write(number); break;
            case double number: writer.Write(number); break;
            case string text: writer.Write(text); break;
            case byte[] bytes: writer.Write(bytes); break;
            case List<object?> list:
                writer.WriteArrayHeader(list.Count);
                foreach (var element in list)
                    Write(ref writer, element);
                break;
            case List<KeyValuePair<object?, object?>> map:
                writer.WriteMapHeader(map.Count);
                foreach (var (key, item) in map)
                {
                    Write(ref writer, key);
                    Write(ref writer, item);
                }
                break;
            default: throw new ArgumentException(value.GetType().Name);
        }
    }

    private static object? Read(ref MessagePackReader reader)
    {
        switch (reader.NextMessagePackType)
        {
            case MessagePackType.Nil:
                reader.ReadNil();
                return null;
            case MessagePackType.Boolean: return reader.ReadBoolean();
            case MessagePackType.Float: return reader.ReadDouble();
            case MessagePackType.String: return reader.ReadString();
            case MessagePackType.Binary: return reader.ReadBytes()!.Value.ToArray();
            case MessagePackType.Integer:
                var peek = reader;
                var number = reader.NextCode == MessagePackCode.UInt64 ? peek.ReadUInt64() : 0;
                if (number > long.MaxValue)
                {
                    reader = peek;
                    return number;
                }
                return reader.ReadInt64();
            case MessagePackType.Array:
                var count = reader.ReadArrayHeader();
                var list = new List<object?>();
                for (var i = 0; i < count; i++)
                    list.Add(Read(ref reader));
                return list;
            default:
                var pairs = reader.ReadMapHeader();
                var map = new List<KeyValuePair<object?, object?>>();
                for (var i = 0; i < pairs; i++)
                    map.Add(new(Read(ref reader), Read(ref reader)));
                return map;
        }
    }

    private static int Count(Random random) => random.Next(20) == 0 ? random.Next(40) : random.Next(4);

    private static byte[] Bytes(Random random)
    {
        var bytes = new byte[random.Next(30) == 0 ? random.Next(70000) : random.Next(40)];
        random.NextBytes(bytes);
        return bytes;
    }

    private static string Text(Random random)
    {
        var text = new StringBuilder();
        for (var i = random.Next(40); i > 0; i--)
            text.Append(random.Next(4) switch { 0 => "é", 1 => "漢", 2 => "😀", _ => "a" });
        return text.ToString();
    }
}
