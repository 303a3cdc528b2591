using RaftKit.Consensus;
using RaftKit.Node.Log;

namespace RaftKit.Node.Tests.Log;

public sealed class SnapshotStoreTests
{
    private static readonly Membership Three = new(
        [new(new MemberId(1), 1), new(new MemberId(2), 1), new(new MemberId(3), 2)], [new(new MemberId(4), 1)], []);

    private readonly MemoryDirectory _disk = new(new Random(1));

    [Fact]
    public void The_frames_of_a_committed_snapshot_are_given_back_in_order_after_a_power_cut()
    {
        var frames = Frames(7, 40);
        SnapshotMark mark;
        using (var store = SnapshotStore.Open(_disk))
            mark = Take(store, 100, frames);
        _disk.CutPower();

        using var again = SnapshotStore.Open(_disk);

        Assert.Equal(mark, again.Newest);
        Assert.Equal(Three, again.Newest!.Membership);
        var read = again.OpenFrames(mark).ToList();
        Assert.Equal(frames.Select(f => f.Section), read.Select(f => f.Section));
        Assert.All(frames.Zip(read), pair => Assert.Equal(pair.First.Bytes.ToArray(), pair.Second.Bytes.ToArray()));
    }

    [Fact]
    public void What_one_store_reads_another_receives_even_over_a_lost_link()
    {
        using var leader = SnapshotStore.Open(_disk);
        var mark = Take(leader, 100, Frames(8, 60));
        var followers = new MemoryDirectory(new Random(2));
        using var follower = SnapshotStore.Open(followers);
        var receiver = follower.BeginReceive(mark);
        var chunk = new byte[10_000];

        while (!receiver.IsComplete)
        {
            var count = leader.Read(mark, receiver.NextOffset, chunk);
            Assert.True(receiver.Write(receiver.NextOffset, chunk.AsSpan(0, count)));
            // The same piece again, as after a lost answer, and one that leaves a gap.
            Assert.True(receiver.Write(receiver.NextOffset - count, chunk.AsSpan(0, count)));
            Assert.False(receiver.Write(receiver.NextOffset + 1, chunk.AsSpan(0, 1)));
        }
        var received = receiver.Complete();

        Assert.Equal(mark, received);
        Assert.Equal(mark, follower.Newest);
        Assert.All(
            leader.OpenFrames(mark).Zip(follower.OpenFrames(mark)),
            pair => Assert.Equal(pair.First.Bytes.ToArray(), pair.Second.Bytes.ToArray()));
    }

    private static List<SnapshotFrame> Frames(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(i =>
        {
            var bytes = new byte[random.Next(5) switch { 0 => 0, 1 => random.Next(100), 2 => random.Next(300), 3 => 65_536, _ => random.Next(30_000) }];
            random.NextBytes(bytes);
            return new SnapshotFrame(i % 2 == 0 ? "znodes" : "proposers", bytes);
        })];
    }

    private static SnapshotMark Take(SnapshotStore store, long index, List<SnapshotFrame> frames)
    {
        var writer = store.Begin(new LogIndex(index), new Term(3), 12345, Three);
        foreach (var frame in frames)
            writer.WriteFrame(frame.Section, frame.Bytes.Span);
        return writer.Commit();
    }
}
