using RaftKit.Consensus;
using RaftKit.Node.Encoding;

namespace RaftKit.Node.Transport;

/// <summary>The domain's values as they stand in frames, each checked against its range when read.</summary>
internal static class WireValues
{
    // A count on the wire takes at most this many places at once; more grow as elements are really read.
    private const int MostReservedAtOnce = 4096;

    private const int LongestText = 500;

    public static void Write(this ref MessagePackWriter writer, MemberId member) => writer.Write(member.Value);

    public static void Write(this ref MessagePackWriter writer, Term term) => writer.Write(term.Value);

    public static void Write(this ref MessagePackWriter writer, LogIndex index) => writer.Write(index.Value);

    /// <summary>Sixteen bytes of bin, most significant first (RFC 9562), so that it reads as it prints.</summary>
    public static void Write(this ref MessagePackWriter writer, Guid id) => writer.Write(id.ToByteArray(bigEndian: true).AsSpan());

    public static void Write(this ref MessagePackWriter writer, IReadOnlyList<MemberId> members)
    {
        writer.WriteArrayHeader(members.Count);
        for (var i = 0; i < members.Count; i++)
            writer.Write(members[i]);
    }

    public static MemberId ReadMember(this ref MessagePackReader reader)
    {
        var member = reader.ReadMemberOrNone();
        return member.IsNone ? throw new MalformedFrameException("Member 0 is nobody; a member is 1 to 255, an observer 256 to 1255.")
            : member;
    }

    public static MemberId ReadMemberOrNone(this ref MessagePackReader reader)
    {
        var number = reader.ReadInt32();
        return number is >= 0 and <= MemberId.GreatestObserver ? new MemberId(number)
            : throw new MalformedFrameException(
                $"{number} is nobody's number: a member is 1 to 255, an observer 256 to {MemberId.GreatestObserver}.");
    }

    public static Term ReadTerm(this ref MessagePackReader reader) => new(reader.ReadNotNegative("term"));

    public static LogIndex ReadIndex(this ref MessagePackReader reader) => new(reader.ReadNotNegative("index"));

    public static long ReadNotNegative(this ref MessagePackReader reader, string what)
    {
        var value = reader.ReadInt64();
        return value >= 0 ? value : throw new MalformedFrameException($"A {what} of {value} cannot be: it is never negative.");
    }

    public static int ReadSmallNotNegative(this ref MessagePackReader reader, string what)
    {
        var value = reader.ReadInt32();
        return value >= 0 ? value : throw new MalformedFrameException($"A {what} of {value} cannot be: it is never negative.");
    }

    public static Guid ReadGuid(this ref MessagePackReader reader)
    {
        var bytes = reader.ReadBytesMemory();
        return bytes.Length == 16 ? new Guid(bytes.Span, bigEndian: true)
            : throw new MalformedFrameException($"An id has 16 bytes, this one has {bytes.Length}.");
    }

    public static IReadOnlyList<MemberId> ReadMembers(this ref MessagePackReader reader)
    {
        var count = reader.ReadArrayHeader();
        if (count > 255)
            throw new MalformedFrameException($"A list names {count} members; there are never more than 255.");
        var members = new MemberId[count];
        for (var i = 0; i < count; i++)
            members[i] = reader.ReadMember();
        return members;
    }

    /// <summary>A peer's words, which go to our log, to a status, and perhaps into the identity file.</summary>
    public static string ReadText(this ref MessagePackReader reader) => Readable(reader.ReadRequiredString());

    /// <summary>Short, and without line breaks that could pass for lines of ours.</summary>
    public static string Readable(string text)
    {
        text = text.Length <= LongestText ? text : text[..LongestText];
        return string.Create(text.Length, text, static (span, source) =>
        {
            for (var i = 0; i < span.Length; i++)
                span[i] = char.IsControl(source[i]) || char.IsSurrogate(source[i]) || source[i] is '\u2028' or '\u2029' ? ' ' : source[i];
        });
    }

    public static TEnum ReadEnum<TEnum>(this ref MessagePackReader reader)
        where TEnum : struct, Enum
    {
        var number = reader.ReadByte();
        var value = (TEnum)Enum.ToObject(typeof(TEnum), number);
        return Enum.IsDefined(value) ? value : throw new MalformedFrameException($"{number} is not a {typeof(TEnum).Name}.");
    }

    /// <summary>A list that takes memory for elements as they come, not for those that a count merely promises.</summary>
    public static List<T> ListFor<T>(int announced) => new(Math.Min(announced, MostReservedAtOnce));
}
