using RaftKit.Consensus;
using RaftKit.Node.Log;
using static RaftKit.Node.Tests.Log.LogSamples;

namespace RaftKit.Node.Tests.Log;

/// <summary>Damage to what was durable: refused with where and what, or without effect; never another answer.</summary>
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
    public void Any_flipped_bit_is_refused_or_harmless()
    {
        var refused = 0;
        foreach (var (name, node) in LogFiles())
        {
            for (var at = 0; at < node.Bytes.Length; at++)
            {
                var disk = _disk.Copy();
                disk.Files[name].Bytes[at] ^= (byte)(1 << (at * 5 % 8));
                refused += Refused(disk, $"{name} byte {at}");
            }
        }
        Assert.True(refused > 20_000, $"{refused} refused");
    }

    [Fact]
    public void Any_inverted_byte_is_refused_or_harmless()
    {
        foreach (var (name, node) in LogFiles())
        {
            for (var at = 0; at < node.Bytes.Length; at += 3)
            {
                var disk = _disk.Copy();
                disk.Files[name].Bytes[at] ^= 0xff;
                Refused(disk, $"{name} byte {at}");
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
                refused += Refused(disk, $"{name} cut to {length}");
            }
        }
        Assert.True(refused > 10_000, $"{refused} refused");
    }

    [Fact]
    public void The_refusal_names_segment_offset_and_what_and_nothing_was_cut()
    {
        var (name, node) = LogFiles().First();
        node.Bytes[4096 + 700] ^= 1;
        var before = _disk.Files.ToDictionary(file => file.Key, file => Convert.ToHexString(file.Value.Bytes));

        var refused = Assert.Throws<LogCorruptException>(() => SegmentedLog.Open(_disk, Tiny, out _));

        Assert.Equal("000000000001.log", name);
        Assert.StartsWith("Segment 1 in memory: checksum mismatch, at offset 4096. This is corruption, not a torn tail", refused.Message, StringComparison.Ordinal);
        Assert.Equal(before, _disk.Files.ToDictionary(file => file.Key, file => Convert.ToHexString(file.Value.Bytes)));
    }

    [Fact]
    public void A_never_written_sector_in_the_last_batch_is_a_torn_tail_and_before_a_durable_batch_it_is_corruption()
    {
        var (last, page) = LastPage();
        var torn = _disk.Copy();
        torn.Files[last].Bytes.AsSpan(page + 512, 512).Clear();
        using (SegmentedLog.Open(torn, Tiny, out var found))
            Assert.Equal(8, found.Entries.Count);

        var (first, node) = LogFiles().First();
        node.Bytes.AsSpan(4096, 4096).Clear();
        Assert.Throws<LogCorruptException>(() => SegmentedLog.Open(_disk, Tiny, out _));
        Assert.NotEqual(last, first);
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
    public void A_page_of_another_place_or_segment_is_refused()
    {
        var files = LogFiles().ToList();
        var elsewhere = _disk.Copy();
        files[1].Value.Bytes.AsSpan(0, 4096).CopyTo(elsewhere.Files[files[0].Key].Bytes.AsSpan(4096));
        Assert.Throws<LogCorruptException>(() => SegmentedLog.Open(elsewhere, Tiny, out _));

        var misplaced = _disk.Copy();
        var bytes = misplaced.Files[files[0].Key].Bytes;
        bytes.AsSpan(0, 4096).CopyTo(bytes.AsSpan(4096));
        Assert.Throws<LogCorruptException>(() => SegmentedLog.Open(misplaced, Tiny, out _));
    }

    [Fact]
    public void A_missing_segment_in_the_middle_is_refused()
    {
        _disk.Remove(LogFiles().ElementAt(1).Key);
        Assert.Throws<LogCorruptException>(() => SegmentedLog.Open(_disk, Tiny, out _));
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

    private int Refused(MemoryDirectory disk, string what)
    {
        try
        {
            using var log = SegmentedLog.Open(disk, Tiny, out var found);
            Assert.True(_model.Differs(found) is null, $"{what}: {_model.Differs(found)}");
            return 0;
        }
        catch (LogCorruptException)
        {
            return 1;
        }
    }
}
