using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Text;

namespace RaftKit.Node.Encoding;

/// <summary>
/// Reads MessagePack that anybody may have written: a length is compared with the bytes that are there before anything is taken on its
/// word, and whatever is wrong throws <see cref="MessagePackSerializationException"/>. Named as the MessagePack package names its
/// reader. Any integer form is accepted for any integer type, when the value fits.
/// </summary>
internal ref struct MessagePackReader
{
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly ReadOnlySequence<byte> _sequence;
    private readonly long _length;
    private ReadOnlySpan<byte> _span;
    private int _at;
    private long _before;
    private SequencePosition _next;

    public MessagePackReader(ReadOnlyMemory<byte> memory)
    {
        _sequence = new ReadOnlySequence<byte>(memory);
        _length = memory.Length;
        _span = memory.Span;
        _at = 0;
        _before = 0;
        _next = default;
    }

    public MessagePackReader(scoped in ReadOnlySequence<byte> sequence)
    {
        _sequence = sequence;
        _length = sequence.Length;
        _span = sequence.FirstSpan;
        _at = 0;
        _before = 0;
        _next = sequence.IsSingleSegment ? default : sequence.GetPosition(_span.Length);
    }

    /// <summary>How many bytes were read.</summary>
    public readonly long Consumed => _before + _at;

    /// <summary>Whether everything was read.</summary>
    public readonly bool End => Consumed == _length;

    public readonly long Remaining => _length - Consumed;

    public readonly ReadOnlySequence<byte> Sequence => _sequence;

    /// <summary>The first byte of the next value.</summary>
    public byte NextCode
    {
        get
        {
            if (_at == _span.Length)
                NextSpan();
            return _span[_at];
        }
    }

    public MessagePackType NextMessagePackType => MessagePackCode.TypeOf(NextCode);

    public void ReadNil()
    {
        if (!TryReadNil())
            throw Unexpected(NextCode, "nil");
    }

    public bool TryReadNil()
    {
        if (NextCode != MessagePackCode.Nil)
            return false;
        _at++;
        return true;
    }

    public bool ReadBoolean()
    {
        var code = ReadCode();
        return code switch
        {
            MessagePackCode.True => true,
            MessagePackCode.False => false,
            _ => throw Unexpected(code, "a boolean"),
        };
    }

    public byte ReadByte() => (byte)ReadInRange(byte.MaxValue);

    public ushort ReadUInt16() => (ushort)ReadInRange(ushort.MaxValue);

    public uint ReadUInt32() => (uint)ReadInRange(uint.MaxValue);

    public int ReadInt32()
    {
        var value = ReadInt64();
        return value is >= int.MinValue and <= int.MaxValue ? (int)value : throw OutOfRange(value, "a 32-bit integer");
    }

    public long ReadInt64()
    {
        var code = ReadCode();
        if (code <= MessagePackCode.MaxFixInt)
            return code;
        if (code >= MessagePackCode.MinNegativeFixInt)
            return unchecked((sbyte)code);

        switch (code)
        {
            case MessagePackCode.UInt8:
            case MessagePackCode.UInt16:
            case MessagePackCode.UInt32:
            case MessagePackCode.UInt64:
                var value = Take(1 << (code - MessagePackCode.UInt8));
                return value <= long.MaxValue ? (long)value : throw OutOfRange(value, "a signed 64-bit integer");
            case MessagePackCode.Int8: return unchecked((sbyte)Take(1));
            case MessagePackCode.Int16: return unchecked((short)Take(2));
            case MessagePackCode.Int32: return unchecked((int)Take(4));
            case MessagePackCode.Int64: return unchecked((long)Take(8));
            default: throw Unexpected(code, "an integer");
        }
    }

    public ulong ReadUInt64()
    {
        if (NextCode == MessagePackCode.UInt64)
        {
            _at++;
            return Take(8);
        }
        var value = ReadInt64();
        return value >= 0 ? (ulong)value : throw OutOfRange(value, "an unsigned 64-bit integer");
    }

    public float ReadSingle()
    {
        var code = ReadCode();
        return code == MessagePackCode.Float32 ? BitConverter.UInt32BitsToSingle((uint)Take(4)) : throw Unexpected(code, "a float");
    }

    public double ReadDouble()
    {
        var code = ReadCode();
        return code switch
        {
            MessagePackCode.Float64 => BitConverter.UInt64BitsToDouble(Take(8)),
            MessagePackCode.Float32 => BitConverter.UInt32BitsToSingle((uint)Take(4)),
            _ => throw Unexpected(code, "a double"),
        };
    }

    /// <summary>The count of an array whose elements follow. At least so many bytes are there.</summary>
    public int ReadArrayHeader()
    {
        var code = ReadCode();
        long count = code switch
        {
            >= MessagePackCode.MinFixArray and <= MessagePackCode.MaxFixArray => code - MessagePackCode.MinFixArray,
            MessagePackCode.Array16 => ReadLength(2),
            MessagePackCode.Array32 => ReadLength(4),
            _ => throw Unexpected(code, "an array"),
        };
        return CheckedCount(count, 1, "array");
    }

    /// <summary>Reads an array's header, which must announce this many elements.</summary>
    public void ReadArrayHeader(int expected)
    {
        var count = ReadArrayHeader();
        if (count != expected)
            throw new MessagePackSerializationException($"An array of {expected} was expected before offset {Consumed}; it has {count}.");
    }

    /// <summary>The count of a map whose pairs follow. At least two bytes for each are there.</summary>
    public int ReadMapHeader()
    {
        var code = ReadCode();
        long count = code switch
        {
            >= MessagePackCode.MinFixMap and <= MessagePackCode.MaxFixMap => code - MessagePackCode.MinFixMap,
            MessagePackCode.Map16 => ReadLength(2),
            MessagePackCode.Map32 => ReadLength(4),
            _ => throw Unexpected(code, "a map"),
        };
        return CheckedCount(count, 2, "map");
    }

    /// <summary>Bin, not copied; null for nil.</summary>
    public ReadOnlySequence<byte>? ReadBytes()
    {
        if (TryReadNil())
            return null;
        return ReadRaw(ReadBinHeader());
    }

    /// <summary>Bin in one piece: a slice of what is being read where that is one piece, else a copy.</summary>
    public ReadOnlyMemory<byte> ReadBytesMemory()
    {
        var bytes = ReadRaw(ReadBinHeader());
        return bytes.IsSingleSegment ? bytes.First : bytes.ToArray();
    }

    /// <summary>A string; null for nil.</summary>
    public string? ReadString()
    {
        if (TryReadNil())
            return null;
        var length = ReadStringHeader();
        try
        {
            if (_span.Length - _at >= length)
            {
                var text = Utf8.GetString(_span.Slice(_at, length));
                _at += length;
                return text;
            }
            return Utf8.GetString(ReadRaw(length));
        }
        catch (DecoderFallbackException notText)
        {
            throw new MessagePackSerializationException($"A string of {length} bytes near offset {Consumed} is not UTF-8.", notText);
        }
    }

    /// <summary>A string that must be there.</summary>
    public string ReadRequiredString() =>
        ReadString() ?? throw new MessagePackSerializationException($"A string was expected before offset {Consumed}, nil was found.");

    /// <summary>The bytes of a string, unchecked, when they lie in one piece.</summary>
    public bool TryReadStringSpan(out ReadOnlySpan<byte> utf8)
    {
        var before = this;
        if (NextMessagePackType == MessagePackType.String)
        {
            var length = ReadStringHeader();
            if (_span.Length - _at >= length)
            {
                utf8 = _span.Slice(_at, length);
                _at += length;
                return true;
            }
        }
        this = before;
        utf8 = default;
        return false;
    }

    /// <summary>The length of the bin whose bytes follow, all there.</summary>
    public int ReadBinHeader()
    {
        var code = ReadCode();
        long length = code switch
        {
            MessagePackCode.Bin8 => ReadLength(1),
            MessagePackCode.Bin16 => ReadLength(2),
            MessagePackCode.Bin32 => ReadLength(4),
            _ => throw Unexpected(code, "bin"),
        };
        return CheckedCount(length, 1, "bin");
    }

    /// <summary>The length in bytes of the string that follows, all there.</summary>
    public int ReadStringHeader()
    {
        var code = ReadCode();
        long length = code switch
        {
            >= MessagePackCode.MinFixStr and <= MessagePackCode.MaxFixStr => code - MessagePackCode.MinFixStr,
            MessagePackCode.Str8 => ReadLength(1),
            MessagePackCode.Str16 => ReadLength(2),
            MessagePackCode.Str32 => ReadLength(4),
            _ => throw Unexpected(code, "a string"),
        };
        return CheckedCount(length, 1, "string");
    }

    /// <summary>The next bytes, whatever they are; not copied.</summary>
    public ReadOnlySequence<byte> ReadRaw(long length)
    {
        if ((ulong)length > (ulong)Remaining)
            throw CutShort(length);
        var bytes = _sequence.Slice(Consumed, length);
        Advance(length);
        return bytes;
    }

    /// <summary>Passes over the next value with everything in it, however deep: no recursion that input could exhaust.</summary>
    public void Skip()
    {
        for (long values = 1; values > 0; values--)
        {
            var code = NextCode;
            switch (MessagePackCode.TypeOf(code))
            {
                case MessagePackType.Array:
                    values += ReadArrayHeader();
                    break;
                case MessagePackType.Map:
                    values += 2L * ReadMapHeader();
                    break;
                case MessagePackType.String:
                    SkipBytes(ReadStringHeader());
                    break;
                case MessagePackType.Binary:
                    SkipBytes(ReadBinHeader());
                    break;
                case MessagePackType.Extension:
                    SkipExtension();
                    break;
                case MessagePackType.Unknown:
                    throw Unexpected(code, "a value");
                default:
                    _at++;
                    SkipBytes(ScalarLength(code));
                    break;
            }
        }
    }

    private static int ScalarLength(byte code) => code switch
    {
        MessagePackCode.UInt8 or MessagePackCode.Int8 => 1,
        MessagePackCode.UInt16 or MessagePackCode.Int16 => 2,
        MessagePackCode.UInt32 or MessagePackCode.Int32 or MessagePackCode.Float32 => 4,
        MessagePackCode.UInt64 or MessagePackCode.Int64 or MessagePackCode.Float64 => 8,
        _ => 0,
    };

    private void SkipExtension()
    {
        var code = ReadCode();
        var length = code switch
        {
            MessagePackCode.Ext8 => ReadLength(1),
            MessagePackCode.Ext16 => ReadLength(2),
            MessagePackCode.Ext32 => ReadLength(4),
            _ => 1L << (code - MessagePackCode.FixExt1),
        };
        SkipBytes(length + 1);
    }

    private void SkipBytes(long length)
    {
        if (length > Remaining)
            throw CutShort(length);
        Advance(length);
    }

    private ulong ReadInRange(ulong max)
    {
        var value = ReadUInt64();
        return value <= max ? value : throw OutOfRange(value, $"0 to {max}");
    }

    private readonly int CheckedCount(long count, int bytesEach, string what)
    {
        if (count * bytesEach > Remaining || count > int.MaxValue)
            throw new MessagePackSerializationException(
                $"The {what} before offset {Consumed} announces {count}, but only {Remaining} bytes follow.");
        return (int)count;
    }

    private long ReadLength(int bytes) => (long)Take(bytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private byte ReadCode()
    {
        if (_at == _span.Length)
            NextSpan();
        return _span[_at++];
    }

    /// <summary>The next 1, 2, 4 or 8 bytes as a big-endian number; they may straddle segments.</summary>
    private ulong Take(int bytes)
    {
        if (_span.Length - _at >= bytes)
        {
            var here = _span.Slice(_at, bytes);
            _at += bytes;
            return bytes switch
            {
                1 => here[0],
                2 => BinaryPrimitives.ReadUInt16BigEndian(here),
                4 => BinaryPrimitives.ReadUInt32BigEndian(here),
                _ => BinaryPrimitives.ReadUInt64BigEndian(here),
            };
        }

        if (bytes > Remaining)
            throw CutShort(bytes);
        ulong value = 0;
        for (var i = 0; i < bytes; i++)
            value = (value << 8) | ReadCode();
        return value;
    }

    private void Advance(long count)
    {
        while (count > _span.Length - _at)
        {
            count -= _span.Length - _at;
            _at = _span.Length;
            NextSpan();
        }
        _at += (int)count;
    }

    private void NextSpan()
    {
        if (_before + _span.Length >= _length)
            throw CutShort(1);
        _before += _span.Length;
        _at = 0;
        do
        {
            if (!_sequence.TryGet(ref _next, out var memory))
                throw CutShort(1);
            _span = memory.Span;
        }
        while (_span.IsEmpty);
    }

    private readonly MessagePackSerializationException CutShort(long wanted) =>
        new($"The input ends at {_length}, but {wanted} more bytes are needed at offset {Consumed}.");

    private readonly MessagePackSerializationException OutOfRange<T>(T value, string wanted) =>
        new($"The number {value} before offset {Consumed} is not in range: {wanted} was expected.");

    private readonly MessagePackSerializationException Unexpected(byte code, string wanted) =>
        new($"Code 0x{code:x2} ({MessagePackCode.TypeOf(code)}) near offset {Consumed}: {wanted} was expected.");
}
