using System.Buffers;
using System.Buffers.Binary;

namespace RaftKit.Node.Loop;

/// <summary>
/// The snapshot of a state machine whose state is a collection of items: what <see cref="IStateMachine.Capture"/> and <see
/// cref="IStateMachine.BeginRestore"/> return where that is enough. Items are packed into frames, some hundred to each, and come back one by
/// one, in the order in which they were captured.
/// </summary>
/// <example><code>
/// public ISnapshotCapture Capture() => StateSnapshot.Capture(_names, (name, frame) => Encoding.UTF8.GetBytes(name, frame));
///
/// public IStateRestorer BeginRestore()
/// {
///     var names = ImmutableList.CreateBuilder&lt;string>();
///     return StateSnapshot.Restore(item => names.Add(Encoding.UTF8.GetString(item.Span)), () => _names = names.ToImmutable());
/// }
/// </code></example>
public static class StateSnapshot
{
    // Some ten microseconds of copying: applying waits for each slice.
    private const int SliceBytes = 32 << 10;

    private const int LengthBytes = 4;

    /// <summary>Captures the items as they are now.</summary>
    /// <typeparam name="T">What an item is.</typeparam>
    /// <param name="items">
    /// The state. It is read later, while further commands are applied, so it must be one that never changes: a collection of
    /// System.Collections.Immutable, or a copy made for this call. Its order must follow from the commands alone, as all of the state does.
    /// </param>
    /// <param name="write">Writes one item's bytes; any length, also none.</param>
    public static ISnapshotCapture Capture<T>(IEnumerable<T> items, Action<T, IBufferWriter<byte>> write)
    {
        ArgumentNullException.ThrowIfNull(items);
        ArgumentNullException.ThrowIfNull(write);
        return new Items<T>(items.GetEnumerator(), write);
    }

    /// <summary>Gives the items of a captured snapshot back. Both are called on the node's loop.</summary>
    /// <param name="take">
    /// Takes an item's bytes, which are valid during the call only. The state must stay as it is until all were given.
    /// </param>
    /// <param name="complete">All items were given: they are the whole state now.</param>
    public static IStateRestorer Restore(Action<ReadOnlyMemory<byte>> take, Action complete)
    {
        ArgumentNullException.ThrowIfNull(take);
        ArgumentNullException.ThrowIfNull(complete);
        return new Restorer(take, complete);
    }

    private sealed class Items<T>(IEnumerator<T> items, Action<T, IBufferWriter<byte>> write) : ISnapshotCapture
    {
        private readonly ArrayBufferWriter<byte> _item = new();

        public bool WriteSlice(IBufferWriter<byte> frame)
        {
            for (var written = 0; written < SliceBytes; written += LengthBytes + _item.WrittenCount)
            {
                if (!items.MoveNext())
                    return false;

                _item.ResetWrittenCount();
                write(items.Current, _item);
                BinaryPrimitives.WriteInt32LittleEndian(frame.GetSpan(LengthBytes), _item.WrittenCount);
                frame.Advance(LengthBytes);
                frame.Write(_item.WrittenSpan);
            }

            return true;
        }

        public void Dispose() => items.Dispose();
    }

    private sealed class Restorer(Action<ReadOnlyMemory<byte>> take, Action complete) : IStateRestorer
    {
        public void Frame(ReadOnlyMemory<byte> frame)
        {
            for (var rest = frame; rest.Length > 0;)
            {
                var length = rest.Length < LengthBytes ? -1 : BinaryPrimitives.ReadInt32LittleEndian(rest.Span);
                if (length < 0 || length > rest.Length - LengthBytes)
                    throw new InvalidDataException(
                        $"A frame of {frame.Length} bytes was not written by {nameof(StateSnapshot)}.{nameof(Capture)}: at byte "
                        + $"{frame.Length - rest.Length} it announces an item of {length} bytes, {rest.Length} are left. If the state machine wrote "
                        + "its frames otherwise in an earlier build, its restorer must still read those.");
                take(rest.Slice(LengthBytes, length));
                rest = rest[(LengthBytes + length)..];
            }
        }

        public void Complete(in CommandContext context) => complete();
    }
}
