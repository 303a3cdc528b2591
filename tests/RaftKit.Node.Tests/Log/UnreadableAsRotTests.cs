using System.Buffers.Binary;
using RaftKit.Consensus;
using RaftKit.Node.Log;
using RaftKit.Node.Loop;
using RaftKit.Node.Members;
using RaftKit.Node.Tests.Loop;
using RaftKit.Node.Transport;
using Xunit;
using static RaftKit.Node.Tests.Log.LogSamples;

namespace RaftKit.Node.Tests.Log;

/// <summary>
/// A disk that answers EIO to the reading of a page: as rot, it is lived with where term, vote and end of the log can be told, and refused
/// with what to do where not.
/// </summary>
public sealed class UnreadableAsRotTests
{
    private readonly MemoryDirectory _memory = new(new Random(3));
    private readonly BadSectors _disk;

    public UnreadableAsRotTests() => _disk = new BadSectors(_memory);

    [Fact]
    public void A_page_of_an_older_segment_that_cannot_be_read_is_counted_as_rot_and_the_log_goes_on()
    {
        Fill(entries: 12);
        _disk.Spoil(Segments()[1], 0);
        // Its header is hit: where the log before it ended, the segment behind it repeats.
        _disk.Spoil(Segments()[2], 1);
        var readable = new UnreadableAsRot(_disk);
        using var log = SegmentedLog.Open(readable, Tiny, out var found);

        Assert.Equal(
            (new LogEnd(new LogIndex(12), new Term(4)), new Term(4), new MemberId(2)), (found.RottenEnd!.Value, found.Term, found.Vote));
        Assert.Equal(2, readable.Errors.Split("Input/output error").Length - 1);
        Assert.Contains($"{Segments()[2]} at offset 4096: the disk answered", readable.Errors, StringComparison.Ordinal);
        // What can be read is whole, and nothing else is given out.
        Assert.Equal(found.Entries.Count, ReadAll(log).Count);
    }

    [Fact]
    public void An_error_that_passes_costs_nothing()
    {
        Fill(entries: 12);
        _disk.Spoil(Segments()[1], 0, times: 1);
        var readable = new UnreadableAsRot(_disk);
        using var log = SegmentedLog.Open(readable, Tiny, out var found);

        Assert.Null(found.RottenEnd);
        Assert.Equal(12, found.Entries.Count);
        Assert.Equal((1, 1), (_disk.Failed, readable.ErrorCount));
        Assert.Contains("and read it the second time", readable.Errors, StringComparison.Ordinal);
    }

    // Simulator seed 219 of 60 s.
    [Fact]
    public void An_error_that_passes_costs_nothing_beside_a_page_that_stays_bad()
    {
        Fill(entries: 12);
        var name = Segments()[1];
        _disk.Spoil(name, 1);
        // The read of both pages, and then that of the first one alone.
        _disk.Spoil(name, 0, times: 2);
        var readable = new UnreadableAsRot(_disk);
        using var file = readable.Open(name);
        var pages = new byte[2 * 4096];

        file.Read(0, pages);
        Assert.Equal((name, 4096L), Assert.Single(readable.Lost));
        var whole = new byte[4096];
        using (var direct = _memory.Open(name))
            direct.Read(0, whole);
        Assert.Equal(whole, pages[..4096]);

        _disk.Spoil(name, 0, times: 1);
        file.Read(0, pages.AsSpan(0, 4096));
        Assert.Single(readable.Lost);
    }

    [Fact]
    public void A_page_that_goes_bad_between_two_reads_is_rot_as_one_that_always_was()
    {
        Fill(entries: 12);
        for (var after = 0; ; after++)
        {
            var copy = new BadSectors(_memory.Copy());
            copy.Spoil(Segments()[1], 1, after: after);
            using var log = SegmentedLog.Open(new UnreadableAsRot(copy), Tiny, out var found);
            if (copy.Failed == 0)
            {
                // Seen to be whole first, and read again for what it holds.
                Assert.InRange(after, 2, 10);
                break;
            }
            Assert.Equal(new LogIndex(12), found.RottenEnd!.Value.Index);
            Assert.Equal(found.Entries.Count, ReadAll(log).Count);
        }
    }

    [Fact]
    public void A_log_that_reads_differently_each_time_is_refused_and_nothing_is_changed()
    {
        Fill(entries: 12);
        var whole = _memory.Copy();
        _disk.Flicker(Segments()[1], 1);

        var refused = Assert.Throws<LogFailedException>(() => SegmentedLog.Open(_disk, Tiny, out _));

        Assert.Contains("reads differently each time", refused.Message, StringComparison.Ordinal);
        Assert.Equal(whole.Files.Keys.Order(), _memory.Files.Keys.Order());
    }

    [Fact]
    public void A_snapshot_that_cannot_be_read_is_as_one_that_rotted()
    {
        Fill(entries: 4);
        TakeSnapshot(_disk, 3, 4, bytes: 20_000);
        var name = _memory.Files.Keys.Single(SnapshotStore.IsSnapshot);
        _disk.Spoil(name, 2);
        using var store = SnapshotStore.Open(new UnreadableAsRot(_disk));
        Assert.Null(store.Newest);
        Assert.Contains($"Snapshot {name} in memory is corrupt", store.Damage, StringComparison.Ordinal);
    }

    [Fact]
    public void A_report_of_a_directory_with_bad_pages_names_them_and_says_what_a_start_does()
    {
        Fill(entries: 160, size: 3000);
        var older = Segments().SkipLast(2).ToList();
        for (var i = 0; i < 40; i++)
            _disk.Spoil(older[i % older.Count], 1 + (i / older.Count));
        Name(_disk);

        var report = LogVerifier.Verify(_disk, default);
        using var log = SegmentedLog.Open(new UnreadableAsRot(_disk), Tiny, out var found);

        Assert.True(report.CanStart);
        Assert.Equal(found.RottenEnd?.Index, report.RottenEnd);
        Assert.Equal(40, report.Problems.Count(problem => problem.Kind == LogProblemKind.Unreadable));
    }

    [Fact]
    public void What_is_written_again_can_be_read_again()
    {
        Fill(entries: 12);
        var name = Segments()[1];
        _disk.Spoil(name, 0, times: 2);
        var readable = new UnreadableAsRot(_disk);
        using var file = readable.Open(name);
        var page = new byte[4096];
        file.Read(0, page);
        Assert.Equal((name, 0L), Assert.Single(readable.Lost));

        var written = Enumerable.Repeat((byte)7, 4096).ToArray();
        file.Write(0, written);
        file.Read(0, page);

        Assert.Equal(written, page);
        Assert.Empty(readable.Lost);
    }

    [Fact]
    public void A_disk_that_is_gone_is_not_read_to_its_end()
    {
        Fill(entries: 100, size: 15_000, new SegmentedLogOptions());
        foreach (var segment in Segments())
        {
            for (var page = 0; page < _memory.Files[segment].Bytes.Length / 4096; page++)
                _disk.Spoil(segment, page);
        }
        var refused = Assert.Throws<LogFailedException>(() => SegmentedLog.Open(new UnreadableAsRot(_disk), Tiny, out _));
        Assert.Contains("Replace the disk, and start the member with an empty directory", refused.Message, StringComparison.Ordinal);
        Assert.InRange(_disk.Failed, UnreadableAsRot.MostPages, 3 * UnreadableAsRot.MostPages);
    }

    [Fact]
    public void Pages_of_snapshots_that_were_replaced_are_no_part_of_a_disk_that_is_gone()
    {
        var readable = new UnreadableAsRot(_disk);
        using var store = SnapshotStore.Open(readable);
        for (var index = 1; index <= 2 * UnreadableAsRot.MostPages; index++)
        {
            var mark = TakeSnapshot(store, index, 1, bytes: 200_000);
            // The file is open under the name that it was written with.
            _disk.Spoil($"{index:D19}-{index}.snapshot.tmp", 1);
            Assert.Throws<LogCorruptException>(() => store.Read(mark, 0, new byte[4096]));
            Assert.Equal((SnapshotStore.NameOf(mark), 4096L), Assert.Single(readable.Lost));
        }
    }

    [Fact]
    public void A_member_whose_disk_cannot_read_a_page_starts_says_so_and_does_not_lead_alone()
    {
        using (var before = Member().Lead())
        {
            for (var i = 0; i < 30; i++)
            {
                before.Turn(new NodeInput.Propose("register", Number(i), null));
                before.Acknowledge();
            }
        }
        _disk.Spoil(Segments()[1], 1);

        using var member = Member();
        Assert.NotNull(member.Loop.Status.RottenEnd);
        Assert.Contains(
            member.Logger.Lines,
            l => l.Contains("It votes as one that has them", StringComparison.Ordinal)
            && l.Contains("Input/output error", StringComparison.Ordinal));
        for (var i = 0; i < 400; i++)
            member.Tick();
        Assert.NotEqual(RaftRole.Leader, member.Loop.Status.Role);
        Assert.Null(member.Loop.Failure);
    }

    [Fact]
    public void A_member_whose_vote_stood_where_the_disk_cannot_read_is_refused_with_the_disks_words_and_what_to_do()
    {
        using (Member().Lead())
        {
        }
        _disk.Spoil(Segments().Last(s => _memory.Files[s].Bytes.AsSpan().ContainsAnyExcept((byte)0)), 0);

        var refused = Assert.Throws<LogCorruptException>(() => Member());
        Assert.Contains("empty this directory and let the member join anew", refused.Message, StringComparison.Ordinal);
        Assert.Contains("Input/output error", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_survivor_whose_disk_cannot_read_what_may_have_been_acknowledged_is_not_forced_and_says_what_to_do()
    {
        using (var before = Member().Lead())
        {
            for (var i = 0; i < 30; i++)
            {
                before.Turn(new NodeInput.Propose("register", Number(i), null));
                before.Acknowledge();
            }
        }
        _disk.Spoil(Segments()[1], 1);

        var refused = Assert.Throws<LogCorruptException>(() => LostQuorum.Open(_disk, Tiny));
        Assert.Contains("Force another survivor, or empty this directory", refused.Message, StringComparison.Ordinal);
        Assert.Contains("Input/output error", refused.Message, StringComparison.Ordinal);
    }

    private LoopHarness Member() => new([new RegisterMachine()], o => o with { Log = Tiny }, _disk);

    private List<string> Segments() =>
        [.. _memory.Files.Keys.Where(f => f.EndsWith(".log", StringComparison.Ordinal)).Order(StringComparer.Ordinal)];

    private void Fill(int entries, int size = 1500, SegmentedLogOptions? options = null)
    {
        using var log = SegmentedLog.Open(_disk, options ?? Tiny, out _);
        for (var index = 1; index <= entries; index++)
        {
            log.Write(Batch(4, 2, Entry(index, 4, new string('x', size))));
            log.Sync();
        }
    }

    private static byte[] Number(long number)
    {
        var bytes = new byte[1500];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, number);
        return bytes;
    }
}
