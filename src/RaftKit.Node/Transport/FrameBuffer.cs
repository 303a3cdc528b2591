using System.Buffers;
using System.Buffers.Binary;

namespace RaftKit.Node.Transport;

/// <summary>
/// Frames on their way out, one after another, in one piece that is written with one call. Reused from batch to batch; after a huge frame
/// it shrinks again, so that one snapshot chunk does not cost its size for the life of the link.
/// </summary>
internal sealed class FrameBuffer : IBufferWriter<byte>
{
    public const int LengthBytes = 4;

    private const int StartSize = 16 * 1024;
    private const int KeptSize = 256 * 1024;

    private byte[] _bytes = new byte[StartSize];
    private int _length;
    private int _frame;

    public int Length => _length;

    public ReadOnlyMemory<byte> Written => _bytes.AsMemory(0, _length);

    /// <summary>Leaves room for a frame's length; the body is written next.</summary>
    public void BeginFrame()
    {
        _frame = _length;
        GetSpan(LengthBytes);
        _length += LengthBytes;
    }

    /// <summary>
    /// Writes the frame's length before its body. False, and the frame is taken back, when the body is longer than allowed.
    /// </summary>
    public bool EndFrame(int maxBody)
    {
        var body = _length - _frame - LengthBytes;
        if (body > maxBody)
        {
            _length = _frame;
            return false;
        }
        BinaryPrimitives.WriteInt32LittleEndian(_bytes.AsSpan(_frame), body);
        return true;
    }

    public void Clear()
    {
        _length = 0;
        if (_bytes.Length > KeptSize)
            _bytes = new byte[StartSize];
    }

    public void Advance(int count) => _length += count;

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _bytes.AsMemory(_length);
    }

    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Reserve(sizeHint);
        return _bytes.AsSpan(_length);
    }

    private void Reserve(int size)
    {
        size = Math.Max(size, 1);
        if (_bytes.Length - _length < size)
            Array.Resize(ref _bytes, (int)Math.Min(Array.MaxLength, Math.Max((long)_length + size, 2L * _bytes.Length)));
    }
}
