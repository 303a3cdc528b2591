using System.Buffers;

namespace RaftKit.Node.Encoding;

/// <summary>
/// Writes many small values that live about equally long one behind the other into shared arrays: none has an object of its own, to be
/// allocated, marked and moved by the garbage collector. An array lives as long as any value in it. One thread at a time.
/// </summary>
internal sealed class ChunkedWriter : IBufferWriter<byte>
{
    private const int ChunkSize = 32 << 10;

    private byte[] _chunk = [];
    private int _start;
    private int _written;

    public void Advance(int count)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)count, (uint)(_chunk.Length - _written));
        _written += count;
    }

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        MakeRoom(Math.Max(1, sizeHint));
        return _chunk.AsMemory(_written);
    }

    public Span<byte> GetSpan(int sizeHint = 0)
    {
        MakeRoom(Math.Max(1, sizeHint));
        return _chunk.AsSpan(_written);
    }

    /// <summary>What was written since the last call: one value. Never changed afterwards.</summary>
    public ReadOnlyMemory<byte> Take()
    {
        var value = _chunk.AsMemory(_start, _written - _start);
        _start = _written;
        return value;
    }

    private void MakeRoom(int count)
    {
        if (_chunk.Length - _written >= count)
            return;
        var begun = _chunk.AsSpan(_start, _written - _start);
        var size = begun.Length + count;
        // A value too big to share an array gets room to grow in one of its own.
        var chunk = GC.AllocateUninitializedArray<byte>(size <= ChunkSize / 4 ? ChunkSize : begun.IsEmpty ? size : 2 * size);
        begun.CopyTo(chunk);
        (_chunk, _start, _written) = (chunk, 0, begun.Length);
    }
}
