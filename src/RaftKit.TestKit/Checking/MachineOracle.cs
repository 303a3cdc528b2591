using System.Buffers;
using RaftKit.Consensus;
using RaftKit.Node.Loop;

namespace RaftKit.TestKit;

/// <summary>
/// What every member's own state machines must make of every entry. The first member that applies an entry tells the result; all others,
/// and the same one after a restart, must come to the same bytes. Snapshots of the same index must be the same bytes too, of machines that
/// came there the same way: from the first entry on, or from the same snapshot. Of others they need not be: a hash table that was filled
/// anew may be walked in another order, and be the same state.
/// </summary>
internal sealed class MachineOracle(SimulatedWorld world)
{
    /// <summary>How many entries of a machine are remembered: a member that lags further behind is not held against them.</summary>
    private const int Remembered = 100_000;

    private readonly Dictionary<string, Told> _results = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Told> _snapshots = new(StringComparer.Ordinal);

    /// <summary>The same machines, listened to.</summary>
    public IReadOnlyList<IStateMachine> Watch(MemberId member, IReadOnlyList<IStateMachine> machines) =>
        machines.Count == 0 ? machines : [.. machines.Select(machine => new Watched(this, member, machine))];

    /// <summary>An operator forced a new quorum: other entries may stand where lost ones stood.</summary>
    public void QuorumForced()
    {
        _results.Clear();
        _snapshots.Clear();
    }

    private void Agree(
        Dictionary<string, Told> all, int invariant, MemberId member, string machine, LogIndex index, ulong way, ulong hash, string what)
    {
        // What a forced quorum, or an old copy, holds may be no longer anybody's history.
        if (world[member].IsLeftBehind || world[member].Damage == DiskDamage.OldCopy)
            return;
        if (!all.TryGetValue(machine, out var told))
            all.Add(machine, told = new Told());
        if (told.First(index.Value, way, member, hash) is { } first && first.Hash != hash)
        {
            world.Violate(
                $"invariant {invariant}: state machine '{machine}' on member {member} {what} at index {index} than on member {first.Member}, which came there first: it is not deterministic. " +
                "What it does may follow from the commands and their contexts alone, not from a clock, randomness, a static field or the order of a hash table.");
        }
    }

    private sealed class Told
    {
        private readonly Dictionary<(long Index, ulong Way), (ulong Hash, MemberId Member)> _first = [];
        private readonly Queue<(long Index, ulong Way)> _order = [];
        private long _forgotten;

        /// <summary>What the first member told that came here; null if nobody was here before, or it is forgotten.</summary>
        public (ulong Hash, MemberId Member)? First(long index, ulong way, MemberId member, ulong hash)
        {
            if (_first.TryGetValue((index, way), out var first))
                return first;
            if (index <= _forgotten)
                return null;
            _first.Add((index, way), (hash, member));
            _order.Enqueue((index, way));
            if (_order.Count > Remembered)
            {
                var oldest = _order.Dequeue();
                _first.Remove(oldest);
                _forgotten = Math.Max(_forgotten, oldest.Index);
            }
            return null;
        }
    }

    private sealed class Watched(MachineOracle oracle, MemberId member, IStateMachine machine) : IStateMachine
    {
        private LogIndex _at;

        // How its state came about: 0 from the first entry on, or the hash of the snapshot that it goes on from.
        private ulong _way;

        public string Name => machine.Name;

        public void Apply(in CommandContext context, ReadOnlyMemory<byte> command, IBufferWriter<byte> result)
        {
            var written = ((ArrayBufferWriter<byte>)result).WrittenCount;
            machine.Apply(context, command, result);
            _at = context.Index;
            oracle.Agree(
                oracle._results, 7, member, Name, context.Index, 0, StableHash.Of(((ArrayBufferWriter<byte>)result).WrittenSpan[written..]),
                "has another result");
        }

        public ISnapshotCapture Capture() =>
            new Slices(this,
            machine.Capture() ?? throw new InvalidOperationException($"State machine '{Name}' captured null. Give what writes its state."));

        public IStateRestorer BeginRestore() =>
            new Frames(this, machine.BeginRestore()
                ?? throw new InvalidOperationException($"State machine '{Name}' began to restore with null. Give what takes its state."));

        private sealed class Slices(Watched watched, ISnapshotCapture slices) : ISnapshotCapture
        {
            private readonly LogIndex _at = watched._at;
            private readonly ulong _way = watched._way;
            private readonly ArrayBufferWriter<byte> _slice = new();
            private StableHash _hash = new();

            public bool WriteSlice(IBufferWriter<byte> frame)
            {
                _slice.ResetWrittenCount();
                var more = slices.WriteSlice(_slice);
                _hash.Add(_slice.WrittenSpan);
                frame.Write(_slice.WrittenSpan);
                // Before its first entry, nothing that was applied tells how far it is.
                if (!more && _at > LogIndex.Zero)
                    watched.Oracle.Agree(
                        watched.Oracle._snapshots, 18, watched.Member, watched.Name, _at, _way, _hash.Value, "captured another state");
                return more;
            }

            public void Dispose() => slices.Dispose();
        }

        private sealed class Frames(Watched watched, IStateRestorer frames) : IStateRestorer
        {
            private StableHash _hash = new();

            public void Frame(ReadOnlyMemory<byte> frame)
            {
                _hash.Add(frame.Span);
                frames.Frame(frame);
            }

            public void Complete(in CommandContext context)
            {
                frames.Complete(context);
                _hash.Add(context.Index.Value);
                (watched._at, watched._way) = (context.Index, _hash.Value);
            }
        }

        private MachineOracle Oracle => oracle;

        private MemberId Member => member;
    }
}
