using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.IO.Pipelines;

namespace RaftKit.Node.Transport;

/// <summary>Cuts the bytes of a link into frame bodies. A length is compared with the limit before any memory is taken for it.</summary>
internal static class FrameReader
{
    /// <summary>Takes one whole frame off the front; false when it has not all come yet.</summary>
    /// <exception cref="MalformedFrameException">The length cannot be.</exception>
    public static bool TryTake(ref ReadOnlySequence<byte> buffer, int maxBody, out ReadOnlySequence<byte> body)
    {
        body = default;
        if (buffer.Length < FrameBuffer.LengthBytes)
            return false;
        Span<byte> prefix = stackalloc byte[FrameBuffer.LengthBytes];
        buffer.Slice(0, FrameBuffer.LengthBytes).CopyTo(prefix);
        var length = BinaryPrimitives.ReadInt32LittleEndian(prefix);
        if (length <= 0 || length > maxBody)
            throw new MalformedFrameException($"A frame announces a length of {length} bytes; 1 to {maxBody} are allowed here.");
        if (buffer.Length < FrameBuffer.LengthBytes + length)
            return false;
        body = buffer.Slice(FrameBuffer.LengthBytes, length);
        buffer = buffer.Slice(FrameBuffer.LengthBytes + length);
        return true;
    }

    /// <summary>Waits for one frame, as a copy. Null when the link ended before or within it.</summary>
    public static async ValueTask<byte[]?> ReadOneAsync(PipeReader pipe, int maxBody, CancellationToken cancellationToken)
    {
        while (true)
        {
            var read = await pipe.ReadAsync(cancellationToken).ConfigureAwait(false);
            var buffer = read.Buffer;
            if (TryTakeCopy(ref buffer, maxBody, out var body))
            {
                // What follows the frame is not examined yet: the next reader starts there.
                pipe.AdvanceTo(buffer.Start);
                return body;
            }
            pipe.AdvanceTo(buffer.Start, buffer.End);
            if (read.IsCompleted)
                return null;
        }
    }

    private static bool TryTakeCopy(ref ReadOnlySequence<byte> buffer, int maxBody, [NotNullWhen(true)] out byte[]? body)
    {
        body = TryTake(ref buffer, maxBody, out var sequence) ? sequence.ToArray() : null;
        return body is not null;
    }
}
