using RaftKit.Consensus;
using RaftKit.Node.Log;
using static RaftKit.Node.Tests.Log.LogSamples;

namespace RaftKit.Node.Tests.Log;

public sealed class SnapshotStoreTests
{
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
    public void An_empty_snapshot_is_one()
    {
        using var store = SnapshotStore.Open(_disk);
        var mark = Take(store, 1, []);
        Assert.Equal(0, mark.Length);
        Assert.Empty(store.OpenFrames(mark));
        using var again = SnapshotStore.Open(_disk);
        Assert.Equal(mark, again.Newest);
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

    [Fact]
    public void A_snapshot_is_not_complete_before_all_of_it_is_there()
    {
        using var leader = SnapshotStore.Open(_disk);
        var mark = Take(leader, 100, Frames(8, 3));
        using var follower = SnapshotStore.Open(new MemoryDirectory(new Random(2)));
        using var receiver = follower.BeginReceive(mark);

        Assert.False(receiver.Write(0, new byte[mark.Length + 1]));
        Assert.Throws<InvariantBrokenException>(() => receiver.Complete());
        Assert.Null(follower.Newest);
    }

    [Fact]
    public void A_newer_snapshot_replaces_the_older_and_a_reader_of_that_is_told()
    {
        using var store = SnapshotStore.Open(_disk);
        var older = Take(store, 100, Frames(1, 5));
        var newer = Take(store, 200, Frames(2, 5));

        Assert.Equal(newer, store.Newest);
        Assert.Equal(-1, store.Read(older, 0, new byte[10]));
        Assert.Equal(10, store.Read(newer, 0, new byte[10]));
        Assert.Single(_disk.Files);
    }

    [Fact]
    public void A_snapshot_that_a_newer_one_overtook_is_dropped()
    {
        using var store = SnapshotStore.Open(_disk);
        var slow = store.Begin(new LogIndex(50), new Term(1), 1, Three);
        slow.WriteFrame("znodes", [1]);
        var newer = Take(store, 200, Frames(2, 5));

        Assert.Equal(newer, slow.Commit());
        Assert.Equal(newer, store.Newest);
        Assert.Single(_disk.Files);
    }

    [Fact]
    public void An_aborted_or_unfinished_snapshot_leaves_nothing_behind()
    {
        using (var store = SnapshotStore.Open(_disk))
        {
            using (var aborted = store.Begin(new LogIndex(50), new Term(1), 1, Three))
                aborted.WriteFrame("znodes", new byte[100_000]);
            Assert.Empty(_disk.Files);
            store.Begin(new LogIndex(50), new Term(1), 1, Three).WriteFrame("znodes", new byte[100_000]);
        }
        _disk.Kill();
        Assert.Single(_disk.Files);

        using var again = SnapshotStore.Open(_disk);
        Assert.Single(_disk.Files);
        again.DeleteUnfinished();

        Assert.Null(again.Newest);
        Assert.Empty(_disk.Files);
    }

    [Fact]
    public void A_crash_at_any_step_leaves_the_older_snapshot_or_the_newer_whole()
    {
        var (kept, replaced) = (0, 0);
        for (var seed = 0; seed < 400; seed++)
        {
            var disk = new MemoryDirectory(new Random(seed));
            SnapshotMark older;
            using (var store = SnapshotStore.Open(disk))
            {
                older = Take(store, 100, Frames(1, 10));
                disk.PowerGoesAt = disk.Operations + seed % 60;
                var committed = false;
                try
                {
                    Take(store, 200, Frames(2, 10));
                    committed = true;
                }
                catch (IOException)
                {
                    // The power went.
                }
                disk.CutPower();
                using var again = SnapshotStore.Open(disk);
                Assert.Equal("", again.Damage);
                Assert.True(again.Newest!.Index == new LogIndex(200) || (!committed && again.Newest == older));
                Assert.Equal(10, again.OpenFrames(again.Newest).Count());
                _ = again.Newest == older ? kept++ : replaced++;
            }
        }
        Assert.True(kept > 50 && replaced > 50, $"{kept} kept, {replaced} replaced");
    }

    [Fact]
    public void Any_flipped_bit_or_cut_is_refused_and_the_older_snapshot_counts()
    {
        using (var store = SnapshotStore.Open(_disk))
            Take(store, 100, [new SnapshotFrame("znodes", new byte[200])]);
        var (olderName, older) = _disk.Files.Single();
        using (var store = SnapshotStore.Open(_disk))
            Take(store, 200, [new SnapshotFrame("znodes", new byte[300]), new SnapshotFrame("proposers", new byte[20])]);
        var (name, node) = _disk.Files.Single();
        _disk.Put(olderName, older.Bytes);

        for (var at = 0; at < node.Bytes.Length; at++)
        {
            var disk = _disk.Copy();
            disk.Files[name].Bytes[at] ^= (byte)(1 << (at % 8));
            Refused(disk);
            disk.Put(name, node.Bytes[..at]);
            Refused(disk);
        }

        void Refused(MemoryDirectory disk)
        {
            using var store = SnapshotStore.Open(disk);
            Assert.Equal(new LogIndex(100), store.Newest!.Index);
            Assert.Contains(name, store.Damage, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void A_log_that_needs_a_corrupt_snapshot_counts_as_ending_where_it_did_and_names_it()
    {
        using (var log = SegmentedLog.Open(_disk, Tiny, out _))
        {
            for (var index = 1; index <= 20; index++)
                log.Write(Batch(1, 1, Entry(index, 1, new string('x', 3000))));
            var mark = TakeSnapshot(_disk, 15, 1);
            log.Compact(mark.Index);
        }
        var (name, node) = _disk.Files.Single(file => file.Key.EndsWith(".snapshot", StringComparison.Ordinal));
        node.Bytes[60] ^= 4;

        using (SegmentedLog.Open(_disk, Tiny, out var found))
        {
            Assert.Equal(
                (new LogEnd(new LogIndex(20), new Term(1)), new Term(1), new MemberId(1)),
                (found.RottenEnd!.Value, found.Term, found.Vote));
            Assert.Null(found.Snapshot);
            Assert.Empty(found.Entries);
            Assert.Contains($"Snapshot {name} in memory is corrupt: the checksum of chunk 0", found.Rot, StringComparison.Ordinal);
        }

        // A leader's takes its place; the log goes on behind it.
        using var snapshots = SnapshotStore.Open(_disk);
        using var again = SegmentedLog.Open(_disk, Tiny, snapshots, out _);
        var fetched = TakeSnapshot(snapshots, 18, 1);
        again.Write(new LogBatch { Term = new Term(1), Vote = new MemberId(1), ResetTo = fetched });
        again.Write(Batch(1, 1, Entry(19, 1, "s"), Entry(20, 1, "t")));
        again.Sync();
        again.Dispose();
        using (SegmentedLog.Open(_disk, Tiny, out var repaired))
        {
            Assert.Null(repaired.RottenEnd);
            Assert.Equal(["19/1 s", "20/1 t"], Tell(repaired.Entries));
        }
    }

    [Fact]
    public void Rot_that_comes_later_is_found_when_the_chunk_is_read()
    {
        using var store = SnapshotStore.Open(_disk);
        var mark = Take(store, 100, [new SnapshotFrame("znodes", new byte[150_000])]);
        Assert.Equal(100, store.Read(mark, 70_000, new byte[100]));
        _disk.Files.Single().Value.Bytes[1000] ^= 1;

        Assert.Throws<LogCorruptException>(() => store.Read(mark, 0, new byte[100]));
        Assert.Throws<LogCorruptException>(() => store.OpenFrames(mark).Count());
    }

    private static List<SnapshotFrame> Frames(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(i =>
        {
            var bytes =
                new byte[random.Next(
                    5) switch { 0 => 0, 1 => random.Next(100), 2 => random.Next(300), 3 => 65_536, _ => random.Next(30_000) }];
            random.NextBytes(bytes);
            return new SnapshotFrame(i % 2 == 0 ? "znodes" : "proposers", bytes);
        })];
    }

    [Fact]
    public void A_snapshot_whose_first_byte_cannot_be_written_leaves_no_file_open()
    {
        using var store = SnapshotStore.Open(_disk);
        // The call after the one that creates the file.
        _disk.PowerGoesAt = _disk.Operations + 2;

        Assert.Throws<IOException>(() => store.Begin(new LogIndex(1), new Term(1), 0, Three));

        Assert.Equal(0, _disk.OpenFiles);
    }

    private static SnapshotMark Take(SnapshotStore store, long index, List<SnapshotFrame> frames)
    {
        var writer = store.Begin(new LogIndex(index), new Term(3), 12345, Three);
        foreach (var frame in frames)
            writer.WriteFrame(frame.Section, frame.Bytes.Span);
        return writer.Commit();
    }
}
