using System.Buffers.Binary;
using RaftKit.Consensus;
using RaftKit.Node.Encoding;
using RaftKit.Node.Log;
using RaftKit.Node.Rehearsal;
using RaftKit.Node.Tests.Transport;

namespace RaftKit.Fuzz.Targets;

/// <summary>
/// Snapshots: all of their frames as they were written, or a refusal; under checksums that were made to hold, frames or a refusal.
/// </summary>
internal sealed class SnapshotTarget : FuzzTarget
{
    private readonly (byte[] Bytes, List<SnapshotFrame> Frames)[] _snapshots =
        [Take(300, 20), Take(0), Take(5, 0, 1, 250), Take(66_000, 3)];
    private FrozenDirectory _input = new();
    private List<SnapshotFrame> _truth = [];
    private bool _isSeen;

    public override string Name => "snapshots";

    public override string Describe() => Convert.ToHexString(_input["snapshot"]);

    public override long InputBytes => _input.Bytes;

    public override void Draw(Random random)
    {
        // The long one costs most, and has only one thing that the others have not: a second chunk.
        (var bytes, _truth) = _snapshots[random.Next(random.Next(10) == 0 ? 4 : 3)];
        _isSeen = random.Next(2) == 0;
        _input = new FrozenDirectory().With(
            "snapshot", _isSeen ? random.Next(16) == 0 ? bytes : Mutator.Mutate(bytes, random) : Forge(bytes, random));
    }

    public override string? Read()
    {
        try
        {
            using var snapshot = SnapshotFile.Open(_input.Open("snapshot"));
            var read = new List<SnapshotFrame>();
            for (long offset = 0; offset < snapshot.Mark.Length;)
                read.Add(SnapshotFrames.Read(snapshot, ref offset));
            if (_isSeen && !Same(read, _truth))
                throw new WrongAnswerException($"{read.Count} frames that nobody wrote");
            return null;
        }
        catch (MessagePackSerializationException refused)
        {
            return refused.Message;
        }
        catch (UnknownFormatException unknown)
        {
            return unknown.Message;
        }
    }

    private static bool Same(List<SnapshotFrame> read, List<SnapshotFrame> truth) =>
        read.Count == truth.Count
            && read.Zip(truth).All(
                pair => pair.First.Section == pair.Second.Section && pair.First.Bytes.Span.SequenceEqual(pair.Second.Bytes.Span));

    /// <summary>Other bytes in a chunk or in the footer, and checksums that hold.</summary>
    private static byte[] Forge(byte[] snapshot, Random random)
    {
        var bytes = (byte[])snapshot.Clone();
        var footer = (int)BinaryPrimitives.ReadInt64BigEndian(bytes.AsSpan(bytes.Length - 8));
        if (footer > SnapshotFile.Head.Length && random.Next(2) == 0)
        {
            var chunk = bytes.AsSpan(SnapshotFile.Head.Length, footer - SnapshotFile.Head.Length);
            var data = chunk.Slice(6, Math.Min(chunk.Length - SnapshotFile.ChunkOverhead, SnapshotFile.ChunkSize));
            Mutator.MutateInPlace(data[..Math.Min(data.Length, 64)], random);
            BinaryPrimitives.WriteUInt32BigEndian(chunk[(7 + data.Length)..], Crc32C.Of(data));
            return bytes;
        }
        // [body as bin 8, checksum]: a checksum in its short form leaves no room for another.
        var body = bytes.AsSpan(footer + 3, bytes[footer + 2]);
        if (bytes[footer + 3 + body.Length] != MessagePackCode.UInt32)
            return bytes;
        Mutator.MutateInPlace(body, random);
        BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(footer + 4 + body.Length), Crc32C.Of(body));
        return bytes;
    }

    private static (byte[] Bytes, List<SnapshotFrame> Frames) Take(params int[] lengths)
    {
        var disk = new MemoryLogDirectory("memory");
        var frames = lengths.Select(
            (length, i) => new SnapshotFrame(i % 2 == 0 ? "znodes" : "proposers", Samples.Bytes(length, (byte)i))).ToList();
        using var store = SnapshotStore.Open(disk);
        using var writer = store.Begin(new LogIndex(70_000), new Term(4), 1_790_000_000_000, Samples.Joint);
        foreach (var frame in frames)
            writer.WriteFrame(frame.Section, frame.Bytes.Span);
        writer.Commit();
        var frozen = FrozenDirectory.Of(disk);
        return (frozen[frozen.Names.Single()], frames);
    }
}
