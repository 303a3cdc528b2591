using System.Buffers;
using System.Collections.Immutable;
using System.Text;
using RaftKit.Node.Loop;

namespace KeyValueStore;

/// <summary>Keys and values, the same on every member. A command is "key=value" ("key=" removes it); its result is the value before.</summary>
public sealed class Store : IStateMachine
{
    public string Name => "key-value-store";

    public ImmutableSortedDictionary<string, string> Values { get; private set; } =
        ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal);

    public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result)
    {
        var pair = Parse(command);
        Encoding.UTF8.GetBytes(Values.GetValueOrDefault(pair[0], ""), result);
        Values = pair is [var key, { Length: > 0 } value] ? Values.SetItem(key, value) : Values.Remove(pair[0]);
    }

    // What is immutable is a snapshot already.
    public ISnapshotCapture Capture() =>
        StateSnapshot.Capture(Values, (pair, item) => Encoding.UTF8.GetBytes($"{pair.Key}={pair.Value}", item));

    public IStateRestorer BeginRestore()
    {
        var values = Values.Clear().ToBuilder();
        return StateSnapshot.Restore(item => Put(Parse(item)), () => Values = values.ToImmutable());
        void Put(string[] pair) => values[pair[0]] = pair[1];
    }

    private static string[] Parse(ReadOnlyMemory<byte> pair) => Encoding.UTF8.GetString(pair.Span).Split('=', 2);
}
