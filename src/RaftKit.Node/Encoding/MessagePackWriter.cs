using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Text;

namespace RaftKit.Node.Encoding;

/// <summary>
/// Writes MessagePack, always in the smallest form that holds the value, so that equal values are equal bytes. Named as the
/// MessagePack package names its writer. What was written reaches the buffer writer with <see cref="Flush"/>.
/// </summary>
internal ref struct MessagePackWriter
{
    // A lone surrogate has no UTF-8: refuse it here, where the value is made, and not at a reader on another machine.
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly IBufferWriter<byte> _output;
    private Span<byte> _span;
    private int _at;

    public MessagePackWriter(IBufferWriter<byte> output)
    {
        _output = output;
        _span = default;
        _at = 0;
    }

    /// <summary>Hands everything written so far to the buffer writer. Call it last: unflushed bytes are lost.</summary>
    public void Flush()
    {
        if (_at > 0)
            _output.Advance(_at);
        _span = default;
        _at = 0;
    }

    public void WriteNil() => WriteByte(MessagePackCode.Nil);

    public void Write(bool value) => WriteByte(value ? MessagePackCode.True : MessagePackCode.False);

    public void Write(int value) => Write((long)value);

    public void Write(uint value) => Write((ulong)value);

    public void Write(long value)
    {
        if (value >= 0)
        {
            Write((ulong)value);
            return;
        }

        var span = Reserve(9);
        if (value >= -32)
        {
            span[0] = unchecked((byte)value);
            _at += 1;
        }
        else if (value >= sbyte.MinValue)
        {
            span[0] = MessagePackCode.Int8;
            span[1] = unchecked((byte)value);
            _at += 2;
        }
        else if (value >= short.MinValue)
        {
            span[0] = MessagePackCode.Int16;
            BinaryPrimitives.WriteInt16BigEndian(span[1..], (short)value);
            _at += 3;
        }
        else if (value >= int.MinValue)
        {
            span[0] = MessagePackCode.Int32;
            BinaryPrimitives.WriteInt32BigEndian(span[1..], (int)value);
            _at += 5;
        }
        else
        {
            span[0] = MessagePackCode.Int64;
            BinaryPrimitives.WriteInt64BigEndian(span[1..], value);
            _at += 9;
        }
    }

    public void Write(ulong value)
    {
        var span = Reserve(9);
        if (value <= MessagePackCode.MaxFixInt)
        {
            span[0] = (byte)value;
            _at += 1;
        }
        else if (value <= byte.MaxValue)
        {
            span[0] = MessagePackCode.UInt8;
            span[1] = (byte)value;
            _at += 2;
        }
        else if (value <= ushort.MaxValue)
        {
            span[0] = MessagePackCode.UInt16;
            BinaryPrimitives.WriteUInt16BigEndian(span[1..], (ushort)value);
            _at += 3;
        }
        else if (value <= uint.MaxValue)
        {
            span[0] = MessagePackCode.UInt32;
            BinaryPrimitives.WriteUInt32BigEndian(span[1..], (uint)value);
            _at += 5;
        }
        else
        {
            span[0] = MessagePackCode.UInt64;
            BinaryPrimitives.WriteUInt64BigEndian(span[1..], value);
            _at += 9;
        }
    }

    public void Write(float value)
    {
        var span = Reserve(5);
        span[0] = MessagePackCode.Float32;
        BinaryPrimitives.WriteSingleBigEndian(span[1..], value);
        _at += 5;
    }

    public void Write(double value)
    {
        var span = Reserve(9);
        span[0] = MessagePackCode.Float64;
        BinaryPrimitives.WriteDoubleBigEndian(span[1..], value);
        _at += 9;
    }

    /// <summary>Writes a string; nil for null.</summary>
    public void Write(string? value)
    {
        if (value is null)
        {
            WriteNil();
            return;
        }

        try
        {
            var length = Utf8.GetByteCount(value);
            WriteStringHeader(length);
            // Not in one statement: Reserve may flush and move _at, after "+=" had read it.
            var span = Reserve(length);
            _at += Utf8.GetBytes(value, span);
        }
        catch (EncoderFallbackException notText)
        {
            throw new MessagePackSerializationException("The string holds half of a surrogate pair, which UTF-8 cannot express.", notText);
        }
    }

    /// <summary>Writes bytes as bin.</summary>
    public void Write(scoped ReadOnlySpan<byte> value)
    {
        WriteBinHeader(value.Length);
        WriteRaw(value);
    }

    /// <summary>Writes bytes as bin.</summary>
    public void Write(in ReadOnlySequence<byte> value)
    {
        WriteBinHeader(checked((int)value.Length));
        foreach (var part in value)
            WriteRaw(part.Span);
    }

    /// <summary>Writes UTF-8 as a string.</summary>
    public void WriteString(scoped ReadOnlySpan<byte> utf8)
    {
        WriteStringHeader(utf8.Length);
        WriteRaw(utf8);
    }

    public void WriteStringHeader(int byteCount)
    {
        if (byteCount <= MessagePackCode.MaxFixStr - MessagePackCode.MinFixStr)
            WriteByte((byte)(MessagePackCode.MinFixStr + byteCount));
        else
            WriteLength(byteCount, MessagePackCode.Str8, MessagePackCode.Str16, MessagePackCode.Str32);
    }

    public void WriteBinHeader(int length) => WriteLength(length, MessagePackCode.Bin8, MessagePackCode.Bin16, MessagePackCode.Bin32);

    public void WriteArrayHeader(int count)
    {
        if (count <= MessagePackCode.MaxFixArray - MessagePackCode.MinFixArray)
            WriteByte((byte)(MessagePackCode.MinFixArray + count));
        else
            WriteLength(count, 0, MessagePackCode.Array16, MessagePackCode.Array32);
    }

    public void WriteMapHeader(int count)
    {
        if (count <= MessagePackCode.MaxFixMap - MessagePackCode.MinFixMap)
            WriteByte((byte)(MessagePackCode.MinFixMap + count));
        else
            WriteLength(count, 0, MessagePackCode.Map16, MessagePackCode.Map32);
    }

    /// <summary>Copies bytes that are MessagePack already, or the body announced by a header.</summary>
    public void WriteRaw(scoped ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
            return;
        bytes.CopyTo(Reserve(bytes.Length));
        _at += bytes.Length;
    }

    // Without an 8-bit form, its code is 0.
    private void WriteLength(int length, byte code8, byte code16, byte code32)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        var span = Reserve(5);
        if (length <= byte.MaxValue && code8 != 0)
        {
            span[0] = code8;
            span[1] = (byte)length;
            _at += 2;
        }
        else if (length <= ushort.MaxValue)
        {
            span[0] = code16;
            BinaryPrimitives.WriteUInt16BigEndian(span[1..], (ushort)length);
            _at += 3;
        }
        else
        {
            span[0] = code32;
            BinaryPrimitives.WriteInt32BigEndian(span[1..], length);
            _at += 5;
        }
    }

    private void WriteByte(byte value)
    {
        Reserve(1)[0] = value;
        _at += 1;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Span<byte> Reserve(int count)
    {
        if (_span.Length - _at < count)
            Renew(count);
        return _span[_at..];
    }

    private void Renew(int count)
    {
        Flush();
        _span = _output.GetSpan(count);
    }
}
