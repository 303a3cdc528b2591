using System.Globalization;
using RaftKit.Consensus;
using RaftKit.Node.Log;

namespace RaftKit.Node.Tests.Log;

public sealed class SegmentedLogTests
{
    private static readonly SegmentedLogOptions Small = new() { SegmentBytes = 64 << 10, PrepareBytes = 16 << 10 };
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
    }

    [Fact]
    public void Entries_read_back_as_they_were_written_across_pages_and_segments()
    {
        using var log = SegmentedLog.Open(_disk, Small, out _);
        var model = new LogModel();
        var random = new Random(5);
        for (var round = 0; round < 60; round++)
        {
            var batch = Batch(1, 1, [.. Enumerable.Range(0, random.Next(1, 6)).Select(i => Noise(model.Next.Value + i, 1, random.Next(9000), random))]);
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

    private static List<Entry> ReadAll(SegmentedLog log)
    {
        var read = new List<Entry>();
        if (log.First < log.Next)
            log.Read(log.First, log.Next.Previous, int.MaxValue, read);
        return read;
    }

    private static LogBatch Batch(long term, int vote, params Entry[] entries) =>
        new() { Term = new Term(term), Vote = new MemberId(vote), Entries = entries };

    private static Entry Entry(long index, long term, string text) =>
        new(new Term(term), new LogIndex(index), EntryKind.Command, 1000 + index, System.Text.Encoding.UTF8.GetBytes(text));

    private static Entry Noise(long index, long term, int length, Random random)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return new(new Term(term), new LogIndex(index), EntryKind.Command, index, bytes);
    }

    private static IEnumerable<string> Tell(IEnumerable<Entry> entries) => entries.Select(e =>
        string.Create(CultureInfo.InvariantCulture, $"{e.Index}/{e.Term} {System.Text.Encoding.UTF8.GetString(e.Payload.Span)}"));
}
