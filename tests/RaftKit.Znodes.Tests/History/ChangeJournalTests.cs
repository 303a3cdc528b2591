using RaftKit.Consensus;
using RaftKit.Znodes.History;
using RaftKit.Znodes.Tree;
using Xunit;

namespace RaftKit.Znodes.Tests.History;

public sealed class ChangeJournalTests
{
    private readonly ChangeJournal _journal = new(maxChanges: 10, maxBytes: 1 << 20);
    private readonly List<TreeChange> _read = [];

    [Fact]
    public void Changes_come_back_in_order_after_the_zxid_that_was_seen()
    {
        Append(3, "/a", "/b");
        Append(5, "/c");

        Assert.Equal(JournalRead.UpToDate, Read(0, out var through));
        Assert.Equal(["/a", "/b", "/c"], Paths);
        Assert.Equal(5, through);
        Assert.Equal(JournalRead.UpToDate, Read(3, out _));
        Assert.Equal(["/c"], Paths);
        Assert.Equal(JournalRead.UpToDate, Read(4, out _));
        Assert.Equal(["/c"], Paths);
        Assert.Equal(JournalRead.UpToDate, Read(9, out through));
        Assert.Empty(Paths);
        Assert.Equal(9, through);
    }

    /// <summary>
    /// Found while a sweep was taught to force quorums: a stream went on over the break as if what it had told last had not been given up.
    /// </summary>
    [Fact]
    public void A_reader_of_another_recovery_epoch_is_told_that_it_cannot_go_on()
    {
        const long next = 1L << 48;
        Append(3, "/a");
        Append(next + 4, "/b");

        Assert.Equal(JournalRead.Compacted, Read(9, out _));
        Assert.Equal(JournalRead.Compacted, Read(3, out _));
        Assert.Equal(JournalRead.UpToDate, Read(next + 3, out _));
        Assert.Equal(["/b"], Paths);
    }

    [Fact]
    public void The_oldest_entries_are_forgotten_whole_and_a_reader_behind_them_is_told()
    {
        Append(1, "/a", "/b", "/c");
        Append(2, "/d", "/e", "/f", "/g");
        Append(3, "/h", "/i", "/j", "/k");

        Assert.Equal((8, 1L), (_journal.Count, _journal.OldestZxid));
        Assert.Equal(JournalRead.Compacted, Read(0, out var oldest));
        Assert.Equal(1, oldest);
        Assert.Equal(JournalRead.UpToDate, Read(1, out _));
        Assert.Equal(8, Paths.Count);
    }

    [Fact]
    public void It_is_bounded_in_bytes_too()
    {
        var journal = new ChangeJournal(maxChanges: 1000, maxBytes: 1000);
        for (var zxid = 1; zxid <= 100; zxid++)
            journal.Append(zxid, [new TreeChange(TreeChangeKind.Created, "/" + new string('x', 99), zxid)]);
        Assert.InRange(journal.Bytes, 1, 1000);
        Assert.Equal((3, 97L), (journal.Count, journal.OldestZxid));
    }

    [Fact]
    public void An_entry_that_is_bigger_than_the_journal_leaves_a_journal_that_begins_after_it()
    {
        Append(1, "/a");
        Append(2, [.. Enumerable.Range(0, 11).Select(i => $"/{i}")]);
        Assert.Equal((0, 2L, 2L, 0L), (_journal.Count, _journal.OldestZxid, _journal.LastZxid, _journal.Bytes));
        Assert.Equal(JournalRead.Compacted, Read(1, out _));
        Assert.Equal(JournalRead.UpToDate, Read(2, out _));
        Append(3, "/b");
        Assert.Equal(JournalRead.UpToDate, Read(2, out _));
        Assert.Equal(["/b"], Paths);
    }

    [Fact]
    public void After_a_snapshot_jumped_over_entries_only_what_follows_it_can_be_resumed()
    {
        Append(1, "/a");
        _journal.Reset(50);
        Assert.Equal(JournalRead.Compacted, Read(49, out var oldest));
        Assert.Equal(50, oldest);
        Append(51, "/b");
        Assert.Equal(JournalRead.UpToDate, Read(50, out _));
        Assert.Equal(["/b"], Paths);
    }

    [Fact]
    public void A_prefix_gives_a_path_and_all_below_it_and_still_moves_on_over_the_others()
    {
        Append(1, "/a", "/ab", "/a/b", "/a/b/c", "/b");
        Append(2, "/c");
        Assert.Equal(JournalRead.UpToDate, _journal.TryReadAfter(0, "/a", 100, _read, out var through));
        Assert.Equal(["/a", "/a/b", "/a/b/c"], Paths);
        Assert.Equal(2, through);
        _read.Clear();
        _journal.TryReadAfter(0, "/", 100, _read, out _);
        Assert.Equal(6, Paths.Count);
    }

    [Fact]
    public void A_read_in_pages_never_tears_an_entry()
    {
        Append(1, "/a", "/b");
        Append(2, "/c", "/d", "/e");
        Append(3, "/f");
        Assert.Equal(JournalRead.MoreFollow, _journal.TryReadAfter(0, null, 1, _read, out var through));
        Assert.Equal((2, 1L), (_read.Count, through));
        Assert.Equal(JournalRead.MoreFollow, _journal.TryReadAfter(through, null, 2, _read, out through));
        Assert.Equal((5, 2L), (_read.Count, through));
        Assert.Equal(JournalRead.UpToDate, _journal.TryReadAfter(through, null, 2, _read, out through));
        Assert.Equal((6, 3L), (_read.Count, through));
    }

    [Fact]
    public void A_random_journal_gives_what_a_list_gives()
    {
        var random = new Random(4);
        var journal = new ChangeJournal(maxChanges: 150, maxBytes: 1 << 20);
        var all = new List<TreeChange>();
        for (long zxid = 1; zxid < 3000; zxid += random.Next(1, 4))
        {
            var changes = Enumerable.Range(0, random.Next(1, 6)).Select(
                i => new TreeChange(TreeChangeKind.DataChanged, $"/{i}", zxid)).ToList();
            journal.Append(zxid, changes);
            all.AddRange(changes);

            var after = Math.Max(0, zxid - random.Next(300));
            _read.Clear();
            var outcome = journal.TryReadAfter(after, null, int.MaxValue, _read, out _);
            if (outcome == JournalRead.Compacted)
                Assert.True(after < journal.OldestZxid && all.Count(c => c.Zxid > after) > 140);
            else
                Assert.Equal(all.Where(c => c.Zxid > after), _read);
        }
    }

    [Fact]
    public void Entries_out_of_order_stop_the_node()
    {
        Append(5, "/a");
        Assert.Throws<InvariantBrokenException>(() => Append(5, "/b"));
        Assert.Throws<InvariantBrokenException>(() => _journal.Append(6, [new TreeChange(TreeChangeKind.Created, "/a", 7)]));
    }

    private List<string> Paths => [.. _read.Select(c => c.Path)];

    private JournalRead Read(long zxid, out long through)
    {
        _read.Clear();
        return _journal.TryReadAfter(zxid, null, int.MaxValue, _read, out through);
    }

    private void Append(long zxid, params string[] paths) =>
        _journal.Append(zxid, [.. paths.Select(path => new TreeChange(TreeChangeKind.Created, path, zxid))]);
}
