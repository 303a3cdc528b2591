using System.Buffers;
using System.Collections.Immutable;
using System.Text;
using RaftKit.Node.Loop;

namespace KeyValueStore;

/// <summary>
/// Keys and values, the same on every member. A command is "key=value", or "key" to remove it; its result is the value before.
/// </summary>
public sealed class Store : IStateMachine
{
    private ImmutableSortedDictionary<string, string> _values = ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal);

    public string Name => "key-value-store";

    public IReadOnlyDictionary<string, string> Values => _values;

    public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result)
    {
        var (key, value) = Parse(command.Span);
        Encoding.UTF8.GetBytes(_values.GetValueOrDefault(key, ""), result);
        _values = value is null ? _values.Remove(key) : _values.SetItem(key, value);
    }

    // What is immutable is a snapshot already.
    public ISnapshotCapture Capture() => new Frames(_values.GetEnumerator());

    public IStateRestorer BeginRestore() => new Restorer(this);

    private static (string Key, string? Value) Parse(ReadOnlySpan<byte> pair) =>
        Encoding.UTF8.GetString(pair) is var text && text.IndexOf('=') is >= 0 and var at ? (text[..at], text[(at + 1)..]) : (text, null);

    private sealed class Frames(ImmutableSortedDictionary<string, string>.Enumerator values) : ISnapshotCapture
    {
        private ImmutableSortedDictionary<string, string>.Enumerator _values = values;

        // One key and its value a frame: the simplest that is right. A large store would put some hundred into each.
        public bool WriteSlice(IBufferWriter<byte> frame)
        {
            if (!_values.MoveNext())
                return false;
            Encoding.UTF8.GetBytes($"{_values.Current.Key}={_values.Current.Value}", frame);
            return true;
        }

        public void Dispose() => _values.Dispose();
    }

    private sealed class Restorer(Store store) : IStateRestorer
    {
        private readonly ImmutableSortedDictionary<string, string>.Builder _values =
            ImmutableSortedDictionary.CreateBuilder<string, string>(StringComparer.Ordinal);

        public void Frame(ReadOnlyMemory<byte> frame)
        {
            if (Parse(frame.Span) is (var key, { } value))
                _values[key] = value;
        }

        public void Complete(in CommandContext context) => store._values = _values.ToImmutable();
    }
}
