using RaftKit.Consensus;
using RaftKit.Node.Log;
using static RaftKit.Node.Tests.Log.LogSamples;

namespace RaftKit.Node.Tests.Log;

/// <summary>
/// Damage to what was durable: without effect, or to be fetched again and not forgotten, or refused with where and what; never another
/// answer.
/// </summary>
public sealed class LogDamageTests
{
    private readonly MemoryDirectory _disk = new(new Random(1));
    private readonly LogModel _model = new();

    public LogDamageTests()
    {
        var log = SegmentedLog.Open(_disk, Tiny, out _);
        var random = new Random(2);
        for (var round = 0; round < 5; round++)
        {
            var batch = Batch(1 + round, 1, [.. Enumerable.Range(0, 2).Select(i => Noise(_model.Next.Value + i, 1 + round, 60, random))]);
            log.Write(batch);
            log.Sync();
            _model.Apply(batch);
        }
        log.Dispose();
    }

    [Fact]
    public void Any_flipped_bit_is_harmless_or_refused_or_to_be_fetched_again_and_never_forgotten()
    {
        var seen = new int[3];
        foreach (var (name, node) in LogFiles())
        {
            for (var at = 0; at < node.Bytes.Length; at += 5)
            {
                var disk = _disk.Copy();
                disk.Files[name].Bytes[at] ^= (byte)(1 << (at * 5 % 8));
                seen[(int)Open(disk, $"{name} byte {at}")]++;
            }
        }
        // Refused: where the segment's header, or a vote, was hit, and nothing later repeats it.
        Assert.True(seen[(int)Outcome.Repairable] > 1_000 && seen[(int)Outcome.Refused] is > 10 and < 1_000, string.Join(", ", seen));
    }

    /// <summary>
    /// Seed 946 of 60 s: a run told others of the batch that its start wrote; a bit flipped in it, and the next start said that the run
    /// before had left the log earlier than that, which is how an old copy of a directory looks. A start skips the numbers of what it cut,
    /// so that they cannot be counted from the segment before.
    /// </summary>
    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public void No_flipped_bit_makes_a_directory_look_like_an_old_copy(int starts)
    {
        var told = 5L;
        // Each start writes the tail again, under numbers that nothing before it says.
        for (var start = 0; start < starts; start++)
        {
            using var log = SegmentedLog.Open(_disk, Tiny, out _);
            told = log.LastBatch;
        }
        using var snapshots = SnapshotStore.Open(_disk);
        var opened = 0;
        foreach (var (name, node) in LogFiles())
        {
            for (var at = 0; at < node.Bytes.Length; at += 5)
            {
                var disk = _disk.Copy();
                disk.Files[name].Bytes[at] ^= (byte)(1 << (at * 5 % 8));
                var end = 0L;
                try
                {
                    SegmentedLog.Open(disk, Tiny, snapshots, out _, found => end = found).Dispose();
                }
                catch (LogCorruptException)
                {
                    continue;
                }
                opened++;
                Assert.True(
                    end >= told, $"{name} byte {at}: the last run told of batch {told}, and is said to have left the log at batch {end}");
            }
        }
        Assert.True(opened > 1_000, $"only {opened} directories could be opened");
    }

    /// <summary>
    /// Seed 112: what rotted behind the durable part was covered by a snapshot, and what followed it was written again where it did not go
    /// on. Seed 437: a reset among what rotted was written again behind the entries that had followed it.
    /// </summary>
    [Fact]
    public void What_a_start_finds_among_rot_the_next_start_finds_again()
    {
        var log = SegmentedLog.Open(_disk, Tiny, out _);
        var random = new Random(4);
        var fetched = TakeSnapshot(_disk, 20, 5);
        log.Write(new LogBatch { Term = new Term(5), Vote = new MemberId(1), ResetTo = fetched, Entries = [Noise(21, 5, 300, random)] });
        log.Sync();
        for (var index = 22; index < 30; index++)
        {
            log.Write(Batch(6, 1, Noise(index, 6, 700, random)));
            // Some stand behind what is known to be durable.
            if (index < 27)
                log.Sync();
        }
        log.Dispose();
        var (found, differently) = (0, 0);
        foreach (var covered in new[] { 20, 23, 28 })
        {
            foreach (var (name, node) in LogFiles())
            {
                for (var at = 0; at < node.Bytes.Length; at += 29)
                {
                    var disk = _disk.Copy();
                    if (covered > 20)
                        TakeSnapshot(disk, covered, 6);
                    disk.Files[name].Bytes[at] ^= (byte)(1 << (at % 8));
                    if (Tell(disk) is not { } first)
                        continue;
                    found++;
                    differently += first.EndsWith("ended at", StringComparison.Ordinal) ? 0 : 1;
                    var second = Tell(disk);
                    Assert.True(second == first, $"{name} byte {at}, covered to {covered}: first {first}, then {second ?? "nothing"}");
                }
            }
        }
        Assert.True(found > 1_000 && differently > 100, $"{found} starts, {differently} with rot");

        static string? Tell(MemoryDirectory disk)
        {
            try
            {
                using var log = SegmentedLog.Open(disk, Tiny, out var found);
                Assert.Equal(
                    LogSamples.Tell(found.Entries), LogSamples.Tell(ReadAll(log).Where(e => e.Index > (found.Snapshot?.Index ?? default))));
                return $"{string.Join(' ', found.Entries.Select(e => $"{e.Index}/{e.Term}"))} of term {found.Term}, ended at{(found.RottenEnd is { } end ? $" {end}" : "")}";
            }
            catch (LogCorruptException)
            {
                return null;
            }
        }
    }

    [Fact]
    public void Any_inverted_byte_is_harmless_or_refused_or_to_be_fetched_again()
    {
        foreach (var (name, node) in LogFiles())
        {
            for (var at = 0; at < node.Bytes.Length; at += 17)
            {
                var disk = _disk.Copy();
                disk.Files[name].Bytes[at] ^= 0xff;
                Open(disk, $"{name} byte {at}");
            }
        }
    }

    [Fact]
    public void A_file_cut_at_any_byte_is_refused_or_harmless()
    {
        var refused = 0;
        foreach (var (name, node) in LogFiles())
        {
            for (var length = 0; length < node.Bytes.Length; length++)
            {
                var disk = _disk.Copy();
                disk.Put(name, node.Bytes[..length]);
                refused += Open(disk, $"{name} cut to {length}") == Outcome.Refused ? 1 : 0;
            }
        }
        Assert.True(refused > 10_000, $"{refused} refused");
    }

    [Fact]
    public void Rot_is_named_with_file_and_offset_and_no_byte_that_was_there_is_written_again()
    {
        var (name, node) = LogFiles().First();
        node.Bytes[4096 + 700] ^= 1;
        var before = _disk.Files.ToDictionary(file => file.Key, file => Convert.ToHexString(file.Value.Bytes));

        using (SegmentedLog.Open(_disk, Tiny, out var found))
        {
            Assert.Contains($"{name} at offset 4096: checksum mismatch", found.Rot, StringComparison.Ordinal);
            Assert.Equal(new LogEnd(new LogIndex(10), new Term(5)), found.RottenEnd);
            Assert.True(found.Entries.Count < 10);
        }

        // The last one was prepared, and is used now.
        foreach (var (file, bytes) in before.Where(file => file.Value.AsSpan().ContainsAnyExcept('0')))
            Assert.Equal(bytes, Convert.ToHexString(_disk.Files[file].Bytes));
    }

    [Fact]
    public void What_rotted_counts_until_it_was_written_again_over_any_number_of_starts_and_segments()
    {
        LogFiles().First().Value.Bytes[4096 + 700] ^= 1;
        LogIndex next;
        using (var log = SegmentedLog.Open(_disk, Tiny, out var found))
        {
            next = log.Next;
            Assert.Equal(new LogIndex(10), found.RottenEnd!.Value.Index);
        }
        for (; next <= new LogIndex(10); next = next.Next)
        {
            using var log = SegmentedLog.Open(_disk, Tiny, out var found);
            Assert.Equal(new LogEnd(new LogIndex(10), new Term(5)), found.RottenEnd);
            log.Write(Batch(6, 2, _model.Entries[(int)next.Value - 1] with { Payload = new byte[5000] }));
            log.Sync();
        }

        using var repaired = SegmentedLog.Open(_disk, Tiny, out var whole);
        Assert.Null(whole.RottenEnd);
        Assert.Equal((10, new Term(6), new MemberId(2)), (whole.Entries.Count, whole.Term, whole.Vote));
        Assert.Equal(10, ReadAll(repaired).Count);
    }

    [Fact]
    public void A_cut_among_what_cannot_be_read_takes_nothing_along_that_could_be_read()
    {
        // Entries 9 and 10 of term 5 are cut, and another one stands there; then the batch that says so rots from its first record on.
        var log = SegmentedLog.Open(_disk, Small, out _);
        for (var index = 11; index < 16; index++)
            log.Write(Batch(5, 1, Noise(index, 5, 900, new Random(3))));
        log.Sync();
        log.Write(new LogBatch { Term = new Term(5), Vote = new MemberId(1), TruncateFrom = new LogIndex(9),
            Entries = [Noise(9, 5, 900, new Random(3))] });
        log.Sync();
        log.Write(Batch(6, 2, Noise(10, 6, 100, new Random(3))));
        log.Sync();
        log.Dispose();
        var (name, page) = LastPage();
        _disk.Files[name].Bytes.AsSpan(page - 4096 + 50, 20).Fill(0x77);

        using var again = SegmentedLog.Open(_disk, Small, out var found);

        // Nobody can tell how far the cut went: nothing behind the snapshot, and there is none, is believed.
        Assert.Empty(found.Entries);
        Assert.True(found.RottenEnd!.Value.Reaches(new LogEnd(new LogIndex(10), new Term(6))), $"{found.RottenEnd}");
        Assert.Equal((new Term(6), new MemberId(2)), (found.Term, found.Vote));
    }

    [Fact]
    public void A_vote_that_cannot_be_read_and_that_nothing_later_repeats_is_a_vote_lost()
    {
        var log = SegmentedLog.Open(_disk, Small, out _);
        log.Write(Batch(6, 2));
        log.Sync();
        log.Dispose();
        var (name, page) = LastPage();
        _disk.Files[name].Bytes[page + 52] ^= 1;
        var before = _disk.Files.ToDictionary(file => file.Key, file => Convert.ToHexString(file.Value.Bytes));

        var refused = Assert.Throws<LogCorruptException>(() => SegmentedLog.Open(_disk, Small, out _));

        Assert.Contains(
            $"{name} at offset {page}: checksum mismatch. The term and vote that stood there cannot be told any more", refused.Message,
            StringComparison.Ordinal);
        Assert.Equal(before, _disk.Files.ToDictionary(file => file.Key, file => Convert.ToHexString(file.Value.Bytes)));
    }

    [Fact]
    public void A_never_written_sector_in_the_last_batch_is_a_torn_tail_and_a_durable_batch_that_was_never_written_is_lost()
    {
        var (last, page) = LastPage();
        var torn = _disk.Copy();
        torn.Files[last].Bytes.AsSpan(page + 512, 512).Clear();
        using (SegmentedLog.Open(torn, Tiny, out var found))
        {
            Assert.Equal(8, found.Entries.Count);
            Assert.Null(found.RottenEnd);
        }

        var (first, node) = LogFiles().First();
        node.Bytes.AsSpan(4096, 4096).Clear();
        using (SegmentedLog.Open(_disk, Tiny, out var found))
            Assert.Equal(new LogEnd(new LogIndex(10), new Term(5)), found.RottenEnd);
        Assert.NotEqual(last, first);
    }

    [Fact]
    public void A_bit_that_flips_where_nothing_was_written_is_none_of_the_log()
    {
        var (name, node) = LogFiles().Last();
        Assert.False(node.Bytes.AsSpan().ContainsAnyExcept((byte)0));
        node.Bytes[1000] = 4;

        using var log = SegmentedLog.Open(_disk, Tiny, out var found);

        Assert.Equal((null, 10), (found.RottenEnd, found.Entries.Count));
        Assert.False(_disk.Files.ContainsKey(name));
    }

    [Fact]
    public void A_torn_page_never_comes_back()
    {
        var (last, page) = LastPage();
        var whole = _disk.Files[last].Bytes.AsSpan(page, 4096).ToArray();
        _disk.Files[last].Bytes.AsSpan(page + 512, 512).Clear();
        using (var log = SegmentedLog.Open(_disk, Tiny, out _))
        {
            log.Write(Batch(9, 2, Entry(9, 9, "other")));
            log.Sync();
        }

        // The sector that the cut dropped turns up after all.
        if (_disk.Files.TryGetValue(last, out var node))
            whole.CopyTo(node.Bytes.AsSpan(page));

        using var again = SegmentedLog.Open(_disk, Tiny, out var found);
        Assert.Equal("9/9 other", Tell(found.Entries)[^1]);
        Assert.Equal(9, found.Entries.Count);
    }

    [Fact]
    public void A_batch_whose_first_page_was_lost_is_torn_even_when_later_pages_are_whole()
    {
        var log = SegmentedLog.Open(_disk, Small, out _);
        log.Write(Batch(9, 1, Noise(11, 9, 30_000, new Random(1))));
        log.Sync();
        log.Dispose();
        var (last, page) = LastPage();
        var first = page - 7 * 4096;
        Assert.True(_disk.Files[last].Bytes.AsSpan(first, 4096).ContainsAnyExcept((byte)0));
        _disk.Files[last].Bytes.AsSpan(first, 4096).Clear();

        using var again = SegmentedLog.Open(_disk, Small, out var found);

        Assert.Equal(10, found.Entries.Count);
    }

    [Fact]
    public void A_page_of_another_place_or_segment_is_not_believed()
    {
        var files = LogFiles().ToList();
        var elsewhere = _disk.Copy();
        files[1].Value.Bytes.AsSpan(0, 4096).CopyTo(elsewhere.Files[files[0].Key].Bytes.AsSpan(4096));
        Assert.Equal(Outcome.Repairable, Open(elsewhere, "elsewhere"));

        var misplaced = _disk.Copy();
        var bytes = misplaced.Files[files[0].Key].Bytes;
        bytes.AsSpan(0, 4096).CopyTo(bytes.AsSpan(4096));
        Assert.Equal(Outcome.Repairable, Open(misplaced, "misplaced"));
    }

    [Fact]
    public void A_missing_segment_in_the_middle_is_missed()
    {
        _disk.Remove(LogFiles().ElementAt(1).Key);
        Assert.Equal(Outcome.Repairable, Open(_disk, "missing"));
    }

    private IEnumerable<KeyValuePair<string, MemoryDirectory.Node>> LogFiles() =>
        _disk.Files.Where(file => file.Key.EndsWith(".log", StringComparison.Ordinal)).OrderBy(file => file.Key, StringComparer.Ordinal);

    /// <summary>The last page that was written.</summary>
    private (string Name, int Offset) LastPage()
    {
        var (name, node) = LogFiles().Last(file => file.Value.Bytes.AsSpan().ContainsAnyExcept((byte)0));
        var last = node.Bytes.AsSpan().LastIndexOfAnyExcept((byte)0);
        return (name, last / 4096 * 4096);
    }

    /// <summary>Opens it, and again what that left, as the next start does: both must say the same.</summary>
    private Outcome Open(MemoryDirectory disk, string what)
    {
        try
        {
            LogEnd? first;
            using (SegmentedLog.Open(disk, Tiny, out var found))
            {
                Assert.True(_model.Forgets(found) is null, $"{what}: {_model.Forgets(found)}");
                first = found.RottenEnd;
                Assert.True(first is null || found.Rot.Length > 0, $"{what}: nothing is said of rot");
            }
            using (SegmentedLog.Open(disk, Tiny, out var again))
                Assert.True(
                    _model.Forgets(again) is null && again.RottenEnd == first,
                    $"{what}, opened again: {again.RottenEnd} after {first}; {_model.Forgets(again)}");
            return first is null ? Outcome.Harmless : Outcome.Repairable;
        }
        catch (LogCorruptException)
        {
            return Outcome.Refused;
        }
    }

    private enum Outcome
    {
        Harmless,
        Repairable,
        Refused,
    }
}
