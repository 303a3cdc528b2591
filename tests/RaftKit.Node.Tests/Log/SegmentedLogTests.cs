using RaftKit.Consensus;
using RaftKit.Node.Log;
using static RaftKit.Node.Tests.Log.LogSamples;

namespace RaftKit.Node.Tests.Log;

public sealed class SegmentedLogTests
{
    private readonly MemoryDirectory _disk = new(new Random(1));

    [Fact]
    public void A_new_directory_holds_an_empty_log()
    {
        using var log = SegmentedLog.Open(_disk, Small, out var found);

        Assert.Equal(Term.Zero, found.Term);
        Assert.Equal(MemberId.None, found.Vote);
        Assert.Null(found.Snapshot);
        Assert.Empty(found.Entries);
        Assert.Equal(new LogIndex(1), log.Next);
    }

    [Fact]
    public void What_was_synced_is_there_after_a_power_cut()
    {
        var log = SegmentedLog.Open(_disk, Small, out _);
        log.Write(Batch(3, 2, Entry(1, 3, "one"), Entry(2, 3, "two")));
        log.Sync();
        _disk.CutPower();

        using var again = SegmentedLog.Open(_disk, Small, out var found);

        Assert.Equal((new Term(3), new MemberId(2)), (found.Term, found.Vote));
        Assert.Equal(["1/3 one", "2/3 two"], Tell(found.Entries));
        Assert.Equal(["1/3 one", "2/3 two"], Tell(ReadAll(again)));
    }

    [Fact]
    public void Entries_read_back_as_they_were_written_across_pages_and_segments()
    {
        using var log = SegmentedLog.Open(_disk, Small, out _);
        var model = new LogModel();
        var random = new Random(5);
        for (var round = 0; round < 60; round++)
        {
            var batch = Batch(
                1, 1, [.. Enumerable.Range(0, random.Next(1, 6)).Select(i => Noise(model.Next.Value + i, 1, random.Next(9000), random))]);
            log.Write(batch);
            log.Sync();
            model.Apply(batch);
        }

        Assert.True(log.SegmentCount > 5);
        for (var round = 0; round < 200; round++)
        {
            var from = random.Next(1, (int)model.Next.Value);
            var last = random.Next(from, (int)model.Next.Value);
            var read = new List<Entry>();
            log.Read(new LogIndex(from), new LogIndex(last), random.Next(1 << 17), read);
            Assert.NotEmpty(read);
            Assert.True(read.Count <= last - from + 1);
            Assert.All(read.Zip(model.Entries.Skip(from - 1)), pair => Assert.True(LogModel.Same(pair.First, pair.Second)));
        }
        Assert.Equal(model.Entries.Count, ReadAll(log).Count);
    }

    [Fact]
    public void A_batch_costs_one_write_and_one_sync()
    {
        using var log = SegmentedLog.Open(_disk, new SegmentedLogOptions(), out _);
        log.Write(Batch(1, 1, Entry(1, 1, "first")));
        log.Sync();
        var (operations, syncs) = (_disk.Operations, _disk.Syncs);

        log.Write(Batch(1, 1, Entry(2, 1, "a"), Entry(3, 1, "b"), Entry(4, 1, "c")));
        log.Sync();

        Assert.Equal(syncs + 1, _disk.Syncs);
        Assert.Equal(operations + 2, _disk.Operations);
    }

    [Fact]
    public void Several_batches_share_one_sync()
    {
        using var log = SegmentedLog.Open(_disk, new SegmentedLogOptions(), out _);
        var syncs = _disk.Syncs;
        for (var index = 1; index <= 5; index++)
            log.Write(Batch(1, 1, Entry(index, 1, "x")));
        log.Sync();
        log.Sync();

        // One for the batches, one for the next segment's first zeros.
        Assert.Equal(syncs + 2, _disk.Syncs);
    }

    [Fact]
    public void A_truncated_suffix_stays_cut()
    {
        var log = SegmentedLog.Open(_disk, Tiny, out _);
        log.Write(Batch(1, 1, [.. Enumerable.Range(1, 9).Select(i => Entry(i, 1, new string('o', 2000)))]));
        log.Sync();
        log.Write(new LogBatch { Term = new Term(2), Vote = new MemberId(3), TruncateFrom = new LogIndex(4),
            Entries = [Entry(4, 2, "new")] });
        log.Sync();
        Assert.Equal("4/2 new", Tell(ReadAll(log))[^1]);
        _disk.CutPower();

        using var again = SegmentedLog.Open(_disk, Tiny, out var found);

        Assert.Equal(4, found.Entries.Count);
        Assert.Equal("4/2 new", Tell(found.Entries)[^1]);
        Assert.Equal(new LogIndex(5), again.Next);
    }

    [Fact]
    public void A_reset_log_starts_after_the_snapshot()
    {
        var log = SegmentedLog.Open(_disk, Tiny, out _);
        log.Write(Batch(1, 1, Entry(1, 1, "old"), Entry(2, 1, "old")));
        log.Sync();
        var mark = TakeSnapshot(_disk, 50, 2);
        log.Write(new LogBatch { Term = new Term(2), Vote = new MemberId(1), ResetTo = mark, Entries = [Entry(51, 2, "after")] });
        log.Sync();
        log.Compact(mark.Index);
        _disk.CutPower();

        using var again = SegmentedLog.Open(_disk, Tiny, out var found);

        Assert.Equal(mark, found.Snapshot);
        Assert.Equal(["51/2 after"], Tell(found.Entries));
        Assert.Equal(new LogIndex(51), again.First);
    }

    [Fact]
    public void A_snapshot_that_was_installed_before_the_log_heard_of_it_resets_the_log()
    {
        var log = SegmentedLog.Open(_disk, Tiny, out _);
        log.Write(Batch(1, 1, Entry(1, 1, "old"), Entry(2, 1, "old")));
        log.Sync();
        var mark = TakeSnapshot(_disk, 50, 4);
        _disk.CutPower();

        using var again = SegmentedLog.Open(_disk, Tiny, out var found);

        Assert.Equal((mark, new Term(4), MemberId.None), (found.Snapshot, found.Term, found.Vote));
        Assert.Empty(found.Entries);
        Assert.Equal(new LogIndex(51), again.Next);
    }

    [Fact]
    public void Entries_that_conflict_with_an_installed_snapshot_are_dropped_and_those_that_agree_stay()
    {
        var log = SegmentedLog.Open(_disk, Tiny, out _);
        log.Write(Batch(3, 1, Entry(1, 1, "a"), Entry(2, 2, "b"), Entry(3, 2, "c")));
        log.Sync();
        log.Dispose();
        var agreeing = _disk.Copy();
        TakeSnapshot(agreeing, 2, 2);
        TakeSnapshot(_disk, 2, 3);

        using var dropped = SegmentedLog.Open(_disk, Tiny, out var found);
        using var kept = SegmentedLog.Open(agreeing, Tiny, out var foundKept);

        Assert.Empty(found.Entries);
        Assert.Equal(["3/2 c"], Tell(foundKept.Entries));
    }

    [Fact]
    public void Compaction_deletes_whole_segments_and_what_is_after_them_stays()
    {
        var log = SegmentedLog.Open(_disk, Tiny, out _);
        log.Write(new LogBatch { Term = new Term(7), Vote = new MemberId(2), PeerBoots = [new PeerBoot(new MemberId(3), 1, 44)] });
        for (var index = 1; index <= 40; index++)
        {
            log.Write(Batch(7, 2, Entry(index, 7, new string('x', 3000))));
            log.Sync();
        }
        var before = log.SegmentCount;
        var mark = TakeSnapshot(_disk, 30, 7);
        log.Compact(mark.Index);

        Assert.True(log.SegmentCount < before - 8);
        Assert.InRange(log.First.Value, 25, 31);
        Assert.Equal(41 - log.First.Value, ReadAll(log).Count);
        _disk.CutPower();

        using var again = SegmentedLog.Open(_disk, Tiny, out var found);
        Assert.Equal(10, found.Entries.Count);
        Assert.Equal((new Term(7), new MemberId(2)), (found.Term, found.Vote));
        Assert.Equal([new PeerBoot(new MemberId(3), 1, 44)], found.PeerBoots);
    }

    [Fact]
    public void A_log_whose_beginning_no_snapshot_covers_counts_as_ending_where_it_did_and_is_left_as_it_is()
    {
        var log = SegmentedLog.Open(_disk, Tiny, out _);
        for (var index = 1; index <= 20; index++)
            log.Write(Batch(1, 1, Entry(index, 1, new string('x', 3000))));
        var mark = TakeSnapshot(_disk, 15, 1);
        log.Compact(mark.Index);
        log.Dispose();
        _disk.Remove(_disk.Files.Keys.Single(name => name.EndsWith(".snapshot", StringComparison.Ordinal)));
        var entries = _disk.Files.Keys.Where(name => name.EndsWith(".log", StringComparison.Ordinal)).Order().ToList();

        using (SegmentedLog.Open(_disk, Tiny, out var found))
        {
            Assert.Equal(new LogEnd(new LogIndex(20), new Term(1)), found.RottenEnd);
            Assert.Empty(found.Entries);
        }
        Assert.Subset(_disk.Files.Keys.ToHashSet(), entries.ToHashSet());
    }

    [Fact]
    public void A_snapshot_without_a_log_lost_its_vote_and_is_refused()
    {
        TakeSnapshot(_disk, 15, 1);
        Assert.Throws<LogCorruptException>(() => SegmentedLog.Open(_disk, Tiny, out _));
        Assert.Throws<LogCorruptException>(() =>
            SegmentedLog.Open(new MemoryDirectory(new Random(1)), Tiny with { MustExist = true }, out _));
    }

    [Fact]
    public void A_failed_sync_ends_the_log_and_is_never_retried()
    {
        var log = SegmentedLog.Open(_disk, Small, out _);
        log.Write(Batch(1, 1, Entry(1, 1, "safe")));
        log.Sync();
        log.Write(Batch(1, 1, Entry(2, 1, "lost?")));
        _disk.SyncFailsAt = 1;

        Assert.Throws<LogFailedException>(log.Sync);
        Assert.Throws<LogFailedException>(log.Sync);
        Assert.Throws<LogFailedException>(() => log.Write(Batch(1, 1, Entry(3, 1, "more"))));
        Assert.Throws<LogFailedException>(() => log.Compact(new LogIndex(1)));
        _disk.Kill();

        using var again = SegmentedLog.Open(_disk, Small, out var found);
        Assert.Equal("1/1 safe", Tell(found.Entries)[0]);
    }

    [Fact]
    public void What_a_failed_sync_left_in_the_cache_is_written_again_before_it_counts()
    {
        for (var seed = 0; seed < 50; seed++)
        {
            var disk = new MemoryDirectory(new Random(seed));
            var log = SegmentedLog.Open(disk, Small, out _);
            log.Write(Batch(1, 1, Entry(1, 1, new string('x', 5000))));
            disk.SyncFailsAt = 1;
            Assert.Throws<LogFailedException>(log.Sync);
            log.Dispose();

            // The process starts anew; the machine does not: the cache may still show what the disk never got.
            using var second = SegmentedLog.Open(disk, Small, out var found);
            disk.CutPower();
            using var third = SegmentedLog.Open(disk, Small, out var after);

            Assert.Equal(Tell(found.Entries), Tell(after.Entries));
        }
    }

    [Fact]
    public void Term_never_falls_a_vote_never_changes_and_entries_leave_no_gap()
    {
        using var log = SegmentedLog.Open(_disk, Small, out _);
        log.Write(Batch(5, 2));

        Assert.Throws<InvariantBrokenException>(() => log.Write(Batch(4, 2)));
        Assert.Throws<InvariantBrokenException>(() => log.Write(Batch(5, 3)));
        Assert.Throws<InvariantBrokenException>(() => log.Write(Batch(5, 2, Entry(2, 5, "gap"))));
        Assert.Throws<InvariantBrokenException>(() => log.Write(Batch(5, 2, Entry(1, 6, "of a later term"))));
        Assert.Throws<InvariantBrokenException>(() =>
            log.Write(new LogBatch { Term = new Term(5), Vote = new MemberId(2), TruncateFrom = new LogIndex(3) }));
        log.Write(Batch(5, 2, Entry(1, 5, "fits")));
        Assert.Throws<InvariantBrokenException>(() => log.Read(new LogIndex(1), new LogIndex(2), 100, []));
    }

    [Fact]
    public void A_batch_larger_than_a_segment_gets_a_segment_of_its_own_size()
    {
        var log = SegmentedLog.Open(_disk, Tiny, out _);
        var random = new Random(3);
        var large = Noise(2, 1, 300_000, random);
        log.Write(Batch(1, 1, Entry(1, 1, "small")));
        log.Write(Batch(1, 1, large, Entry(3, 1, "small")));
        log.Write(Batch(1, 1, Entry(4, 1, "small")));
        log.Sync();
        _disk.CutPower();

        using var again = SegmentedLog.Open(_disk, Tiny, out var found);
        Assert.Equal(4, found.Entries.Count);
        Assert.True(LogModel.Same(large, found.Entries[1]));
        Assert.Equal(4, ReadAll(again).Count);
    }

    [Fact]
    public void Restarts_without_writes_do_not_pile_up_segments()
    {
        var counts = new List<int>();
        for (var start = 0; start < 30; start++)
        {
            var log = SegmentedLog.Open(_disk, Small, out _);
            if (start == 0)
            {
                log.Write(Batch(1, 1, Entry(1, 1, "x")));
                log.Sync();
            }
            counts.Add(_disk.Files.Count);
            _disk.Kill();
        }
        Assert.InRange(counts[^1], 1, counts[3]);
    }

    [Fact]
    public void A_start_after_a_clean_stop_finds_the_same_log_as_often_as_it_likes()
    {
        var log = SegmentedLog.Open(_disk, Tiny, out _);
        for (var index = 1; index <= 20; index++)
            log.Write(Batch(1, 1, Entry(index, 1, $"{index}")));
        log.Sync();
        for (var start = 0; start < 10; start++)
        {
            log.Dispose();
            log = SegmentedLog.Open(_disk, Tiny, out var found);
            Assert.Equal(20 + start, found.Entries.Count);
            log.Write(Batch(1, 1, Entry(21 + start, 1, "more")));
            log.Sync();
        }
        log.Dispose();
    }

    [Fact]
    public async Task Reads_run_beside_writes()
    {
        using var log = SegmentedLog.Open(_disk, Small, out _);
        log.Write(Batch(1, 1, Entry(1, 1, "1")));
        var done = false;
        var reader = Task.Run(() =>
        {
            var rounds = 0;
            while (!Volatile.Read(ref done) || rounds == 0)
            {
                var last = log.Next.Previous;
                var read = new List<Entry>();
                log.Read(new LogIndex(Math.Max(1, last.Value - 50)), last, 1 << 16, read);
                Assert.All(read, entry => Assert.Equal($"{entry.Index}", System.Text.Encoding.UTF8.GetString(entry.Payload.Span)));
                rounds++;
            }
            return rounds;
        });
        for (var index = 2; index <= 3000; index++)
            log.Write(Batch(1, 1, Entry(index, 1, $"{index}")));
        Volatile.Write(ref done, true);

        Assert.True(await reader > 0);
    }

    [Fact]
    public void A_batch_allocates_no_more_for_many_entries_than_for_few()
    {
        using var log = SegmentedLog.Open(new FixedDirectory(), new SegmentedLogOptions { SegmentBytes = 1 << 20 }, out _);
        var random = new Random(1);
        var next = 1L;
        LogBatch Make(int count)
        {
            var batch = Batch(1, 1, [.. Enumerable.Range(0, count).Select(i => Noise(next + i, 1, 20, random))]);
            next += count;
            return batch;
        }
        // Enough that every buffer has its size; the next entries stay within the index's first chunk.
        log.Write(Make(400));
        log.Sync();

        // The least of three: what the runtime makes once, for itself, is not the batch's.
        var least = long.MaxValue;
        for (var round = 0; round < 3; round++)
        {
            var (few, many) = (Make(1), Make(100));
            var before = GC.GetAllocatedBytesForCurrentThread();
            log.Write(few);
            var between = GC.GetAllocatedBytesForCurrentThread();
            log.Write(many);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - between - (between - before));
        }

        Assert.InRange(least, long.MinValue, 64);
    }

    /// <summary>Files that allocate nothing when they are written.</summary>
    private sealed class FixedDirectory : ILogDirectory
    {
        public string Location => "fixed";

        public IDisposable Lock() => throw new NotSupportedException();

        public IReadOnlyList<string> List() => [];

        public bool Exists(string name) => false;

        public ILogFile Create(string name, long length) => new FixedFile();

        public ILogFile Open(string name) => new FixedFile();

        public void Rename(string from, string to)
        {
        }

        public void Delete(string name)
        {
        }

        public void Sync()
        {
        }

        private sealed class FixedFile : ILogFile
        {
            private readonly byte[] _bytes = new byte[4 << 20];

            public string Name => "fixed";

            public long Length => _bytes.Length;

            public void Write(long offset, ReadOnlySpan<byte> bytes) => bytes.CopyTo(_bytes.AsSpan((int)offset));

            public int Read(long offset, Span<byte> into)
            {
                _bytes.AsSpan((int)offset, into.Length).CopyTo(into);
                return into.Length;
            }

            public void Sync()
            {
            }

            public void Dispose()
            {
            }
        }
    }
}
