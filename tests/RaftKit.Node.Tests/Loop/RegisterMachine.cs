using System.Buffers;
using System.Buffers.Binary;
using RaftKit.Node.Loop;

namespace RaftKit.Node.Tests.Loop;

/// <summary>Appends each command's number to a list and answers how long the list is: shows order, loss and repetition.</summary>
internal sealed class RegisterMachine(string name = "register") : IStateMachine
{
    private readonly Lock _gate = new();
    private List<long> _values = [];

    public string Name => name;

    public IReadOnlyList<long> Values
    {
        get
        {
            lock (_gate)
                return [.. _values];
        }
    }

    public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result)
    {
        lock (_gate)
            _values.Add(BinaryPrimitives.ReadInt64LittleEndian(command.Span));
        BinaryPrimitives.WriteInt64LittleEndian(result.GetSpan(8), _values.Count);
        result.Advance(8);
    }

    public ISnapshotCapture Capture() => new Slices([.. _values]);

    public IStateRestorer BeginRestore() => new Restorer(this);

    private sealed class Slices(List<long> values) : ISnapshotCapture
    {
        private int _next;

        public bool WriteSlice(IBufferWriter<byte> frame)
        {
            for (var end = Math.Min(_next + 100, values.Count); _next < end; _next++)
            {
                BinaryPrimitives.WriteInt64LittleEndian(frame.GetSpan(8), values[_next]);
                frame.Advance(8);
            }
            return _next < values.Count;
        }

        public void Dispose()
        {
        }
    }

    private sealed class Restorer(RegisterMachine machine) : IStateRestorer
    {
        private readonly List<long> _values = [];

        public void Frame(ReadOnlyMemory<byte> frame)
        {
            for (var at = 0; at < frame.Length; at += 8)
                _values.Add(BinaryPrimitives.ReadInt64LittleEndian(frame.Span[at..]));
        }

        public void Complete(in CommandContext context)
        {
            lock (machine._gate)
                machine._values = _values;
        }
    }
}
